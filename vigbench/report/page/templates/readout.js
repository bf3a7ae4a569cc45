// Reading single values: by pointing, or with the arrow keys.
const NEAR = 40; // px from the pointer
const reading = { panels: [], at: null }; // at: [panel, curve, point]

const intervalText = (point, unit) =>
  point.low === null ? "" : `95% interval ${number(point.low)} to ${number(point.high)} ${unit}`.trim();

const readoutLines = ([panelAt, curveAt, pointAt]) => {
  const panel = reading.panels[panelAt];
  const { curve, points } = panel.places[curveAt];
  const { point } = points[pointAt];
  const metric = data.metrics[state.metric];
  return [
    curve.name.label + (curve.isBehind ? " (base)" : ""),
    `${metricName(metric, curve.setting)} ${number(point.value)} ${metricUnit(metric, curve.setting)} at ${sizeText(curve.setting, point.size)}`,
    intervalText(point, metricUnit(metric, curve.setting)),
    curve.setting.text,
    point.marks ? `Marks: ${point.marks}` : "",
    point.hollow ? "Disturbed: carries no conclusion" : "",
    curve.end && pointAt === points.length - 1
      ? `${sizeText(curve.setting, curve.end.size)}: ${curve.end.status.replaceAll("_", " ")}`
      : "",
  ].filter(Boolean);
};

const hideReadout = () => {
  reading.at = null;
  byId("readout").hidden = true;
  d3.selectAll("#plot .ring").remove();
};

const showReadout = (at, aloud) => {
  reading.at = at;
  const panel = reading.panels[at[0]];
  const [x, y] = panel.places[at[1]].points[at[2]].at;
  const lines = readoutLines(at);
  const box = byId("readout");
  box.replaceChildren(...lines.map((line, index) => element(index ? "span" : "b", line)));
  box.hidden = false;
  d3.selectAll("#plot .ring").remove();
  d3.select(panel.svg).append("circle").attr("class", "ring").attr("cx", x).attr("cy", y).attr("r", 8);
  const [around, inner] = [byId("explorer").getBoundingClientRect(), panel.svg.getBoundingClientRect()];
  const left = inner.left - around.left + x;
  const top = inner.top - around.top + y;
  const fits = left + 16 + box.offsetWidth <= around.width;
  box.style.left = `${Math.max(0, fits ? left + 16 : left - 16 - box.offsetWidth)}px`;
  box.style.top = `${top - box.offsetHeight - 12 > 0 ? top - box.offsetHeight - 12 : top + 16}px`;
  if (aloud) announce(lines.join(". "));
};

const nearest = (panelAt, event) => {
  const panel = reading.panels[panelAt];
  const [px, py] = d3.pointer(event, panel.svg);
  let [found, least] = [null, NEAR];
  panel.places.forEach(({ points }, curveAt) =>
    points.forEach(({ at: [x, y] }, pointAt) => {
      const distance = panel.dots ? Math.abs(py - y) * 2 : Math.hypot(px - x, py - y);
      if (distance < least) [found, least] = [[panelAt, curveAt, pointAt], distance];
    }),
  );
  return found;
};

const follow = (panel, panelAt) => {
  const move = (event) => {
    const found = nearest(panelAt, event);
    if (found) showReadout(found, false);
    else hideReadout();
  };
  panel.svg.addEventListener("pointermove", move);
  panel.svg.addEventListener("pointerdown", move);
  panel.svg.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") hideReadout();
  });
};

// the same size on another curve where it has one, else its last value
const onCurve = (panelAt, curveAt, size) => {
  const { points } = reading.panels[panelAt].places[curveAt];
  const same = points.findIndex(({ point }) => point.size === size);
  return [panelAt, curveAt, same >= 0 ? same : points.length - 1];
};

const stepped = (key) => {
  const all = reading.panels.flatMap((panel, panelAt) => panel.places.map((_, curveAt) => [panelAt, curveAt]));
  if (!all.length) return null;
  if (!reading.at) return [...all[0], 0];
  const [panelAt, curveAt, pointAt] = reading.at;
  const { points } = reading.panels[panelAt].places[curveAt];
  const clamp = (value) => Math.max(0, Math.min(points.length - 1, value));
  if (key === "ArrowLeft") return [panelAt, curveAt, clamp(pointAt - 1)];
  if (key === "ArrowRight") return [panelAt, curveAt, clamp(pointAt + 1)];
  if (key === "Home") return [panelAt, curveAt, 0];
  if (key === "End") return [panelAt, curveAt, points.length - 1];
  const now = all.findIndex(([panel, curve]) => panel === panelAt && curve === curveAt);
  const next = all[(now + (key === "ArrowDown" ? 1 : all.length - 1)) % all.length];
  return onCurve(...next, points[pointAt].point.size);
};

const readByKeys = (plot) => {
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hideReadout();
    if (!["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return undefined;
    const at = stepped(event.key);
    event.preventDefault();
    if (at) showReadout(at, true);
    return undefined;
  });
  plot.addEventListener("blur", hideReadout);
};
