"""The table of columns: everything that is said of a column without opening it."""

from collections import Counter

from reports import marks
from reports.figures import (
    NONE,
    is_day,
    measured,
    moment,
    number,
    of,
    plain,
    share,
    shown,
)
from reports.frame import section
from reports.html import Html, breakable, el, join
from schemas.datasets import ColumnType
from schemas.profile import Alert, ColumnProfile, DatasetProfile

# A browser lays out so many rows at once without a pause; the script shows the others when asked.
FIRST = 200
_HEADERS = (
    ("name", "Column", "name"),
    ("type", "Type", "type"),
    ("missing", "Missing", "missing"),
    ("distinct", "Distinct", "distinct"),
    ("typical", "Mean or most frequent", "typical"),
    ("range", "Range", "range"),
    ("", "Distribution", "shape"),
)


def table(profile: DatasetProfile) -> Html:
    if not profile.columns:
        return section("columns", "Columns", el("p", "This dataset has no columns.", class_="empty"))
    counted = Counter(name for alert in profile.alerts for name in dict.fromkeys(alert.columns))
    rows = [row(index, column, profile.rows, counted[column.name]) for index, column in enumerate(profile.columns)]
    heads = [el("th", text, scope="col", class_=class_, data_key=key or None) for key, text, class_ in _HEADERS]
    late = el("tbody", *rows[FIRST:], class_="late") if rows[FIRST:] else Html("")
    body = el(
        "table",
        el("caption", "Columns with their types, missing values and distributions", class_="hidden"),
        el("thead", el("tr", *heads)),
        el("tbody", *rows[:FIRST]),
        late,
        id="column-table",
    )
    return section("columns", "Columns", el("div", id="column-tools", class_="js-only tools"), body)


def row(index: int, column: ColumnProfile, rows: int, alerts: int) -> Html:
    name = el("bdi", breakable(shown(column.name, 200)))
    marker = el("small", f"{alerts} alert{'s' if alerts > 1 else ''}", class_="count") if alerts else Html("")
    cells = [
        el("th", el("span", name, class_="open"), marker, scope="row", class_="name"),
        _cell("type", el("span", column.type.value), _semantic(column)),
        _missing(column, rows),
        _cell("distinct", *_distinct(column)),
        _cell("typical", *_typical(column)),
        _cell("range", *_range(column)),
        el("td", marks.spark(column) or el("span", NONE, class_="soft"), class_="shape"),
    ]
    return el("tr", *cells, id=f"c{index}")


def references(alert: Alert, indices: dict[str, int], most: int = 6) -> Html:
    """Links to the columns that an alert names."""
    links = [link(name, indices) for name in alert.columns[:most]]
    rest = len(alert.columns) - most
    spaced = [part for link in links for part in (link, " ")]
    return join([*spaced, f"and {rest} more" if rest > 0 else ""])


def link(name: str, indices: dict[str, int]) -> Html:
    text = el("bdi", breakable(shown(name, 80)))
    return el("a", text, href=f"#c{indices[name]}") if name in indices else text


def _cell(class_: str, main: str, *remarks: str) -> Html:
    return el("td", main, *(el("small", remark) for remark in remarks if remark), class_=class_)


def _semantic(column: ColumnProfile) -> str:
    return f"{column.semantic.type.value} {share(column.semantic.share)}" if column.semantic else ""


def _missing(column: ColumnProfile, rows: int) -> Html:
    part = of(column.missing, rows)
    class_ = "missing" if column.missing else "missing none"
    return el("td", el("span", share(part)), marks.bar(part, "bar gap") if part else Html(""), class_=class_)


def _distinct(column: ColumnProfile) -> tuple[str, str]:
    text, _, error = measured(column.distinct).partition(", ±")
    if error:
        return text, f"±{error}"
    return text, "all different" if column.unique and column.count > 1 else "constant" if column.constant else ""


def _typical(column: ColumnProfile) -> tuple[str, str]:
    """The mean of a number, the most frequent value of anything else."""
    figures = column.numbers
    if figures:
        spread = figures.std is not None and not plain(column)
        remark = f"deviation {number(figures.std, digits=3)}" if spread else ""
        return number(figures.mean, plain=plain(column)), remark
    if not column.top or (column.unique and column.count > 1):
        return NONE, ""
    first = column.top[0]
    if of(first.count, column.count) < 0.001:
        return NONE, "none is frequent"
    estimate = "about " if column.top_error else ""
    text = el("bdi", shown(first.value, 60), class_="value")
    return text, f"{estimate}{share(of(first.count, column.count))}"


def _days(low: str, high: str) -> Html:
    """Two dates that are not broken at their hyphens."""
    first, last = (el("span", each[:10], class_="whole") for each in (low, high))
    return join([first, " to ", last])


def _range(column: ColumnProfile) -> tuple[str, str]:
    if column.numbers:
        low, high = (number(each, plain=plain(column)) for each in (column.numbers.min, column.numbers.max))
        return (low, "") if low == high else (f"{low} to {high}", "")
    if column.times:
        low, high = (moment(each, day=is_day(column)) for each in (column.times.min, column.times.max))
        return (low, "") if low == high else (_days(low, high), "")
    if column.text and column.count and column.type is not ColumnType.CATEGORY:
        low, high = number(column.text.min_length), number(column.text.max_length)
        return (low if low == high else f"{low} to {high}"), "characters" if high != "1" else "character"
    return NONE, ""
