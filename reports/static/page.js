// What a printed report opens: every column of a small dataset, and of a large one those with alerts.
const PRINTED = 30;

function alertFilter() {
  const host = $("alert-tools"), items = [...document.querySelectorAll("#alerts .alerts > li")], more = $("more-alerts");
  if (!host || items.length < 2) return;
  const kinds = tallied(items.map((item) => item.dataset.kind)), titles = new Map(items.map((item) => [item.dataset.kind, item.querySelector(".kind").textContent]));
  if (kinds.length < 2) return;
  host.append(choice("Kind of alert", [["", "All", items.length], ...kinds.map(([kind, many]) => [kind, titles.get(kind), many])], "", (chosen) => {
    for (const item of items) item.hidden = chosen !== "" && item.dataset.kind !== chosen;
    if (!more) return;
    const left = [...more.querySelectorAll("li")].filter((item) => !item.hidden).length;
    more.hidden = left === 0;
    more.open = chosen !== "";
    more.querySelector("summary").textContent = `${grouped(left)} more`;
  }));
}

// Any plain table whose headers name a key: sorted by data-sort or by text, filtered by band.
function driftTable() {
  const table = $("drift-table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator("en", { numeric: true }), value = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent;
  const state = { search: "", band: "" };
  heads.forEach((cell, at) => {
    if (!cell.dataset.key) return;
    cell.setAttribute("aria-sort", cell.dataset.key === "score" ? "descending" : "none");
    cell.replaceChildren(h("button", { type: "button", class: "sort", onclick: () => {
      const up = cell.getAttribute("aria-sort") !== "ascending";
      for (const each of heads) if (each.dataset.key) each.setAttribute("aria-sort", each !== cell ? "none" : up ? "ascending" : "descending");
      rows.sort((a, b) => {
        const [one, other] = [value(a, at), value(b, at)], numeric = row => row.cells[at].dataset.sort !== undefined;
        return (numeric(a) ? one - other : collator.compare(one, other)) * (up ? 1 : -1);
      });
      body.append(...rows);
    } }, cell.textContent), h("span", { class: "print-only" }, cell.textContent));
  });
  function filter() {
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(state.search) || (state.band !== "" && row.dataset.band !== state.band);
  }
  $("drift-tools").append(
    h("input", { type: "search", placeholder: "Search columns", "aria-label": "Search columns", oninput: (event) => { state.search = event.target.value.trim().toLowerCase(); filter(); } }),
    choice("Band", [["", "All", rows.length], ...["shifted", "shifting", "alike"].map((band) => [band, band, rows.filter((row) => row.dataset.band === band).length]).filter((each) => each[2])], "", (band) => { state.band = band; filter(); }));
}

const table = columnTable(), maps = heatmaps();
function beforePrint() {
  if (!table) return maps.all();
  const every = table.size <= PRINTED, wanted = [];
  data.columns?.forEach((column, index) => { if ((every || column.alerts.length) && wanted.length < PRINTED) wanted.push(index); });
  const printed = h("section", { id: "printed" }, h("h2", {}, "Columns in detail"));
  $("columns").after(printed);
  for (const index of wanted) {
    const made = detail(index);
    printed.append(made.node);
    made.draw(440, 96);
  }
  maps.all();
  if ($("more-alerts")) $("more-alerts").open = true;
}

function follow() {
  const column = /^#c(\d+)$/.exec(location.hash);
  if (column && table) table.reveal(Number(column[1]));
}

alertFilter();
driftTable();
follow();
addEventListener("hashchange", follow);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#c']");
  if (link && link.getAttribute("href") === location.hash) follow();
});
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hide(); });
addEventListener("scroll", tip.hide, { passive: true });
addEventListener("beforeprint", beforePrint);
addEventListener("afterprint", () => $("printed")?.remove());
let resized = 0;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(maps.redraw, 120); });
