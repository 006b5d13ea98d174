// One path for each of 21 shades: a matrix of 250 columns is 21 elements, and follows the theme by itself.
const FEW = 40;

function shade(level) {
  const part = Math.abs(level) * 10;
  return `color-mix(in oklab, var(${level < 0 ? "--negative" : "--positive"}) ${part}%, var(--neutral))`;
}

function keep(matrix, most) {
  const pick = (size, strength) => [...Array(size).keys()].map((i) => [i, strength(i)]).sort((a, b) => b[1] - a[1]).slice(0, most).map(([i]) => i).sort((a, b) => a - b);
  const best = (size, value) => { let found = 0; for (let k = 0; k < size; k++) found = Math.max(found, Math.abs(value(k) ?? 0)); return found; };
  const rows = pick(matrix.rows.length, (i) => best(matrix.columns.length, (j) => matrix.symmetric && i === j ? 0 : matrix.value(i, j)));
  return [rows, matrix.symmetric ? rows : pick(matrix.columns.length, (j) => best(matrix.rows.length, (i) => matrix.value(i, j)))];
}

// Each next to the one it is most like.
function chained(matrix, rows) {
  const left = new Set(rows.slice(1)), order = [rows[0]];
  while (left.size) {
    const last = order[order.length - 1];
    let best = null, strength = -1;
    for (const each of left) {
      const value = Math.abs(matrix.value(last, each) ?? 0);
      if (value > strength) [best, strength] = [each, value];
    }
    left.delete(best);
    order.push(best);
  }
  return order;
}

// What all names begin with tells nobody anything, and takes the room of what does.
function labels(names) {
  let shared = names.length > 3 ? names[0].lastIndexOf("_") + 1 : 0;
  while (shared > 3 && !names.every((each) => each.startsWith(names[0].slice(0, shared)))) shared = names[0].lastIndexOf("_", shared - 2) + 1;
  return names.map((each) => shared > 3 ? `…${each.slice(shared)}` : each).map((each) => each.length > 20 ? `${each.slice(0, 10)}…${each.slice(-9)}` : each);
}

function heatmap(host, matrix) {
  const name = (index) => data.columns[index]?.name ?? "?";
  const large = Math.max(matrix.rows.length, matrix.columns.length) > FEW;
  const state = { all: !large, similar: false, i: 0, j: 0 };
  let rows = [], columns = [], cell = 1, left = 0, top = 0;
  const svg = s("svg", { class: "matrix", tabindex: 0, role: "application", "aria-roledescription": "heatmap",
    "aria-label": `${METHODS[matrix.method]}, ${matrix.rows.length} by ${matrix.columns.length} columns; arrow keys move through the cells` });
  const readout = h("output", { class: "hidden", "aria-live": "polite" });
  const told = (i, j) => `${name(matrix.rows[rows[i]])} and ${name(matrix.columns[columns[j]])}: ${related(matrix.value(rows[i], columns[j]))}`;

  function draw() {
    [rows, columns] = keep(matrix, state.all ? Infinity : FEW);
    if (state.similar && matrix.symmetric) columns = rows = chained(matrix, rows);
    const labelled = Math.max(rows.length, columns.length) <= FEW, [across, down] = [labels(columns.map((j) => name(matrix.columns[j]))), labels(rows.map((i) => name(matrix.rows[i])))];
    const longest = labelled ? Math.max(...[...across, ...down].map((text) => text.length)) : 0;
    const room = host.clientWidth || 640;
    left = labelled ? Math.min(longest * (columns.length > 24 ? 5.4 : 6.8) + 10, room * 0.36) : 0;
    cell = Math.min(54, Math.max(1, (Math.min(room, 720) - left * 1.3) / columns.length));
    const upright = cell < 20;
    top = left * (upright ? 1 : 0.75);
    const wide = left + cell * columns.length + (upright ? 0 : left * 0.6), tall = top + cell * rows.length;
    const gap = cell > 6 ? 1 : 0, paths = new Map(), parts = [];
    rows.forEach((row, i) => columns.forEach((column, j) => {
      const value = matrix.value(row, column);
      if (value == null) return;
      const level = Math.round(value * 10);
      const size = (cell - gap).toFixed(2);
      paths.set(level, `${paths.get(level) ?? ""}M${(left + j * cell).toFixed(1)} ${(top + i * cell).toFixed(1)}h${size}v${size}h-${size}z`);
    }));
    for (const [level, d] of paths) {
      const path = s("path", { d });
      path.style.fill = shade(level);
      parts.push(path);
    }
    if (labelled) {
      const small = cell < 15 ? " small" : "";
      rows.forEach((row, i) => parts.push(s("text", { class: `axis end${small}`, x: left - 6, y: top + (i + 0.5) * cell + 4 }, down[i])));
      columns.forEach((column, j) => { const x = left + (j + (upright ? 0.7 : 0.5)) * cell; parts.push(s("text", { class: `axis${small}`, x, y: top - 6, transform: `rotate(${upright ? -90 : -45} ${x} ${top - 6})` }, across[j])); });
      if (cell >= 30) rows.forEach((row, i) => columns.forEach((column, j) => {
        const value = matrix.value(row, column);
        if (value != null) parts.push(s("text", { class: `inside${Math.abs(value) > 0.75 ? " strong" : Math.abs(value) > 0.5 ? " half" : ""}`, x: left + (j + 0.5) * cell, y: top + (i + 0.5) * cell + 4 }, related(value)));
      }));
    }
    parts.push(s("rect", { class: "outline", width: 0, height: cell - gap }));
    svg.setAttribute("viewBox", `0 0 ${wide} ${tall}`);
    svg.setAttribute("width", wide);
    svg.replaceChildren(...parts);
  }
  function move(i, j) {
    state.i = Math.max(0, Math.min(rows.length - 1, i));
    state.j = Math.max(0, Math.min(columns.length - 1, j));
    const outline = svg.lastChild;
    outline.setAttribute("x", left + state.j * cell);
    outline.setAttribute("y", top + state.i * cell);
    outline.setAttribute("width", cell);
    outline.setAttribute("height", cell);
  }
  function leave() { tip.hide(); svg.lastChild?.setAttribute("width", 0); }
  function announce() {
    const frame = svg.getBoundingClientRect(), ratio = frame.width / svg.viewBox.baseVal.width;
    readout.textContent = told(state.i, state.j);
    tip.show(told(state.i, state.j), frame.left + (left + (state.j + 0.5) * cell) * ratio, frame.top + (top + state.i * cell) * ratio);
  }
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect(), ratio = svg.viewBox.baseVal.width / frame.width;
    const j = Math.floor(((event.clientX - frame.left) * ratio - left) / cell), i = Math.floor(((event.clientY - frame.top) * ratio - top) / cell);
    if (i < 0 || j < 0 || i >= rows.length || j >= columns.length) return leave();
    move(i, j);
    tip.show(told(i, j), event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) { move(state.i, state.j); announce(); } });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (event.key === "Escape") return tip.hide();
    if (!step) return;
    event.preventDefault();
    move(state.i + step[0], state.j + step[1]);
    announce();
  });

  const redraw = (key) => (value) => { state[key] = value; draw(); };
  const tools = [];
  if (large) tools.push(choice("Columns", [[false, `${FEW} strongest`], [true, `All ${Math.max(matrix.rows.length, matrix.columns.length)}`]], false, redraw("all")));
  if (matrix.symmetric && matrix.rows.length > 4) tools.push(choice("Order", [[false, "As in the file"], [true, "Similar together"]], false, redraw("similar")));
  host.replaceChildren(h("div", { class: "tools" }, tools, legend(matrix.signed)), svg, readout);
  draw();
  return { draw };
}

function legend(signed) {
  const levels = [...Array(signed ? 21 : 11).keys()].map((at) => signed ? at - 10 : at);
  const strip = s("svg", { viewBox: `0 0 ${levels.length * 8} 10`, width: levels.length * 8, height: 10, "aria-hidden": "true" }, levels.map((level, at) => {
    const part = s("rect", { x: at * 8, width: 8, height: 10 });
    part.style.fill = shade(level);
    return part;
  }));
  return h("p", { class: "legend" }, signed ? `${MINUS}1` : "0", strip, "1");
}

// Drawn when it comes near: a page of 500 columns opens without waiting for its matrices.
function heatmaps() {
  const drawn = new Map();
  const make = (at) => drawn.get(at) ?? drawn.set(at, heatmap($(`m${at}`), matrices[at])).get(at);
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { make(Number(entry.target.id.slice(1))); near.unobserve(entry.target); }
  }, { rootMargin: "600px" });
  matrices.forEach((_, at) => $(`m${at}`) && near.observe($(`m${at}`)));
  return { all: () => matrices.forEach((_, at) => $(`m${at}`) && make(at)), redraw: () => drawn.forEach((each) => each.draw()) };
}
