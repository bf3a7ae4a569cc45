// What the reader has chosen, kept in the address so that a view can be linked.
const SIDE_BY_SIDE = 4; // settings that fit beside each other
const MOST_CURVES = 30; // at first; more cannot be read
const MOST_DOTS = 60;

const plotted = data.metrics
  .map((_, at) => at)
  .filter((at) => data.settings.some((_, setting) => hasValues(at, setting)));
const keyOf = (name) => name.whole;
const settingsOf = (metric) => data.settings.map((_, at) => at).filter((at) => hasValues(metric, at));

const state = { metric: plotted[0], setting: 0, beside: null, x: "log", y: "auto", behind: true, hidden: new Set() };

// by itself an axis is logarithmic where values differ more than eightfold
const scaleOf = (values) => {
  if (state.y !== "auto") return state.y;
  return Math.min(...values) > 0 && Math.max(...values) > 8 * Math.min(...values) ? "log" : "linear";
};

const shownSettings = () => {
  const there = settingsOf(state.metric);
  if (state.setting === "all") {
    return there.filter((at) => !data.settings.some((one) => one.behind === at && state.behind)).slice(0, SIDE_BY_SIDE);
  }
  const first = there.includes(state.setting) ? state.setting : there[0];
  return state.beside !== null && state.beside !== first && there.includes(state.beside)
    ? [first, state.beside]
    : [first];
};

const writeState = () => {
  const parts = new URLSearchParams();
  parts.set("metric", data.metrics[state.metric].id);
  parts.set("setting", state.setting === "all" ? "all" : data.settings[state.setting].text);
  if (state.beside !== null) parts.set("beside", data.settings[state.beside].text);
  if (state.x !== "log") parts.set("x", state.x);
  if (state.y !== "auto") parts.set("y", state.y);
  if (!state.behind) parts.set("behind", "no");
  for (const at of state.hidden) parts.append("hide", keyOf(data.names[at]));
  history.replaceState(null, "", `#${parts}`);
};

const readState = () => {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has("metric")) return false;
  const metric = data.metrics.findIndex((one) => one.id === parts.get("metric"));
  if (plotted.includes(metric)) state.metric = metric;
  const settingAt = (text) => data.settings.findIndex((one) => one.text === text);
  const setting = settingAt(parts.get("setting"));
  if (parts.get("setting") === "all") state.setting = "all";
  else if (setting >= 0) state.setting = setting;
  const beside = settingAt(parts.get("beside"));
  state.beside = beside >= 0 ? beside : null;
  state.x = parts.get("x") === "linear" ? "linear" : "log";
  state.y = ["log", "linear"].includes(parts.get("y")) ? parts.get("y") : "auto";
  state.behind = parts.get("behind") !== "no";
  const hidden = new Set(parts.getAll("hide"));
  state.hidden = new Set(data.names.map((_, at) => at).filter((at) => hidden.has(keyOf(data.names[at]))));
  return true;
};

const firstState = () => {
  const there = settingsOf(state.metric);
  const heads = there.filter((at) => !data.settings.some((one) => one.behind === at));
  state.setting = heads.length > 1 && heads.length <= SIDE_BY_SIDE ? "all" : (heads[0] ?? there[0]);
  const curves = curvesIn(state.metric, there[0]);
  const most =
    new Set(curves.flatMap((curve) => curve.points.map((point) => point.size))).size > 1 ? MOST_CURVES : MOST_DOTS;
  if (data.names.length > most) {
    const drawn = new Set(curves.map((curve) => curve.at).slice(0, most));
    state.hidden = new Set(data.names.map((_, at) => at).filter((at) => !drawn.has(at)));
  }
};
