"""Alerts that take more than one column: duplicates, correlation, leakage."""

from collections.abc import Iterator, Sequence
from itertools import product

from consumers.profiling.alerts import alert
from schemas.profile import Alert, AlertKind, CorrelationMethod, Correlations, Measured, TargetScore

_CORRELATED = 0.9
_LEAKS = 0.95
_SUSPECT = 0.8
_PAIRS = 20
"""Of forty columns that are all the same thing there are 780."""

_NAMES = {
    CorrelationMethod.PEARSON: "Pearson's r",
    CorrelationMethod.SPEARMAN: "Spearman's rho",
    CorrelationMethod.CRAMERS_V: "Cramér's V",
}
"""The correlation ratio is left out: with many small categories it is large by chance."""

Pair = tuple[str, str]


def duplicate_rows(found: Measured, rows: int) -> Iterator[Alert]:
    if found.value < 1:
        return
    share = found.value / rows
    about = "About " if found.error is not None else ""
    figures = f"{about}{found.value:,.0f} rows ({share:.1%})"
    message = f"{figures} repeat an earlier one: drop them before splitting off a test set."
    yield alert(AlertKind.DUPLICATE_ROWS, [], 0.45 + 0.4 * share, message)


def duplicate_columns(groups: Sequence[Sequence[str]]) -> Iterator[Alert]:
    for names in groups:
        message = f"{_listed(names)} are equal in every row: keep one of them."
        yield alert(AlertKind.DUPLICATE_COLUMNS, names, 0.7, message)


def correlated(found: Sequence[Correlations], equal: Sequence[Sequence[str]]) -> Iterator[Alert]:
    """Each pair once, by its greatest coefficient; equal columns have an alert already."""
    known = [set(names) for names in equal]
    strongest: dict[Pair, tuple[float, str]] = {}
    for pair, value, method in (each for table in found for each in _strong(table)):
        if abs(value) > abs(strongest.get(pair, (0.0, ""))[0]) and not any(set(pair) <= names for names in known):
            strongest[pair] = value, method
    most = sorted(strongest.items(), key=lambda item: -abs(item[1][0]))[:_PAIRS]
    for pair, (value, method) in most:
        message = f"{_listed(pair)} go together ({method} {value:.2f}): a linear model needs only one of them."
        yield alert(AlertKind.CORRELATED, pair, 0.35 + 0.2 * abs(value), message)


def leaks(scores: Sequence[TargetScore], target: str) -> Iterator[Alert]:
    for score in scores:
        if score.score < _SUSPECT:
            continue
        sure = score.score >= _LEAKS
        advice = "it is likely known only afterwards; leave it out" if sure else "check that it is known in time"
        message = f"{score.column} alone tells {target} (score {score.score:.2f} of 1, cross-validated): {advice}."
        yield alert(AlertKind.LEAKAGE, [score.column, target], score.score if sure else 0.7 * score.score, message)


def _strong(table: Correlations) -> Iterator[tuple[Pair, float, str]]:
    if table.method not in _NAMES:
        return
    for (i, row), (j, column) in product(enumerate(table.rows), enumerate(table.columns)):
        value = table.values[i][j]
        if i < j and value is not None and abs(value) >= _CORRELATED:
            yield (row, column), value, _NAMES[table.method]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
