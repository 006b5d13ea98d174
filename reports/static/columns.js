// The table of columns: searched, filtered, sorted, and opened in place.
function columnTable() {
  const table = $("column-table");
  if (!table) return null;
  const body = table.tBodies[0], PAGE = 200, open = new Map();
  const rows = [...table.querySelectorAll("tbody > tr")];
  const state = { search: "", type: "", flagged: false, key: "", up: true, limit: PAGE };
  const status = h("p", { role: "status", class: "note" });
  const more = h("button", { type: "button", class: "more", onclick: () => { state.limit += PAGE * 5; show(); } });
  const searched = data.columns.map((column) => `${column.name} ${column.semantic?.type ?? ""}`.toLowerCase());
  const heads = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.key);
  const typical = (column) => column.numbers ? column.numbers.mean : column.top[0]?.[0] ?? null;
  const low = (column) => column.numbers?.min ?? (column.times ? Date.parse(column.times.min) / 1000 : column.text?.min_length ?? null);
  const keys = {
    name: (c) => c.name, type: (c) => `${c.type} ${c.semantic?.type ?? ""}`, missing: (c) => c.missing,
    distinct: (c) => c.distinct.value, typical, range: low,
  };
  const firstDown = new Set(["missing", "distinct"]);
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function compared(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return collator.compare(a, b);
  }
  function ordered(indices) {
    if (!state.key) return indices;
    const values = new Map(indices.map((index) => [index, keys[state.key](data.columns[index])]));
    return [...indices].sort((a, b) => {
      const one = values.get(a), other = values.get(b);
      if (one == null || other == null) return (one == null) - (other == null) || a - b;
      return compared(one, other) * (state.up ? 1 : -1) || a - b;
    });
  }
  const wanted = () => rows.map((_, index) => index).filter((index) => searched[index].includes(state.search)
    && (!state.type || data.columns[index].type === state.type) && (!state.flagged || data.columns[index].alerts.length));

  function show() {
    const found = ordered(wanted()), seen = found.slice(0, state.limit);
    body.replaceChildren(...seen.flatMap((index) => { opener(index); const at = open.get(index); return at ? [rows[index], at.row] : [rows[index]]; }));
    const first = seen.length < found.length ? `First ${grouped(seen.length)} of ` : "";
    const whole = found.length < rows.length ? ` of ${grouped(rows.length)}` : "";
    status.textContent = `${first}${grouped(found.length)}${whole} column${rows.length === 1 ? "" : "s"}`;
    more.hidden = seen.length === found.length;
    more.textContent = `Show ${grouped(Math.min(PAGE * 5, found.length - seen.length))} more`;
    for (const each of open.values()) each.draw();
  }
  // Rows get their button when they are first shown: ten thousand at once would be felt.
  function opener(index) {
    const label = rows[index].querySelector("span.open");
    if (!label) return;
    label.replaceWith(h("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": `d${index}` }, label.firstChild));
  }
  function toggle(index, wish = !open.has(index)) {
    opener(index);
    rows[index].querySelector("button.open").setAttribute("aria-expanded", String(wish));
    rows[index].classList.toggle("opened", wish);
    if (!wish) { open.get(index)?.row.remove(); open.delete(index); return; }
    if (open.has(index)) return;
    const made = detail(index), row = h("tr", { class: "drill", id: `d${index}` }, h("td", { colspan: 7 }, made.node));
    open.set(index, { row, draw: made.draw });
    if (rows[index].isConnected) rows[index].after(row);
    made.draw();
  }
  function reveal(index) {
    if (!rows[index]) return;
    if (!body.contains(rows[index])) {
      Object.assign(state, { search: "", type: "", flagged: false });
      state.limit = Math.max(state.limit, ordered(wanted()).indexOf(index) + 1);
      tools();
    }
    toggle(index, true);
    show();
    rows[index].scrollIntoView({ block: "start" });
    rows[index].querySelector("button.open").focus({ preventScroll: true });
  }
  function sort(key) {
    state.up = state.key === key ? !state.up : !firstDown.has(key);
    state.key = key;
    for (const cell of heads) cell.setAttribute("aria-sort", cell.dataset.key !== key ? "none" : state.up ? "ascending" : "descending");
    show();
  }
  function change(name) { return (value) => { state[name] = value; state.limit = PAGE; show(); }; }
  function tools() {
    const types = tallied(data.columns.map((column) => column.type)), flagged = data.columns.filter((column) => column.alerts.length).length;
    const search = h("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns", autocomplete: "off", spellcheck: "false",
      oninput: (event) => change("search")(event.target.value.trim().toLowerCase()) });
    const sorts = h("select", { "aria-label": "Sort by", class: "narrow-only", onchange: (event) => event.target.value && sort(event.target.value) },
      h("option", { value: "" }, "Sort by"), heads.map((cell) => h("option", { value: cell.dataset.key }, cell.lastChild.textContent)));
    const groups = [];
    if (types.length > 1) groups.push(choice("Type", [["", "All", rows.length], ...types.map(([type, many]) => [type, type, many])], "", change("type")));
    if (flagged && flagged < rows.length) groups.push(choice("Alerts", [[false, "Any"], [true, "With alerts", flagged]], false, change("flagged")));
    $("column-tools").replaceChildren(search, sorts, ...groups, status);
  }

  for (const cell of heads) {
    cell.setAttribute("aria-sort", "none");
    cell.replaceChildren(h("button", { type: "button", class: "sort", onclick: () => sort(cell.dataset.key) }, cell.textContent), h("span", { class: "print-only" }, cell.textContent));
  }
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row?.id.startsWith("c") || event.target.closest("a") || String(getSelection()).length) return;
    toggle(Number(row.id.slice(1)));
  });
  table.after(more);
  table.querySelector("tbody.late")?.remove();
  tools();
  show();
  return { reveal, size: rows.length };
}
