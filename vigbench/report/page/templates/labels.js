// Where the labels at the line ends go: beside the last point, spread so that none covers another.
const LINE = 15; // height of a label, px
const REACH = 9; // from the last point to its label
const pen = document.createElement("canvas").getContext("2d");

const textWidth = (text) => {
  pen.font = `12.5px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width * 1.03;
};

const shorten = (text, width) => {
  let cut = text;
  for (let keep = text.length - 1; textWidth(cut) > width && keep > 4; keep -= 1) {
    cut = `${text.slice(0, Math.ceil(keep / 2))}…${text.slice(text.length - Math.floor(keep / 2))}`;
  }
  return cut;
};

// places as near as possible to the wanted ones, `gap` apart, inside [low, high] if all fit
const spread = (wanted, gap, low, high) => {
  const order = d3.range(wanted.length).sort((a, b) => wanted[a] - wanted[b]);
  const groups = [];
  for (const index of order) {
    let [middle, members] = [wanted[index], 1];
    for (;;) {
      const half = ((members - 1) * gap) / 2;
      middle = Math.max(low + half, Math.min(high - half, middle));
      const before = groups[groups.length - 1];
      if (!before || middle - half - gap >= before.middle + ((before.members - 1) * gap) / 2) break;
      groups.pop();
      middle = (before.middle * before.members + middle * members) / (before.members + members);
      members += before.members;
    }
    groups.push({ middle, members });
  }
  const places = groups.flatMap(({ middle, members }) =>
    d3.range(members).map((k) => middle + (k - (members - 1) / 2) * gap),
  );
  const result = [];
  order.forEach((index, place) => {
    result[index] = places[place];
  });
  return result;
};

const covers = (box, points) =>
  points.some(([x, y]) => x > box.x - 2 && x < box.x + box.width + 2 && Math.abs(y - box.y) < LINE / 2 + 1);
const overlap = (a, b) => a.x < b.x + b.width && b.x < a.x + a.width && Math.abs(a.y - b.y) < LINE;

// every three pixels of a polyline
const dense = (line) =>
  line.flatMap(([x, y], i) => {
    if (!i) return [[x, y]];
    const [x0, y0] = line[i - 1];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - x0, y - y0) / 3));
    return d3.range(1, steps + 1).map((k) => [x0 + ((x - x0) * k) / steps, y0 + ((y - y0) * k) / steps]);
  });

// a box for each line: near its end where it ends early and there is room, else in the column on the right
const placeLabels = (lines, widths, area) => {
  const taken = lines.flatMap(dense);
  const inner = new Map();
  lines.forEach((line, index) => {
    const [x, y] = line[line.length - 1];
    const width = widths[index];
    if (x + REACH + width >= area.right - REACH) return;
    const steps = [0.9, 1.2, 1.5].flatMap((step) => [-step * LINE, step * LINE]);
    const tries = [0, ...steps].map((step) => ({ x: x + REACH, y: y + step, width }));
    for (const step of steps)
      tries.push({ x: x - width - 3, y: y + step, width }, { x: x - width / 2, y: y + step, width });
    const free = tries.find(
      (box) =>
        box.y > area.top &&
        box.y < area.bottom &&
        box.x > area.left &&
        !covers(box, taken) &&
        ![...inner.values()].some((other) => overlap(box, other)),
    );
    if (free) inner.set(index, free);
  });
  const outer = d3.range(lines.length).filter((index) => !inner.has(index));
  const heights = spread(
    outer.map((index) => lines[index][lines[index].length - 1][1]),
    LINE,
    area.top,
    area.bottom,
  );
  outer.forEach((index, place) => inner.set(index, { x: area.right + REACH, y: heights[place], width: widths[index] }));
  return lines.map((_, index) => inner.get(index));
};
