// The chart of the explorer: a panel for each setting shown, all with the same axes.
const TWO_COLUMNS = 700; // px of room from which two panels stand side by side
const GAP = 28;
const MOST_NAMED = 8; // curves in a note

const curvesOf = (settingAt) => {
  const own = curvesIn(state.metric, settingAt).filter((curve) => !state.hidden.has(curve.at));
  const { behind } = data.settings[settingAt];
  if (!state.behind || behind === null) return own;
  const base = curvesIn(state.metric, behind).filter((curve) => !state.hidden.has(curve.at));
  return [...own, ...base.map((curve) => ({ ...curve, isBehind: true }))];
};

const emptyPanel = () =>
  element("p", "Nothing to show: every curve here is hidden, or has no value that this axis can show.", {
    class: "hint",
  });

const drawPanel = (settingAt, curves, shared) => {
  const figure = element("div", "", { class: "panel" });
  if (shared.several) figure.append(element("h3", data.settings[settingAt].text));
  const drawn = curves.some((curve) => curve.points.length);
  const metric = data.metrics[state.metric];
  const setting = data.settings[settingAt];
  const unit = `${metricName(metric, setting)} (${metricUnit(metric, setting)})`;
  const where = shared.sizes.length === 1 ? ` at ${sizeText(setting, shared.sizes[0])}` : "";
  figure.append(element("p", unit + where, { class: "unit" }));
  if (!drawn || !shared.values.length) return (figure.append(emptyPanel()), figure);
  const dots = shared.sizes.length === 1;
  const made = (dots ? drawDots : drawLines)(curves, { ...shared, metric, setting });
  made.svg.setAttribute("aria-hidden", "true");
  figure.append(made.svg);
  const sweep = sweepOf(setting);
  if (!dots) figure.append(element("p", `${sweep.name} (${sweep.unit})`, { class: "unit below" }));
  reading.panels.push({ ...made, dots });
  return figure;
};

// below the chart: what the device reaches at best, and why lines end, with the sign at their last value
const notes = (panels) => {
  const ended = panels.flat().filter((curve) => curve.end && curve.points.length && !curve.isBehind);
  const where = (curve) => `${curve.name.label} at ${sizeText(curve.setting, curve.end.size)}`;
  const named = (curves) => {
    const all = [...new Set(curves.map(where))];
    return all.slice(0, MOST_NAMED).join(", ") + (all.length > MOST_NAMED ? ", …" : "");
  };
  const why = d3
    .groups(ended, (curve) => curve.end.status)
    .map(([status, curves]) => `${SIGNS[status] ?? "◇"} ${status.replaceAll("_", " ")}: ${named(curves)}`);
  const best = data.notes[data.metrics[state.metric].id] ?? [];
  const drawn = panels.flat().flatMap((curve) => (curve.isBehind ? [] : curve.points));
  const hollow = drawn.filter((point) => point.hollow).length;
  const left = hollow ? [`Hollow marks carry no conclusion: ${hollow} of ${drawn.length} cases were disturbed`] : [];
  byId("notes").replaceChildren(...[...best, ...why, ...left].map((text) => element("span", text)));
};

const headings = (settings) => {
  const metric = data.metrics[state.metric];
  const titles = data.titles[metric.id];
  const own = settings.length === 1 ? titles[settings[0] + 1] : "";
  byId("explore").textContent = own || titles[0];
  const names = settings.map((at) => data.settings[at].text);
  byId("explore-settings").textContent = [withItem(metric.name, data.item), names.join("; "), data.source].join(" · ");
  // the same picture once is enough: the figure of this metric gives way where all its settings are up here
  for (const figure of document.querySelectorAll("figure[id]")) {
    figure.classList.toggle("above", figure.id === metric.id && settings.length === settingsOf(state.metric).length);
  }
  byId("shown").textContent = `${data.names.length - state.hidden.size} of ${data.names.length}`;
};

// sizes are shared by settings whose sizes read alike: px and tokens have no axis in common, nor 3:5 and square
const sizesOf = (curves, { operator, aspect }) => {
  const own = curves.filter(({ setting }) => setting.operator === operator && setting.aspect === aspect);
  return [...new Set(own.flatMap((curve) => curve.points.map((point) => point.size)))].sort((a, b) => a - b);
};

const redraw = () => {
  const plot = byId("plot");
  showState();
  hideReadout();
  const settings = shownSettings();
  const panels = settings.map(curvesOf);
  const every = panels.flat();
  const values = every
    .flatMap((curve) => curve.points.flatMap((point) => [point.value, point.low, point.high]))
    .filter((value) => value !== null);
  const type = values.length ? scaleOf(values) : "linear";
  const columns = settings.length > 1 && plot.clientWidth >= TWO_COLUMNS ? 2 : 1;
  const shared = {
    type,
    several: settings.length > 1,
    values: type === "log" ? values.filter((value) => value > 0) : values,
    width: Math.floor((plot.clientWidth - (columns - 1) * GAP) / columns),
    height: columns === 1 && plot.clientWidth >= TWO_COLUMNS ? 440 : 340,
  };
  reading.panels = [];
  plot.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  const sizes = settings.map((at) => sizesOf(every, data.settings[at]));
  plot.replaceChildren(
    ...settings.map((at, index) => drawPanel(at, panels[index], { ...shared, sizes: sizes[index] })),
  );
  reading.panels.forEach(follow);
  byId("x").disabled = sizes.every((own) => own.length === 1);
  headings(settings);
  notes(panels);
};

if (byId("explorer")) {
  const change = () => {
    redraw();
    writeState();
  };
  byId("explorer").hidden = false;
  firstState();
  makeControls(change);
  readState();
  redraw();
  readByKeys(byId("plot"));
  let width = byId("plot").clientWidth;
  new ResizeObserver(() => {
    if (byId("plot").clientWidth === width) return;
    width = byId("plot").clientWidth;
    redraw();
  }).observe(byId("plot"));
  addEventListener("hashchange", () => {
    if (readState()) redraw();
  });
}
