// One panel as dots: a run with a single resolution or length has nothing to draw a line through.
const ROW = 24;

const drawDots = (curves, { width, values, type, metric }) => {
  const sign = metric.higher ? -1 : 1;
  const measured = curves.filter(
    (curve) => curve.points.some((point) => type !== "log" || point.value > 0) && !curve.isBehind,
  );
  measured.sort((a, b) => sign * (a.points[0].value - b.points[0].value));
  const failed = curves.filter((curve) => !curve.points.length && !curve.isBehind);
  const rows = [...measured, ...failed].map((curve, row) => ({
    curve,
    row,
    point: curve.points[0] ?? null,
    end: curve.failed[0],
  }));
  const before = new Map(
    curves.filter((curve) => curve.isBehind && curve.points.length).map((curve) => [curve.at, curve]),
  );
  const texts = rows.map(({ curve }) => shorten(curve.name.label, Math.max(110, width * 0.33)));
  const left = (d3.max(texts, textWidth) ?? 0) + 14;
  const domain = valueDomain(values, type);
  const ticks = (type === "log" ? logTicks(...domain) : d3.ticks(...domain, 6)).filter(
    (tick) => tick >= domain[0] && tick <= domain[1],
  );
  const room = (width - left - 60) / (d3.max(ticks, (tick) => textWidth(plain(tick))) + 14);
  const shownTicks = ticks.filter((_, index) => index % Math.ceil(ticks.length / Math.max(1, room)) === 0);
  const there = rows.filter(({ point }) => point);
  const banded = there.filter(({ point }) => point.low !== null && !(type === "log" && point.low <= 0));
  const old = there.filter(({ curve }) => before.has(curve.at));
  const marks = [
    Plot.gridX(shownTicks, { stroke: "var(--grid)", strokeOpacity: 1 }),
    tickTexts("x", shownTicks),
    Plot.ruleX([domain[0]], { stroke: "var(--muted)" }),
    Plot.ruleY(there, { y: "row", x1: domain[0], x2: (d) => d.point.value, stroke: "var(--grid)", strokeWidth: 2 }),
    Plot.ruleY(banded, {
      y: "row",
      x1: (d) => d.point.low,
      x2: (d) => d.point.high,
      stroke: (d) => colour(d.curve.name),
      strokeWidth: 5,
      strokeOpacity: 0.4,
    }),
    Plot.dot(old, {
      y: "row",
      x: (d) => before.get(d.curve.at).points[0].value,
      symbol: VERTICAL,
      r: 9,
      stroke: "var(--muted)",
      strokeWidth: 2,
    }),
    ...d3
      .groups(there, ({ curve }) => curve.name.marker)
      .map(([marker, own]) =>
        Plot.dot(own, {
          y: "row",
          x: (d) => d.point.value,
          fill: (d) => (d.point.hollow ? "var(--paper)" : colour(d.curve.name)),
          stroke: (d) => (d.point.hollow ? colour(d.curve.name) : "none"),
          strokeWidth: 1.8,
          r: 5,
          symbol: SYMBOLS[marker] ?? "circle",
        }),
      ),
    Plot.text(there, {
      y: "row",
      x: (d) => Math.max(d.point.value, d.point.high ?? 0),
      dx: 10,
      textAnchor: "start",
      text: (d) => number(d.point.value),
      fill: "var(--ink)",
    }),
    Plot.text(
      rows.filter(({ point }) => !point),
      {
        y: "row",
        x: domain[0],
        dx: 10,
        textAnchor: "start",
        text: (d) => d.end.status.replaceAll("_", " "),
        fill: "var(--muted)",
      },
    ),
    Plot.text(rows, {
      y: "row",
      x: domain[0],
      dx: -10,
      textAnchor: "end",
      text: (_, i) => texts[i],
      fill: (d) => textColour(d.curve.name),
    }),
  ];
  const svg = Plot.plot({
    width,
    height: 34 + ROW * rows.length,
    marginLeft: left,
    marginRight: 60,
    marginTop: 6,
    marginBottom: 28,
    style: { fontFamily: "inherit", fontSize: "12.5px", overflow: "visible" },
    x: { type, domain, axis: null },
    y: { type: "point", domain: rows.map(({ row }) => row), padding: 0.5, axis: null },
    marks,
  });
  const places = there.map(({ curve, point, row }) => ({
    curve,
    points: [{ point, at: [svg.scale("x").apply(point.value), svg.scale("y").apply(row)] }],
  }));
  return { svg, places };
};
