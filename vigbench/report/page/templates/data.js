// The page's data as curves and points, and how its numbers are written.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const VALUES = 5; // in a case, values come after name, setting, size, status and marks
const OK = "ok";

const element = (tag, text, attributes = {}) => {
  const made = document.createElement(tag);
  if (text !== "") made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

const announce = (text) => {
  byId("announcer").textContent = text;
};

// three significant digits, thousands separated, no exponent: as in the tables
const formats = [0, 1, 2].map(
  (digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);
const number = (value) => {
  const size = Math.abs(value);
  const fixed = (digits) => formats[digits].format(value);
  if (value === 0) return "0";
  if (size >= 99.95) return fixed(0);
  if (size >= 9.995) return fixed(1);
  if (size >= 0.9995) return fixed(2);
  return size >= 0.09995 ? value.toFixed(3) : String(Number(value.toPrecision(3)));
};

const sweepOf = (setting) =>
  setting.operator ? { name: "Length", unit: "tokens" } : { name: "Resolution", unit: "px" };
// sides that differ stand for their mean: 448x640 is where a square of as many px is
const sizeName = (setting, size) => {
  const parts = setting.aspect ? setting.aspect.split(":").map(Number) : [];
  const scale = size / parts.reduce((product, part) => product * part, 1) ** (1 / parts.length);
  return parts.length ? parts.map((part) => Math.round(part * scale)).join("x") : String(size);
};
const sizeText = (setting, size) => `${sizeName(setting, size)} ${sweepOf(setting).unit}`;
const withItem = (text, item) => text.replaceAll("{item}", item);
const metricName = (metric, setting) => withItem(metric.name, setting.item);
const metricUnit = (metric, setting) => withItem(metric.unit, setting.item);
const colour = (name) => `var(--${name.family})`;
const textColour = (name) => `var(--${name.family}-text)`;

const casesOf = data.settings.map(() => []);
for (const one of data.cases) casesOf[one[1]].push(one);

// of each metric the cases whose value was disturbed: it is shown, and carries no conclusion
const leftOut = data.metrics.map((metric) => new Set((metric.left_out ?? []).map((place) => data.cases[place])));

const pointOf = (one, at) => {
  const value = one[VALUES + at];
  const [middle, low, high] = Array.isArray(value) ? value : [value, null, null];
  const hollow = leftOut[at].has(one);
  return { size: one[2], value: middle, low, high, hollow, status: data.statuses[one[3]], marks: data.marks[one[4]] };
};

// the curves of a metric in one setting; a case that is not ok has no measured value, but may have a count
const curvesIn = (at, settingAt) => {
  const metric = data.metrics[at];
  const setting = data.settings[settingAt];
  if (!(setting.operator ? metric.operators : metric.models)) return [];
  const found = new Map();
  for (const one of casesOf[settingAt]) {
    if (!found.has(one[0])) {
      found.set(one[0], { at: one[0], name: data.names[one[0]], setting, settingAt, points: [], failed: [] });
    }
    const point = pointOf(one, at);
    const curve = found.get(one[0]);
    if (point.value !== null && (metric.counted || point.status === OK)) curve.points.push(point);
    else if (point.status !== OK && !metric.counted) curve.failed.push(point);
  }
  const curves = [...found.values()].sort((a, b) => a.at - b.at);
  for (const curve of curves) {
    curve.points.sort((a, b) => a.size - b.size);
    curve.failed.sort((a, b) => a.size - b.size);
    const last = curve.points.length ? curve.points[curve.points.length - 1].size : 0;
    curve.end = curve.failed.find((point) => point.size > last);
  }
  return curves.filter((curve) => curve.points.length || curve.failed.length);
};

const hasValues = (at, settingAt) => curvesIn(at, settingAt).some((curve) => curve.points.length);
