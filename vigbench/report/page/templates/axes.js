// Axes and signs, the same as in the other figures: ticks at the real sizes, plain numbers, markers by size.
const VERTICAL = {
  draw: (context, size) => {
    const r = Math.sqrt(size) * 0.7;
    context.moveTo(0, -r);
    context.lineTo(0, r);
  },
};
const polygon = (corners, turn) => ({
  draw: (context, size) => {
    const r = Math.sqrt(size) * 0.6;
    for (let k = 0; k < corners; k += 1) {
      const angle = turn + (2 * Math.PI * k) / corners;
      context[k ? "lineTo" : "moveTo"](r * Math.cos(angle), r * Math.sin(angle));
    }
    context.closePath();
  },
});
// the markers of the other figures, by their names there
const SYMBOLS = {
  v: polygon(3, Math.PI / 2),
  o: "circle",
  s: "square",
  "^": "triangle",
  D: "diamond2",
  p: polygon(5, -Math.PI / 2),
  P: "cross",
  h: "hexagon",
};
const SIGNS = { out_of_memory: "×", timeout: "|", crashed: "+" };
const ENDS = { out_of_memory: "times", timeout: VERTICAL, crashed: "plus" };

const plain = (value) =>
  value >= 1 && value === Math.round(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(6)));

const logTicks = (low, high) => {
  const powers = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  let inside = [];
  for (const steps of [[1], [1, 3], [1, 2, 5]]) {
    inside = powers
      .flatMap((power) => steps.map((step) => Number(`${step}e${power}`)))
      .filter((tick) => tick >= low && tick <= high);
    if (inside.length >= 4) break;
  }
  return inside;
};

// the sizes that can carry a tick label, the largest first
const sizeTicks = (sizes, apply, name) => {
  const kept = [];
  for (const size of [...sizes].sort((a, b) => b - a)) {
    const room = textWidth(name(size)) + 10;
    if (!kept.length || apply(kept[kept.length - 1]) - apply(size) >= room) kept.push(size);
  }
  return kept;
};

// Plot's own labels leave some out on a logarithmic axis: these are all there, wherever there is room
const tickTexts = (axis, ticks, format = plain) =>
  Plot.text(ticks, {
    [axis]: (tick) => tick,
    text: (tick) => format(tick),
    fill: "var(--muted)",
    className: `ticks-${axis}`,
    ...(axis === "x" ? { frameAnchor: "bottom", dy: 16 } : { frameAnchor: "left", textAnchor: "end", dx: -8 }),
  });

const valueDomain = (values, type) => {
  const [low, high] = d3.extent(values);
  if (type === "log") {
    const least = d3.min(values.filter((value) => value > 0));
    const pad = Math.max(1.1, (high / least) ** 0.06);
    return [least / pad, high * pad];
  }
  return [Math.min(0, low * 1.08), high > 0 ? high * 1.08 : 1];
};

const sizeDomain = (sizes) => {
  const [low, high] = d3.extent(sizes);
  if (state.x === "linear") return [0, high * 1.03];
  const pad = (high / low) ** 0.035;
  return [low / pad, high * pad];
};
