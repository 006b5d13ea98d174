// A histogram is explored like a slider: arrow keys move through the bins, and each is read out.
const LEFT = 52, RIGHT = 12, TOP = 10, BASE = 26, BOX = 30;

// Edges are left out where bins have equal widths.
function binned({ edges, counts }) {
  const even = edges.length === 2 || counts.length === 0;
  const at = (i) => even ? edges[0] + (edges[1] - edges[0]) * i / counts.length : edges[i];
  const bins = counts.map((count, i) => ({ low: at(i), high: at(i + 1), count }));
  const widths = bins.map((bin) => bin.high - bin.low), widest = Math.max(...widths), mean = widths.reduce((a, b) => a + b, 0) / widths.length;
  const uneven = !even && widest > mean * 1.5 && mean > 0;
  return { bins, uneven, heights: bins.map((bin) => uneven ? bin.count / (bin.high - bin.low || mean) : bin.count) };
}

function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / most, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * unit).find((each) => each >= rough);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9) + 0; i * step <= high + step * 1e-9; i++) found.push(i * step + 0);
  return found;
}

const CLOCK = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800];

// Ticks at whole seconds, hours, days, months or years.
function timeTicks(low, high, most) {
  const rough = (high - low) / most, step = CLOCK.find((each) => each >= rough);
  if (step) {
    const found = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(at);
    return { found, label: (at) => step < 86400 ? moment(at).slice(high - low < 86400 ? 11 : 5, -4) : moment(at).slice(0, 10) };
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 12000].find((each) => each * 2629800 >= rough) ?? 120000;
  const found = [], first = new Date(low * 1000);
  for (let m = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months; found.length < 50; m += months) {
    const start = new Date(0);
    const at = start.setUTCFullYear(Math.floor(m / 12), m % 12, 1) / 1000;
    if (!(at <= high)) break;
    if (at >= low) found.push(at);
  }
  return { found, label: (at) => moment(at).slice(0, months < 12 ? 7 : 4) };
}

// options: label, plain, whole (values are whole numbers), time, day, rows, box, unit
function histogram(source, options) {
  const { bins, heights, uneven } = binned(source);
  const total = bins.reduce((sum, bin) => sum + bin.count, 0);
  const seen = heights.filter((each) => each > 0);
  let logarithmic = false, at = 0, places = [];
  const most = Math.max(...heights);
  const scale = (value) => logarithmic ? (value ? Math.log(value / floor + 1) / Math.log(most / floor + 1) : 0) : most ? value / most : 0;
  const floor = Math.min(...seen, most) / 2 || 1;
  const written = (value) => options.time ? moment(value, options.day) : number(value, 5, options.plain);
  function named(bin, last) {
    if (!options.whole) return bin.low === bin.high ? written(bin.low) : `${written(bin.low)} to ${written(bin.high)}`;
    const low = Math.ceil(bin.low), high = last ? Math.floor(bin.high) : Math.ceil(bin.high) - 1;
    return high <= low ? written(low) : `${written(low)} to ${written(high)}`;
  }
  const told = (i) => `${named(bins[i], i === bins.length - 1)}${options.unit ?? ""}: ${counted(bins[i].count, total)}`;

  const svg = s("svg", {
    class: "chart", tabindex: 0, role: "slider", "aria-label": `${options.label}; arrow keys move through ${bins.length} bars`,
    "aria-valuemin": 1, "aria-valuemax": bins.length, "aria-valuenow": 1, "aria-valuetext": told(0),
  });
  const host = h("div", { class: "host" }, svg);

  function draw(width = host.clientWidth, tall = 240) {
    const wide = Math.max(260, Math.round(width) || 640), box = options.box ? BOX : 0;
    const low = bins[0].low, high = bins[bins.length - 1].high, flat = !(high > low);
    const x = (value) => LEFT + (flat ? 0.5 : (value - low) / (high - low)) * (wide - LEFT - RIGHT);
    const y = (value) => TOP + (1 - scale(value)) * (tall - TOP);
    svg.setAttribute("viewBox", `0 0 ${wide} ${tall + BASE + box}`);
    const parts = [];
    if (!uneven) {
      const lines = logarithmic ? [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9].filter((each) => each <= most && each >= floor) : ticks(0, most, 4).filter(Number.isInteger);
      for (const value of lines) {
        parts.push(s("line", { class: "rule", x1: LEFT, x2: wide - RIGHT, y1: y(value), y2: y(value) }));
        parts.push(s("text", { class: "axis end", x: LEFT - 8, y: y(value) + 4 }, short(value)));
      }
    }
    places = bins.map((bin) => flat ? [x(0) - 30, x(0) + 30] : [x(bin.low), x(bin.high)]);
    bins.forEach((bin, i) => {
      if (!bin.count) return;
      const [from, to] = places[i], gap = to - from > 4 ? 1 : 0, top = Math.min(y(heights[i]), tall - 1);
      parts.push(s("rect", { class: "mark", x: from, width: Math.max(0.5, to - from - gap), y: top, height: tall - top, "data-at": i }));
    });
    parts.push(s("line", { class: "base", x1: LEFT, x2: wide - RIGHT, y1: tall, y2: tall }));
    const room = Math.max(2, Math.floor((wide - LEFT - RIGHT) / 84));
    const scaled = options.time && !flat ? timeTicks(low, high, room) : { found: ticks(low, high, room).filter((v) => !options.whole || flat || Number.isInteger(v)), label: flat ? written : (v) => axis(v, high - low) };
    for (const value of scaled.found) {
      // A whole number stands over the middle of its own bar.
      const centre = x(value) + (options.whole && !flat && bins[0].high - bins[0].low === 1 && value < high ? (x(low + 1) - x(low)) / 2 : 0);
      if (centre > wide - RIGHT + 1) continue;
      parts.push(s("line", { class: "base", x1: centre, x2: centre, y1: tall, y2: tall + 4 }));
      parts.push(s("text", { class: `axis ${centre > wide - 34 ? "end" : "middle"}`, x: centre > wide - 34 ? wide - 2 : centre, y: tall + 18 }, scaled.label(value)));
    }
    if (box) parts.push(...boxed(options.box, x, tall + BASE + BOX / 2, low, high));
    parts.push(s("rect", { class: "cursor", y: TOP, height: tall - TOP, width: 0 }));
    svg.replaceChildren(...parts);
  }
  function axis(value, range) {
    if (options.plain) return number(value, 6, true);
    const size = Math.max(Math.abs(value), range);
    return size >= 1e5 ? short(value) : Math.abs(value) < range * 1e-9 ? "0" : number(value, range < Math.abs(value) / 100 ? 6 : 4);
  }
  function move(to, keyed) {
    at = Math.max(0, Math.min(bins.length - 1, to));
    const [from, until] = places[at], cursor = svg.lastChild;
    cursor.setAttribute("x", from);
    cursor.setAttribute("width", Math.max(1, until - from));
    svg.setAttribute("aria-valuenow", at + 1);
    svg.setAttribute("aria-valuetext", told(at));
    const frame = svg.getBoundingClientRect(), ratio = frame.width / svg.viewBox.baseVal.width;
    if (keyed) tip.show(told(at), frame.left + (from + until) / 2 * ratio, frame.top + 24);
  }
  function leave() { tip.hide(); svg.lastChild.setAttribute("width", 0); }
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect(), here = (event.clientX - frame.left) * svg.viewBox.baseVal.width / frame.width;
    const found = places.findIndex(([from, to]) => here >= from && here <= to);
    if (found < 0) return leave();
    move(found);
    tip.show(told(found), event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("focus", () => { if (svg.matches(":focus-visible")) move(at, true); });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10, Home: -bins.length, End: bins.length };
    if (event.key === "Escape") return tip.hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    move(at + steps[event.key], true);
  });
  // Drawn in the next frame: a drawing that resizes what is observed would be reported as a loop.
  let last = 0;
  new ResizeObserver(() => { if (host.clientWidth && host.clientWidth !== last) { last = host.clientWidth; requestAnimationFrame(() => draw()); } }).observe(host);

  const wantsLog = !uneven && seen.length > 1 && most > 60 * Math.min(...seen);
  const toggle = wantsLog && h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: (event) => {
    logarithmic = !logarithmic;
    event.target.setAttribute("aria-pressed", String(logarithmic));
    draw();
  } }, "Log scale");
  const values = h("details", { class: "values" }, h("summary", {}, "As a table"));
  values.addEventListener("toggle", () => values.children[1] ?? values.append(h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Range"), h("th", { scope: "col", class: "figure" }, "Rows"))),
    h("tbody", {}, bins.map((bin, i) => h("tr", {}, h("th", { scope: "row" }, named(bin, i === bins.length - 1)), h("td", { class: "figure" }, counted(bin.count, total))))))));
  const remarks = [options.note, uneven && "Bars have different widths: their area, not their height, is the number of rows."].filter(Boolean).join(" ");
  const note = remarks ? h("p", { class: "note" }, remarks) : null;
  return { node: h("figure", {}, h("figcaption", {}, options.title, toggle), host, note, values), draw };
}

const short = (value) => Math.abs(value) >= 1e6 ? rounded(value, 3) : Math.abs(value) >= 1e4 ? `${number(value / 1e3, 3)}${NBSP}k` : number(value, 3);

// Whiskers at 5 % and 95 %, the box between the quartiles, a line at the median, a dot at the mean.
function boxed({ quantiles, mean }, x, y, low, high) {
  const at = (key) => quantiles[key] && x(Math.max(low, Math.min(high, quantiles[key].value)));
  const [p5, q1, median, q3, p95] = ["0.05", "0.25", "0.5", "0.75", "0.95"].map(at);
  if (q1 == null || q3 == null) return [];
  const parts = [];
  if (p5 != null && p95 != null) {
    parts.push(s("path", { class: "whisker", d: `M${p5} ${y}H${q1}M${q3} ${y}H${p95}M${p5} ${y - 5}v10M${p95} ${y - 5}v10` }));
  }
  parts.push(s("rect", { class: "quartiles", x: q1, width: Math.max(1, q3 - q1), y: y - 8, height: 16 }));
  if (median != null) parts.push(s("path", { class: "median", d: `M${median} ${y - 8}v16` }));
  if (mean >= low && mean <= high) parts.push(s("circle", { class: "mean", cx: x(mean), cy: y, r: 3 }));
  return parts;
}

// Values with bars, as a table: it is its own text alternative.
function ranking(title, values, total, { error, rest, name }) {
  const most = Math.max(...values.map(([, count]) => count), 1), about = error ? "about " : "";
  const row = (text, count, class_) => h("tr", { class: class_ }, h("th", { scope: "row" }, isolated(text)),
    h("td", { class: "long" }, bar(count / most)),
    h("td", { class: "figure" }, `${about}${error ? rounded(count, 3) : grouped(count)}`), h("td", { class: "figure soft" }, share(count, total)));
  const heads = h("tr", {}, h("th", { scope: "col" }, name), h("td"), h("th", { scope: "col", class: "figure" }, "Rows"), h("th", { scope: "col", class: "figure" }, "Share"));
  const rows = values.map(([text, count]) => row(text, count));
  if (rest > 0) rows.push(row("All others", rest, "others"));
  return h("table", { class: "ranking" }, h("caption", {}, title, error ? h("span", {}, ` counts ${margin(error)}`) : null), h("thead", {}, heads), h("tbody", {}, rows));
}

function bar(part, class_ = "bar") {
  const wide = Math.max(0, Math.min(1, part)) * 100;
  return s("svg", { class: class_, viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { width: wide, height: 1 }));
}
