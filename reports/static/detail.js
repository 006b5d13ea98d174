// The drill-down of one column.
function facts(title, entries) {
  const told = entries.filter(([, value]) => value != null);
  return told.length === 0 ? null : h("div", { class: "facts" }, h("h4", {}, title),
    h("dl", {}, told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

function detail(index) {
  const column = data.columns[index], drawn = [];
  const keep = (chart) => { drawn.push(chart); return chart.node; };
  const main = h("div", { class: "drawings" }, drawings(column, keep));
  if (!main.childNodes.length) main.append(h("p", { class: "empty" }, "No values to draw."));
  main.append(footnotes(index, column));
  const side = h("div", { class: "statistics" }, statistics(column));
  const node = h("section", { class: "detail", "aria-label": `Details of ${column.name}` },
    h("h3", {}, isolated(column.name), h("span", { class: "note" }, described(column))), warnings(column),
    h("div", { class: "halves" }, main, side));
  return { node, draw: (...size) => drawn.forEach((chart) => chart.draw(...size)) };
}

function described(column) {
  const told = [column.type];
  if (column.semantic) told.push(`${column.semantic.type} (${share(column.semantic.share)} of values)`);
  if (column.constant) told.push("constant");
  else if (column.unique && column.count > 1) told.push("all different");
  if (column.monotonic) told.push(`${column.monotonic.replace("strictly-", "strictly ")} in row order`);
  return told.join(" · ");
}

function warnings(column) {
  const found = column.alerts.map((at) => $(`a${at}`)).filter(Boolean);
  return found.length ? h("ul", { class: "alerts inner" }, found.map((item) => h("li", {}, ...[...item.children].slice(0, 3).map((part) => part.cloneNode(true))))) : null;
}

function drawings(column, keep) {
  const found = [], { numbers, times, text } = column, plain = isPlain(column);
  if (numbers?.histogram.counts.length) {
    found.push(keep(histogram(numbers.histogram, { title: "Distribution", label: `Histogram of ${column.name}`, plain, whole: column.type === "integer", box: numbers.quantiles["0.25"] ? numbers : null, note: outlying(column) })), quantiles(column));
  }
  if (times?.histogram.counts.length) found.push(keep(histogram(times.histogram, { title: "Over time, UTC", label: `Values of ${column.name} over time`, time: true, day: column.type === "date" })));
  const several = column.top.length && !(column.unique && column.count > 1) && column.top[0][1] >= column.count / 1000;
  if (several) {
    const rest = column.count - column.top.reduce((sum, [, count]) => sum + count, 0);
    const values = numbers || times ? column.top.slice(0, 6) : column.top;
    found.push(ranking("Most frequent values", values, column.count, { error: column.top_error, rest: values.length === column.top.length ? rest : 0, name: "Value" }));
  }
  if (isWritten(column) && text?.patterns.length) {
    const rest = column.count - text.patterns.reduce((sum, [, count]) => sum + count, 0);
    found.push(ranking("Patterns: A is a letter, 9 a digit", text.patterns, column.count, { rest, name: "Pattern" }));
  }
  if (isWritten(column) && text?.lengths.counts.length && text.max_length > text.min_length) found.push(keep(histogram(text.lengths, { title: "Lengths, in characters", label: `Lengths of ${column.name}`, whole: true, unit: " characters" })));
  return found.filter(Boolean);
}

function outlying(column) {
  const { outliers, quantiles } = column.numbers;
  const box = quantiles["0.25"] ? "Box: quartiles, median and mean; whiskers from 5 % to 95 %." : "";
  const told = !outliers ? "" : outliers.count ? ` ${counted(outliers.count, column.count)} values lie outside ${number(outliers.low)} to ${number(outliers.high)}, 1.5 interquartile ranges from the quartiles.` : " No outliers.";
  return (box + told).trim();
}

function statistics(column) {
  const { numbers: n, times: t, text: x } = column, plain = isPlain(column);
  const some = (count) => count ? counted(count, column.count) : "0";
  const middle = n?.quantiles["0.5"], [q1, q3] = [n?.quantiles["0.25"]?.value, n?.quantiles["0.75"]?.value];
  const day = column.type === "date", seconds = t && (new Date(t.max) - new Date(t.min)) / 1000;
  return [
    facts("Values", [["Present", counted(column.count, data.rows)], ["Missing", column.missing ? counted(column.missing, data.rows) : "0"], ["Distinct", measured(column.distinct)]]),
    n && facts("Centre and spread", [["Mean", number(n.mean, 5, plain)], ["Median", middle && measured(middle, plain, 1)], ["Standard deviation", n.std == null ? null : number(n.std)],
      ["Interquartile range", q1 != null && q3 != null ? `${n.quantiles["0.25"].error ? "about " : ""}${number(q3 - q1, 3)}` : null], ["Minimum", number(n.min, 6, plain)], ["Maximum", number(n.max, 6, plain)]]),
    n && facts("Shape", [["Skewness", n.skewness == null ? null : number(n.skewness, 3)], ["Excess kurtosis", n.kurtosis == null ? null : number(n.kurtosis, 3)], ["Zeros", some(n.zeros)], ["Negative", some(n.negative)],
      ["Infinite or NaN", n.infinite ? grouped(n.infinite) : "0"], ["Outliers", n.outliers ? some(n.outliers.count) : null]]),
    t && facts("Time", [["Earliest", moment(t.min, day)], ["Latest", moment(t.max, day)], ["Span", span(seconds)], ["In the future", some(t.future)]]),
    x && isWritten(column) && facts("Length", [["Shortest", grouped(x.min_length)], ["Longest", grouped(x.max_length)], ["Mean", number(x.mean_length, 3)], ["Blank", some(x.blank)]]),
  ].filter(Boolean);
}

function quantiles(column) {
  const found = Object.entries(column.numbers?.quantiles ?? {}).sort((a, b) => a[0] - b[0]);
  if (!found.length) return null;
  const errors = found.map(([, each]) => each.error ?? 0), same = errors.every((each) => each === errors[0]) && errors[0];
  const value = (each) => same ? measured(each, isPlain(column), 1).replace(/^about |, ±.*$/g, "") : measured(each, isPlain(column), 1);
  return h("div", { class: "facts strip" }, h("h4", {}, "Quantiles", same ? h("span", {}, ` estimates, ${margin(same)}`) : null),
    h("dl", {}, found.map(([key, each]) => h("div", {}, h("dt", {}, `${number(key * 100)}${NBSP}%`), h("dd", {}, value(each))))));
}

function footnotes(index, column) {
  const others = neighbours(index), parts = [];
  if (others.length) {
    parts.push(h("div", {}, h("h4", {}, "Related columns"), h("ul", { class: "related" }, others.map(({ other, value, method }) =>
      h("li", {}, h("a", { href: `#c${other}` }, isolated(data.columns[other].name)), ` ${related(value)} `, h("span", { class: "soft" }, METHODS[method]))))));
  }
  if (column.first.length) {
    parts.push(h("div", { class: "first-rows" }, h("h4", {}, "First rows"), h("p", { class: "first" }, column.first.map((text) => text == null ? h("i", { class: "void" }, "missing") : isolated(text)))));
  }
  return h("div", { class: "footnotes" }, parts);
}
