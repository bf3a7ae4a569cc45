// The form controls of the explorer: filled from the data, kept equal to the state.
const fillSelect = (select, options) => {
  select.replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
};

const swatch = (name) => {
  const svg = d3.create("svg").attr("class", "swatch").attr("width", 30).attr("height", 10).attr("aria-hidden", "true");
  const line = svg
    .append("line")
    .attr("x1", 0)
    .attr("x2", 30)
    .attr("y1", 5)
    .attr("y2", 5)
    .attr("stroke", colour(name))
    .attr("stroke-width", 2);
  if (name.dash) line.attr("stroke-dasharray", dashText(name, 1.8));
  const symbol = SYMBOLS[name.marker] ?? "circle";
  const types = {
    circle: d3.symbolCircle,
    square: d3.symbolSquare,
    triangle: d3.symbolTriangle,
    diamond2: d3.symbolDiamond2,
  };
  const type = typeof symbol === "string" ? (types[symbol] ?? d3.symbolCircle) : symbol;
  svg.append("path").attr("d", d3.symbol(type, 38)()).attr("transform", "translate(15,5)").attr("fill", colour(name));
  return svg.node();
};

const checkbox = (at, redraw) => {
  const name = data.names[at];
  const input = element("input", "", { type: "checkbox", value: at, id: `name-${at}` });
  input.addEventListener("change", () => {
    if (input.checked) state.hidden.delete(at);
    else state.hidden.add(at);
    redraw();
  });
  const label = element("label", "", { for: `name-${at}`, title: name.whole });
  const text = element("span", name.label);
  text.style.color = textColour(name);
  label.append(input, swatch(name), text);
  return label;
};

const makeLegend = (redraw) => {
  const groups = d3.groups(
    data.names.map((_, at) => at),
    (at) => data.names[at].family,
  );
  for (const [family, members] of groups) {
    const set = element("fieldset", "");
    set.append(element("legend", data.families[family]));
    if (members.length > 1) {
      const every = element("button", "all", { type: "button", "aria-label": `Show all of ${data.families[family]}` });
      const none = element("button", "none", { type: "button", "aria-label": `Hide all of ${data.families[family]}` });
      every.addEventListener("click", () => {
        members.forEach((at) => state.hidden.delete(at));
        redraw();
      });
      none.addEventListener("click", () => {
        members.forEach((at) => state.hidden.add(at));
        redraw();
      });
      const both = element("span", "", { class: "both" });
      both.append(every, none);
      set.append(both);
    }
    set.append(...members.map((at) => checkbox(at, redraw)));
    byId("families").append(set);
  }
  byId("all").addEventListener("click", () => {
    state.hidden.clear();
    redraw();
  });
  byId("none").addEventListener("click", () => {
    state.hidden = new Set(data.names.keys());
    redraw();
  });
};

const fillSettings = () => {
  const there = settingsOf(state.metric);
  const heads = there.filter((at) => !state.behind || !data.settings.some((one) => one.behind === at));
  const beside =
    there.length <= SIDE_BY_SIDE && heads.length > 1
      ? [["all", heads.length === 2 ? "both, side by side" : `all ${heads.length}, side by side`]]
      : [];
  fillSelect(byId("setting"), [...beside, ...there.map((at) => [at, data.settings[at].text])]);
  fillSelect(byId("beside"), [["", "nothing"], ...there.map((at) => [at, data.settings[at].text])]);
  if (state.setting === "all" ? !beside.length : !there.includes(state.setting)) state.setting = heads[0] ?? there[0];
  byId("setting-label").hidden = there.length < 2;
  byId("beside-label").hidden = there.length <= SIDE_BY_SIDE;
};

const showState = () => {
  fillSettings();
  byId("metric").value = String(state.metric);
  byId("setting").value = String(state.setting);
  byId("beside").value = state.beside === null ? "" : String(state.beside);
  byId("x").value = state.x;
  byId("y").value = state.y;
  byId("behind").checked = state.behind;
  for (const input of byId("families").querySelectorAll("input"))
    input.checked = !state.hidden.has(Number(input.value));
};

const makeControls = (redraw) => {
  fillSelect(
    byId("metric"),
    plotted.map((at) => [at, withItem(`${data.metrics[at].name} (${data.metrics[at].unit})`, data.item)]),
  );
  const bind = (id, apply) =>
    byId(id).addEventListener("change", (event) => {
      apply(event.target);
      redraw();
    });
  bind("metric", ({ value }) => {
    state.metric = Number(value);
  });
  bind("setting", ({ value }) => {
    state.setting = value === "all" ? value : Number(value);
  });
  bind("beside", ({ value }) => {
    state.beside = value === "" ? null : Number(value);
  });
  bind("x", ({ value }) => {
    state.x = value;
  });
  bind("y", ({ value }) => {
    state.y = value;
  });
  bind("behind", ({ checked }) => {
    state.behind = checked;
  });
  byId("behind-label").hidden = !data.settings.some((one) => one.behind !== null);
  makeLegend(redraw);
};
