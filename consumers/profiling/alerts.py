"""What somebody who wants to use the data should know first, of single columns, ranked by how much it matters.

Scores are judgements: what makes a model or a conclusion wrong without a trace (leakage, personal data, a column
without content) is above what costs accuracy (gaps, outliers), which is above what a chart shows anyway.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from consumers.profiling import looks
from schemas.datasets import ColumnType
from schemas.profile import Alert, AlertKind, ColumnProfile, SemanticType

_HIGH, _MEDIUM = 0.7, 0.4
"""Scores from which an alert is severe, or more than a hint."""
_MISSING = 0.05
_IMBALANCED = 0.9
_ZEROS = 0.5
_OUTLIERS = 0.05
"""Of normally distributed values 0.7 % are beyond Tukey's fences."""
_SKEWED = 3.0
_BLANK = 0.01
_MIXED = 0.5
_HIGH_CARDINALITY = 0.2
_MANY = 50
_PERSONAL = {
    SemanticType.CREDIT_CARD: ("payment card numbers", 0.97),
    SemanticType.EMAIL: ("e-mail addresses", 0.9),
    SemanticType.PHONE: ("phone numbers", 0.88),
    SemanticType.PERSON_NAME: ("names of people", 0.85),
    SemanticType.IP_ADDRESS: ("IP addresses", 0.75),
}

Finding = Callable[[ColumnProfile, Sequence[str]], Alert | None]


def alert(kind: AlertKind, columns: Iterable[str], score: float, message: str) -> Alert:
    severity = "high" if score >= _HIGH else "medium" if score >= _MEDIUM else "low"
    return Alert(kind=kind, columns=list(columns), severity=severity, score=round(score, 4), message=message)


def column_alerts(column: ColumnProfile, values: Sequence[str]) -> Iterator[Alert]:
    """`values` are some of the column's, where it is text."""
    if column.count == 0:
        if column.missing:
            yield _all_missing(column)
        return
    found = (finding(column, values) for finding in _FINDINGS)
    yield from (each for each in found if each is not None)


def ranked(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda each: -each.score)


def _all_missing(column: ColumnProfile) -> Alert:
    message = (
        f"{column.name} has no value in any of the {column.missing:,} rows: drop it, or mend what should fill it."
    )
    return alert(AlertKind.ALL_MISSING, [column.name], 0.86, message)


def _constant(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    if not column.constant or column.count < 2:
        return None
    value = _quote(column.top[0].value) if column.top else "one value"
    gaps = f" or nothing ({column.missing:,} rows)" if column.missing else ""
    message = (
        f"{column.name} has {value} in {column.count:,} rows{gaps}: it tells rows apart by nothing else; drop it."
    )
    return alert(AlertKind.CONSTANT, [column.name], 0.8 if not column.missing else 0.5, message)


def _missing(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    share = column.missing / (column.count + column.missing)
    if share < _MISSING:
        return None
    advice = "drop it unless the gaps mean something" if share > 0.5 else "find out why before filling the gaps"
    message = f"{column.name} lacks a value in {share:.1%} of the rows ({column.missing:,}): {advice}."
    return alert(AlertKind.MISSING, [column.name], 0.3 + 0.5 * share, message)


def _unique(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    keys = column.type in (ColumnType.INTEGER, ColumnType.TEXT, ColumnType.CATEGORY)
    if not (column.unique and keys and column.count > 10):
        return None
    message = f"{column.name} differs in each of its {column.count:,} values, like a key: keep it out of a model."
    return alert(AlertKind.UNIQUE, [column.name], 0.35, message)


def _high_cardinality(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    free = column.semantic is not None and column.semantic.type is SemanticType.FREE_TEXT
    distinct, text = column.distinct.value, column.type in (ColumnType.TEXT, ColumnType.CATEGORY)
    if column.unique or free or not text or distinct <= max(_MANY, _HIGH_CARDINALITY * column.count):
        return None
    figures = f"{distinct:,.0f} distinct values in {column.count:,}"
    message = f"{column.name} has {figures}: group or embed it, do not one-hot it."
    return alert(AlertKind.HIGH_CARDINALITY, [column.name], 0.3 + 0.2 * distinct / column.count, message)


def _imbalanced(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    grouping = column.type in (ColumnType.CATEGORY, ColumnType.BOOLEAN)
    if column.constant or not grouping or not column.top:
        return None
    share = column.top[0].count / column.count
    if share < _IMBALANCED:
        return None
    most = _quote(column.top[0].value)
    advice = "judge a model of it by the rare ones, not by accuracy"
    message = f"{column.name} is {most} in {share:.1%} of its values: {advice}."
    return alert(AlertKind.IMBALANCED, [column.name], 0.2 + 0.4 * share, message)


def _infinite(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    infinite = column.numbers.infinite if column.numbers else 0
    if not infinite:
        return None
    message = f"{column.name} is infinite or NaN in {infinite:,} rows, which most trainers refuse: make them missing."
    return alert(AlertKind.INFINITE, [column.name], 0.72, message)


def _zeros(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    share = column.numbers.zeros / column.count if column.numbers else 0.0
    if share < _ZEROS or column.constant or column.distinct.value <= 2:
        return None
    message = f"{column.name} is 0 in {share:.1%} of its values: check that zero does not stand for a missing one."
    return alert(AlertKind.ZEROS, [column.name], 0.2 + 0.25 * share, message)


def _outliers(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    found = column.numbers.outliers if column.numbers else None
    if found is None or found.count < _OUTLIERS * column.count:
        return None
    fences = " to ".join(
        f"{fence:,.0f}" if 1e3 <= abs(fence) < 1e15 else f"{fence:.4g}" for fence in (found.low, found.high)
    )
    share = found.count / column.count
    message = f"{column.name} has {found.count:,} values ({share:.1%}) outside {fences}: clip or transform them."
    return alert(AlertKind.OUTLIERS, [column.name], min(0.6, 0.3 + share), message)


def _skewed(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    skewness = (column.numbers.skewness if column.numbers else None) or 0.0
    if abs(skewness) < _SKEWED or column.distinct.value <= 2:
        return None
    side, tail = ("right", "a logarithm may help") if skewness > 0 else ("left", "a power may help")
    message = f"{column.name} has a long tail to the {side} (skewness {skewness:,.1f}): {tail} where shape matters."
    return alert(AlertKind.SKEWED, [column.name], min(0.45, 0.25 + abs(skewness) / 100), message)


def _personal(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    if column.semantic is None or column.semantic.type not in _PERSONAL:
        return None
    what, score = _PERSONAL[column.semantic.type]
    share = column.semantic.share
    message = f"{column.name} looks like {what} ({share:.0%} of a sample): mask it, or check who may see it."
    return alert(AlertKind.PII, [column.name], score, message)


def _future(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    if column.times is None or not column.times.future:
        return None
    latest = column.times.max.date().isoformat()
    figures = f"{column.times.future:,} rows, up to {latest}"
    message = f"{column.name} is in the future in {figures}: check clocks and placeholders."
    return alert(AlertKind.FUTURE, [column.name], 0.55, message)


def _blank(column: ColumnProfile, _: Sequence[str]) -> Alert | None:
    blank = column.text.blank if column.text else 0
    if blank < max(1.0, _BLANK * column.count):
        return None
    message = (
        f"{column.name} is empty or white space in {blank:,} rows ({blank / column.count:.1%}): make them missing."
    )
    return alert(AlertKind.BLANK, [column.name], 0.3 + 0.3 * blank / column.count, message)


def _mixed(column: ColumnProfile, values: Sequence[str]) -> Alert | None:
    if column.type is ColumnType.JSON or not values:
        return None
    for what, look in (("numbers", looks.number), ("dates", looks.date)):
        share = sum(map(look, values)) / len(values)
        if _MIXED <= share < 1:
            odd = next(value for value in values if not look(value))
            figures = f"{what} in {share:.1%} of a sample, but also {_quote(odd)}"
            message = f"{column.name} is text with {figures}: clean it, then ingest it anew."
            return alert(AlertKind.MIXED, [column.name], 0.68, message)
    return None


def _quote(value: object) -> str:
    text = str(value)
    return f"“{text[:40]}…”" if len(text) > 40 else f"“{text}”"


_FINDINGS: tuple[Finding, ...] = (
    *(_constant, _missing, _unique, _high_cardinality, _imbalanced, _infinite, _zeros, _outliers, _skewed),
    *(_personal, _future, _blank, _mixed),
)
