// One panel as lines over resolution or length.
// patterns are given in widths of the line
const dashText = (name, width) => name.dash?.map((length) => length * width).join(" ");

const curveMarks = (curve, log) => {
  const thin = curve.isBehind;
  const visible = (point) => !log || point.value > 0;
  const gaps = curve.failed.map((point) => ({ ...point, value: NaN, low: NaN, high: NaN }));
  const points = curve.points.filter(visible);
  const drawn = [...points, ...gaps].sort((a, b) => a.size - b.size);
  const stroke = thin ? "var(--muted)" : colour(curve.name);
  const banded = drawn.filter((point) => point.low !== null && (!log || !(point.low <= 0)));
  const marks = [];
  if (!thin) {
    marks.push(Plot.areaY(banded, { x: "size", y1: "low", y2: "high", fill: stroke, fillOpacity: 0.2 }));
    marks.push(
      Plot.ruleX(
        banded.filter((p) => !Number.isNaN(p.low)),
        { x: "size", y1: "low", y2: "high", stroke, strokeWidth: 1 },
      ),
    );
  }
  marks.push(
    Plot.line(drawn, {
      x: "size",
      y: "value",
      stroke,
      strokeWidth: thin ? 1 : 2,
      strokeLinecap: "butt",
      strokeDasharray: dashText(curve.name, thin ? 1 : 1.8),
    }),
  );
  if (!thin)
    marks.push(
      Plot.dot(points, {
        x: "size",
        y: "value",
        fill: (point) => (point.hollow ? "var(--paper)" : stroke),
        stroke: (point) => (point.hollow ? stroke : "none"),
        strokeWidth: 1.6,
        r: 3.5,
        symbol: SYMBOLS[curve.name.marker] ?? "circle",
      }),
    );
  if (curve.end && points.length) {
    const oom = curve.end.status === "out_of_memory";
    marks.push(
      Plot.dot(points.slice(-1), {
        x: "size",
        y: "value",
        symbol: ENDS[curve.end.status] ?? "diamond2",
        r: oom ? 7 : 6,
        fill: "none",
        stroke: thin ? "var(--muted)" : textColour(curve.name),
        strokeWidth: 2,
        className: `end-${curve.end.status}`,
      }),
    );
  }
  return marks;
};

// draws the curves and returns the element with the place of every point in it
const drawLines = (curves, { width, height, values, sizes, type, setting }) => {
  const name = (size) => sizeName(setting, size);
  const shown = curves.filter((curve) => curve.points.some((point) => type !== "log" || point.value > 0));
  const named = shown.filter((curve) => !curve.isBehind);
  const texts = named.map((curve) => shorten(curve.name.label, Math.max(110, width * 0.36)));
  const widths = texts.map(textWidth);
  const domain = valueDomain(values, type);
  const ticks = type === "log" ? logTicks(...domain) : d3.ticks(...domain, 6);
  const left = Math.max(40, d3.max(ticks, (tick) => textWidth(plain(tick))) + 12);
  const tall = Math.max(height, 34 + 1.3 * LINE * named.length);
  const margin = { marginLeft: left, marginRight: (d3.max(widths) ?? 0) + REACH + 4, marginTop: 10, marginBottom: 28 };
  const base = { type: state.x === "log" ? "log" : "linear", domain: sizeDomain(sizes) };
  const x = (base.type === "log" ? d3.scaleLog() : d3.scaleLinear())
    .domain(base.domain)
    .range([left, width - margin.marginRight]);
  const svg = Plot.plot({
    ...margin,
    width,
    height: tall,
    style: { fontFamily: "inherit", fontSize: "12.5px", overflow: "visible" },
    x: { ...base, axis: null },
    y: { type, domain, axis: null },
    marks: [
      Plot.gridY(ticks, { stroke: "var(--grid)", strokeOpacity: 1 }),
      tickTexts("y", ticks),
      Plot.ruleY([domain[0]], { stroke: "var(--muted)" }),
      Plot.axisX(sizes, { tickFormat: () => "", tickSize: 4, label: null, stroke: "var(--muted)" }),
      tickTexts("x", sizeTicks(sizes, x, name), name),
      ...[...shown]
        .sort((a, b) => Boolean(b.isBehind) - Boolean(a.isBehind) || b.at - a.at)
        .flatMap((curve) => curveMarks(curve, type === "log")),
    ],
  });
  const place = (point) => [svg.scale("x").apply(point.size), svg.scale("y").apply(point.value)];
  const area = { left, right: width - margin.marginRight, top: 10, bottom: tall - 28 };
  const visible = (curve) => curve.points.filter((point) => type !== "log" || point.value > 0);
  const boxes = placeLabels(
    named.map((curve) => visible(curve).map(place)),
    widths,
    area,
  );
  const layer = d3.select(svg).append("g").attr("class", "labels").attr("aria-hidden", "true");
  named.forEach((curve, index) => {
    const [box, end] = [boxes[index], place(visible(curve).slice(-1)[0])];
    if (box.x > area.right && (Math.abs(box.y - end[1]) > 3 || box.x > end[0] + 4 * REACH)) {
      layer
        .append("line")
        .attr("x1", end[0] + 5)
        .attr("y1", end[1])
        .attr("x2", box.x - 3)
        .attr("y2", box.y)
        .attr("stroke", "var(--leader)");
    }
    layer
      .append("text")
      .attr("x", box.x)
      .attr("y", box.y)
      .attr("dy", "0.33em")
      .attr("text-anchor", "start")
      .attr("fill", textColour(curve.name))
      .text(texts[index]);
  });
  const places = shown.map((curve) => ({
    curve,
    points: visible(curve).map((point) => ({ point, at: place(point) })),
  }));
  return { svg, places };
};
