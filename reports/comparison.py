"""Two profiles side by side: what came, what went, and how far each distribution moved."""

from collections import Counter
from math import isfinite
from typing import Literal

from reports.figures import count, number, share, shown
from reports.frame import key_figures, navigation, page, section
from reports.html import Html, breakable, el, join
from reports.scripts import scripts
from schemas.profile import ColumnDrift, ProfileComparison

Band = Literal["alike", "shifting", "shifted"]
_ALIKE, _SHIFTED = 0.1, 0.25
# The bar is full where a shift is beyond doubt: twice the threshold.
_FULL = 2 * _SHIFTED
_HEADERS = (
    ("name", "Column", "name"),
    ("band", "Band", None),
    ("score", "Score", "figure"),
    ("", "Shift", "shift"),
    ("missing", "Missing", "figure"),
    ("type", "Type", "type"),
)


def band(score: float) -> Band:
    return "alike" if score < _ALIKE else "shifting" if score <= _SHIFTED else "shifted"


def render_comparison(found: ProfileComparison) -> str:
    title = f"{found.before} to {found.after}"
    changed = len(found.added) + len(found.removed)
    links = [("drift", "Drift", count(len(found.drift))), ("changes", "Added and removed", count(changed))]
    body = join([_header(found), navigation(links), el("main", _drift(found), _changes(found), id="main")])
    return page(f"{title} - comparison", body, {}, scripts=scripts())


def _header(found: ProfileComparison) -> Html:
    bands = Counter(band(each.score) for each in found.drift)
    change = found.rows_after - found.rows_before
    relative = f" ({share(abs(change) / found.rows_before)})" if found.rows_before else ""
    names = [el("bdi", shown(name, 100)) for name in (found.before, found.after)]
    return el(
        "header",
        el("p", "Profile comparison", class_="kicker"),
        el("h1", names[0], el("span", " to ", class_="soft"), names[1]),
        key_figures(
            [
                ("Rows before", count(found.rows_before), ""),
                ("Rows after", count(found.rows_after), f"{_signed(change)}{relative}" if change else "unchanged"),
                ("Columns added", count(len(found.added)), ""),
                ("Columns removed", count(len(found.removed)), ""),
                ("Shifted", count(bands["shifted"]), f"of {count(len(found.drift))} in both"),
                ("Shifting", count(bands["shifting"]), f"{count(bands['alike'])} alike"),
            ]
        ),
    )


def _drift(found: ProfileComparison) -> Html:
    note = "Population stability index: under 0.1 alike, to 0.25 shifting, beyond it shifted. Marks stand at both."
    if not found.drift:
        return section("drift", "Drift", el("p", "No column is in both.", class_="empty"))
    heads = [el("th", text, scope="col", class_=class_, data_key=key or None) for key, text, class_ in _HEADERS]
    table = el(
        "table",
        el("caption", "Drift of the columns in both, most drifted first", class_="hidden"),
        el("thead", el("tr", *heads)),
        el("tbody", *(_row(each) for each in found.drift)),
        id="drift-table",
    )
    return section("drift", "Drift", el("div", id="drift-tools", class_="js-only tools"), table, note=note)


def _row(each: ColumnDrift) -> Html:
    kind = band(each.score)
    retyped = each.type_before != each.type_after
    types = f"{each.type_before.value} to {each.type_after.value}" if retyped else each.type_after.value
    change = each.missing_after - each.missing_before
    moved = abs(change) >= 0.0005
    missing = f"{share(each.missing_before)} to {share(each.missing_after)}" if moved else share(each.missing_after)
    return el(
        "tr",
        el("th", el("bdi", breakable(shown(each.column, 200))), scope="row", class_="name"),
        el("td", el("span", kind, class_=f"band {kind}")),
        el("td", number(each.score, digits=3), class_="figure", data_sort=str(each.score)),
        el("td", _shift(each.score, kind), class_="long shift"),
        el("td", missing, class_="figure" if moved else "figure soft", data_sort=str(change)),
        el("td", types, class_="type" if retyped else "type soft"),
        data_band=kind,
    )


def _shift(score: float, kind: Band) -> Html:
    """A bar with a mark at each threshold."""
    wide = f"{min(max(score, 0) / _FULL, 1) * 100 if isfinite(score) else 100:.4g}"
    marked = [el("path", d=f"M{at / _FULL * 100:g} 0v8", class_="tick") for at in (_ALIKE, _SHIFTED)]
    parts = [el("rect", width=wide, height=4, y=2), *marked]
    box = {"viewBox": "0 0 100 8", "preserveAspectRatio": "none"}
    return el("svg", *parts, class_=f"bar {kind}", aria_hidden="true", **box)


def _changes(found: ProfileComparison) -> Html:
    lists = [_names("Added", found.added), _names("Removed", found.removed)]
    return section("changes", "Added and removed", el("div", *lists, class_="pair"))


def _names(title: str, names: list[str]) -> Html:
    items = el("ul", *(el("li", el("bdi", shown(name, 200))) for name in names), class_="names")
    return el("div", el("h3", title), items if names else el("p", "None.", class_="empty"))


def _signed(change: int) -> str:
    return f"+{change:,}" if change > 0 else f"\N{MINUS SIGN}{-change:,}"
