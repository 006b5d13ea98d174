"""What columns have to do with each other: correlations, what is missing together, what tells the target."""

from collections.abc import Iterator
from math import isfinite

from reports import marks
from reports.columns import link
from reports.details import MATRIX
from reports.figures import count, number, of, plain, share, shown
from reports.frame import section
from reports.html import Html, el
from schemas.profile import ColumnProfile, CorrelationMethod, Correlations, DatasetProfile, MissingPattern

_METHODS = {
    CorrelationMethod.PEARSON: ("Pearson", "linear relation between numbers, from \N{MINUS SIGN}1 to 1"),
    CorrelationMethod.SPEARMAN: ("Spearman", "monotonic relation between numbers, from \N{MINUS SIGN}1 to 1"),
    CorrelationMethod.CRAMERS_V: (
        "Cramér\N{RIGHT SINGLE QUOTATION MARK}s V",
        "association between categories, from 0 to 1",
    ),
    CorrelationMethod.CORRELATION_RATIO: ("Correlation ratio", "how far a category tells a number, from 0 to 1"),
}
_FIGURES = {"Score", "Value"}
WEAK = 0.1
PAIRS, PATTERNS, GRID, TARGETS, SAMPLE_COLUMNS = 10, 20, 24, 15, 60


def correlations(profile: DatasetProfile) -> Html:
    indices = {column.name: index for index, column in enumerate(profile.columns)}
    shown_ones = [each for each in profile.correlations if each.rows and each.columns]
    parts = [_method(at, each, indices) for at, each in enumerate(shown_ones)]
    return section("correlations", "Correlations", *parts) if parts else Html("")


def missing(profile: DatasetProfile) -> Html:
    if not profile.missing_patterns:
        return Html("")
    patterns = profile.missing_patterns[:PATTERNS]
    names = _involved(profile, patterns)
    left = len(profile.missing_patterns) - len(patterns)
    note = "Columns that are missing in the same rows, all others present."
    note += f" The {len(patterns)} most frequent of {count(len(profile.missing_patterns))} patterns." if left else ""
    table = _grid(profile, patterns, names) if len(names) <= GRID else _listing(profile, patterns)
    return section("missing", "Missing together", _scrolling(table, "Patterns of missing values"), note=note)


def targets(profile: DatasetProfile) -> Html:
    if not profile.target or not profile.target_scores:
        return Html("")
    indices = {column.name: index for index, column in enumerate(profile.columns)}
    rows = [
        el(
            "tr",
            el("th", link(each.column, indices), scope="row"),
            el("td", number(each.score, digits=3), class_="figure"),
            el("td", marks.bar(each.score), class_="long"),
        )
        for each in profile.target_scores
    ]
    head = _head("Column", "Score", "")
    more = Html("")
    if len(rows) > TARGETS:
        table = el("table", head, el("tbody", *rows[TARGETS:]))
        more = el("details", el("summary", f"{count(len(rows) - TARGETS)} more"), table)
    note = "How well one column alone predicts the target, cross-validated: 0 is a guess, 1 is perfect."
    caption = el("caption", "Scores of single columns, best first", class_="hidden")
    table = el("table", caption, head, el("tbody", *rows[:TARGETS]), class_="narrow")
    return section("target", f"What tells {shown(profile.target, 60)}", table, more, note=note)


def sample(profile: DatasetProfile) -> Html:
    if not profile.sample:
        return Html("")
    columns = profile.columns[:SAMPLE_COLUMNS]
    heads = [_sample_head(column) for column in columns]
    rows = []
    for at, row in enumerate(profile.sample, 1):
        cells = [_value(row.get(column.name), plain(column), bool(column.numbers)) for column in columns]
        rows.append(el("tr", el("th", count(at), scope="row"), *cells))
    caption = el("caption", "The first rows as they were read", class_="hidden")
    corner = el("th", el("span", "Row", class_="hidden"), scope="col")
    table = el("table", caption, el("thead", el("tr", corner, *heads)), el("tbody", *rows), class_="sample")
    note = f"The first {count(len(rows))} of {count(max(profile.rows, len(rows)))} rows"
    if len(profile.columns) > len(columns):
        note += f", {len(columns)} of {count(len(profile.columns))} columns"
    return section("sample", "Sample", _scrolling(table, "Sample rows"), note=f"{note}.")


def _scrolling(table: Html, label: str) -> Html:
    """Wider than a page may be; with a tab stop, so that the keyboard can scroll it."""
    return el("div", table, class_="wide", tabindex=0, role="region", aria_label=label)


def _sample_head(column: ColumnProfile) -> Html:
    name, kind = el("bdi", shown(column.name, 40)), el("small", column.type.value)
    return el("th", name, kind, marks.spark(column), scope="col", class_="figure" if column.numbers else None)


def _value(value: object, plain: bool, is_number: bool) -> Html:
    if value is None:
        return el("td", "missing", class_="void")
    text = shown(value, 60, plain=plain)  # type: ignore[arg-type]  # a sample holds JSON values
    return el("td", text, class_="figure") if is_number else el("td", el("bdi", text))


def _method(at: int, found: Correlations, indices: dict[str, int]) -> Html:
    title, meaning = _METHODS[found.method]
    note = f"{meaning[:1].upper()}{meaning[1:]}."
    if found.sampled is not None:
        note += f" An estimate from a sample of {count(found.sampled)} rows."
    widest = max(len(found.rows), len(found.columns))
    if widest > MATRIX:
        note += f" The {MATRIX} most correlated of {count(widest)} columns are drawn."
    return el(
        "section",
        el("h3", title, id=f"m{at}-title"),
        el("p", note, class_="note"),
        el("div", class_="js-only heatmap", id=f"m{at}"),
        _pairs(found, indices),
        class_="method",
        aria_labelledby=f"m{at}-title",
    )


def _pairs(found: Correlations, indices: dict[str, int]) -> Html:
    strongest = sorted(_each_pair(found), key=lambda pair: -abs(pair[2]))[:PAIRS]
    if not strongest:
        return el("p", f"No two columns are related beyond {WEAK}.", class_="empty")
    rows = [
        el(
            "tr",
            el("th", link(one, indices), scope="row"),
            el("td", link(other, indices)),
            el("td", correlation(value), class_="figure"),
        )
        for one, other, value in strongest
    ]
    caption = el("caption", "Strongest")
    return el("table", caption, _head("Column", "With", "Value"), el("tbody", *rows), class_="pairs")


def _each_pair(found: Correlations) -> Iterator[tuple[str, str, float]]:
    symmetric = found.rows == found.columns
    for i, one in enumerate(found.rows):
        for j, other in enumerate(found.columns):
            value = found.values[i][j]
            if (not symmetric or i < j) and value is not None and isfinite(value) and abs(value) >= WEAK:
                yield one, other, value


def correlation(value: float) -> str:
    """Two decimals, and 1 only when it is."""
    text = f"{abs(value):.2f}"
    text = "1" if abs(value) >= 1 - 1e-9 else "0.99" if text == "1.00" else text
    return f"\N{MINUS SIGN}{text}" if value < 0 and text != "0.00" else text


def _involved(profile: DatasetProfile, patterns: list[MissingPattern]) -> list[str]:
    named = {name for pattern in patterns for name in pattern.columns}
    return [column.name for column in profile.columns if column.name in named]


def _grid(profile: DatasetProfile, patterns: list[MissingPattern], names: list[str]) -> Html:
    heads = [el("th", el("div", el("bdi", shown(name, 30))), scope="col", class_="slanted") for name in names]
    rows = []
    for pattern in patterns:
        gone = set(pattern.columns)
        dots = [_dot(name in gone) for name in names]
        rows.append(el("tr", *_counted(profile, pattern), *dots))
    head = el("thead", el("tr", *_counted_heads(), *heads))
    caption = el("caption", "Patterns of missing values", class_="hidden")
    return el("table", caption, head, el("tbody", *rows), class_="patterns")


def _dot(gone: bool) -> Html:
    return el("td", el("i"), el("span", "missing", class_="hidden"), class_="gone") if gone else el("td", el("i"))


def _listing(profile: DatasetProfile, patterns: list[MissingPattern], most: int = 8) -> Html:
    rows = []
    for pattern in patterns:
        rest = len(pattern.columns) - most
        told = ", ".join(shown(name, 40) for name in pattern.columns[:most])
        told += f" and {rest} more" if rest > 0 else ""
        rows.append(el("tr", *_counted(profile, pattern), el("td", el("bdi", told))))
    head = el("thead", el("tr", *_counted_heads(), el("th", "Columns", scope="col")))
    caption = el("caption", "Patterns of missing values", class_="hidden")
    return el("table", caption, head, el("tbody", *rows), class_="patterns listing")


def _counted(profile: DatasetProfile, pattern: MissingPattern) -> list[Html]:
    part = of(pattern.count, profile.rows)
    figures = [count(pattern.count), share(part)]
    bar = el("td", marks.bar(of(pattern.count, profile.missing_patterns[0].count), "bar gap"), class_="short")
    return [el("th", figures[0], scope="row", class_="figure"), el("td", figures[1], class_="figure"), bar]


def _counted_heads() -> list[Html]:
    heads = [el("th", text, scope="col", class_="figure") for text in ("Rows", "Share")]
    return [*heads, el("td")]


def _head(*names: str) -> Html:
    return el(
        "thead",
        el(
            "tr",
            *(
                el("th", name, scope="col", class_="figure" if name in _FIGURES else None) if name else el("td")
                for name in names
            ),
        ),
    )
