// The table of all cases: filtered, sorted, a page of rows at a time, each with the command that repeats it.
const PAGE = 200;
const tableMetrics = data.metrics.map((_, at) => at).filter((at) => data.metrics[at].table);
const view = { words: [], status: "", family: "", column: -1, sign: 1, page: 0, rows: [] };

const commandOf = ([name, setting, size]) => {
  const { size_option: option, command } = data.settings[setting];
  return `vigbench run ${data.names[name].command} ${option} ${sizeName(data.settings[setting], size)} ${command}`;
};

// a column: what it sorts by, a number or a text, NaN or "" where it is empty; and what it shows beside that
const sizeColumn = (kind) => ({
  key: (one) => ((kind === "length") === data.settings[one[1]].operator ? one[2] : NaN),
  text: (size, one) => sizeName(data.settings[one[1]], size),
});
const settingColumn = (at) => ({ key: (one) => data.settings[one[1]].cells[at], text: String });
const metricColumn = (at) => ({
  key: (one) => pointOf(one, at).value ?? NaN,
  text: number,
  tip: (one) => intervalText(pointOf(one, at), metricUnit(data.metrics[at], data.settings[one[1]])),
});

const makeColumns = () => {
  const settings = data.settings.length ? data.settings[0].cells : [];
  const columns = [
    { key: (one) => data.names[one[0]].label, tip: (one) => data.names[one[0]].whole },
    ...data.sizes.map(sizeColumn),
    ...settings.map((_, at) => settingColumn(at)),
    { key: (one) => data.statuses[one[3]].replaceAll("_", " ") },
    ...tableMetrics.map(metricColumn),
  ];
  return data.marked ? [...columns, { key: (one) => data.marks[one[4]] }] : columns;
};

const tableColumns = makeColumns();
const collator = new Intl.Collator("en", { numeric: true });
// what the filter looks at: everything that is not a measured number
const haystack = data.cases.map((one) =>
  [
    data.names[one[0]].label,
    data.names[one[0]].whole,
    data.names[one[0]].family,
    sizeText(data.settings[one[1]], one[2]),
    data.settings[one[1]].text,
    data.statuses[one[3]].replaceAll("_", " "),
    data.marks[one[4]],
  ]
    .join(" ")
    .toLowerCase(),
);

// numbers by value, texts by their rank among the texts that occur; empty cells stay last in both directions
const sortKeys = ({ key }) => {
  const keys = data.cases.map(key);
  const texts = [...new Set(keys)].filter((text) => typeof text === "string").sort(collator.compare);
  const rank = new Map(texts.map((text, place) => [text, text === "" ? NaN : place]));
  return texts.length ? keys.map((one) => rank.get(one) ?? NaN) : keys;
};

const select = () => {
  const wanted = (one, at) =>
    (view.status === "" || data.statuses[one[3]] === view.status) &&
    (view.family === "" || data.names[one[0]].family === view.family) &&
    view.words.every((word) => haystack[at].includes(word));
  view.rows = data.cases.map((_, at) => at).filter((at) => wanted(data.cases[at], at));
  if (view.column >= 0) {
    const keys = sortKeys(tableColumns[view.column]);
    view.rows.sort((a, b) => {
      const [one, two] = [keys[a], keys[b]];
      if (Number.isNaN(one) || Number.isNaN(two)) return Number.isNaN(one) - Number.isNaN(two) || a - b;
      return view.sign * (one - two) || a - b;
    });
  }
  view.page = 0;
};

const cellElement = ({ key, text, tip }, one) => {
  const value = key(one);
  const numeric = typeof value === "number";
  const shown = numeric ? (Number.isNaN(value) ? "" : text(value, one)) : value;
  const cell = element("td", shown);
  if (numeric && shown) cell.className = "n";
  else if (shown.length < 20) cell.className = "nowrap";
  if (tip?.(one)) cell.title = tip(one);
  return cell;
};

const rowElement = (at) => {
  const one = data.cases[at];
  const row = element("tr", "");
  const button = element("button", "copy", { type: "button", title: commandOf(one) });
  button.setAttribute(
    "aria-label",
    `Copy the command that repeats ${data.names[one[0]].label} at ${sizeText(data.settings[one[1]], one[2])}`,
  );
  button.addEventListener("click", () => copy(commandOf(one), button));
  const last = element("td", "", { class: "act" });
  if (data.names[one[0]].command) last.append(button); // only a suite can say a constructor's arguments
  row.append(...tableColumns.map((column) => cellElement(column, one)), last);
  return row;
};

const showRows = () => {
  const [total, begin] = [view.rows.length, view.page * PAGE];
  const end = Math.min(total, begin + PAGE);
  byId("table").tBodies[0].replaceChildren(...view.rows.slice(begin, end).map(rowElement));
  const all = data.cases.length.toLocaleString("en-US");
  const found =
    total === data.cases.length
      ? `${all} case${total === 1 ? "" : "s"}`
      : `${total.toLocaleString("en-US")} of ${all} cases`;
  byId("count").textContent =
    total > PAGE ? `${found}, rows ${begin + 1} to ${end} here; records.csv beside this page has all.` : `${found}.`;
  byId("pages").hidden = total <= PAGE;
  byId("page").textContent = `${view.page + 1} of ${Math.max(1, Math.ceil(total / PAGE))}`;
  byId("before").disabled = view.page === 0;
  byId("after").disabled = end >= total;
};

const refilter = () => {
  view.words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  view.status = byId("status").value;
  view.family = byId("family").value;
  select();
  showRows();
  announce(byId("count").textContent);
};

const sortable = (head, column) => {
  const button = element("button", "", { type: "button" });
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    view.sign = view.column === column ? -view.sign : 1;
    view.column = column;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", view.sign === 1 ? "ascending" : "descending");
    select();
    showRows();
  });
};

const turn = (step) => {
  view.page += step;
  showRows();
  announce(byId("count").textContent);
};

if (byId("table")) {
  const heads = byId("table").tHead.rows[0];
  Array.from(heads.cells).forEach(sortable);
  const repeat = element("th", "Repeat", { scope: "col", class: "act" });
  heads.append(repeat);
  const families = [...new Set(data.names.map((name) => name.family))];
  byId("status").append(
    ...data.statuses.map((status) => element("option", status.replaceAll("_", " "), { value: status })),
  );
  byId("family").append(...families.map((family) => element("option", data.families[family], { value: family })));
  byId("filters").hidden = false;
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("input", refilter);
  for (const id of ["status", "family"]) byId(id).addEventListener("change", refilter);
  byId("before").addEventListener("click", () => turn(-1));
  byId("after").addEventListener("click", () => turn(1));
  select();
  showRows();
}
