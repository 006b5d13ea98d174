"""Rows as people send them: checked against what a model was shown, and made a frame of.

What a model cannot mean anything by is refused: a wrong type, or no value where training always had one. What it can
answer although it saw nothing like it gets a warning: an unknown category, a number outside of the training range, a
column that is left out. Columns that are no inputs are ignored, with one warning each, unless it is the target.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from consumers.learning.columns import TEXTUAL
from consumers.learning.frame import Array, Frame
from consumers.runtime.verdicts import Reject
from schemas.datasets import ColumnType
from schemas.jobs.model_predict import RowWarning
from schemas.learning import InputColumn, Signature

_DAY_S = 86_400
_EPOCH = date(1970, 1, 1)
_EXPECTED = {
    ColumnType.INTEGER: "a whole number",
    ColumnType.FLOAT: "a number",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.DATE: "a date like '2026-12-31'",
    ColumnType.TIMESTAMP: "a time like '2026-12-31T23:59:59Z'",
    ColumnType.CATEGORY: "text",
    ColumnType.TEXT: "text",
}
_MOST_REFUSED = 20
"""Named in one refusal."""

Row = dict[str, Any]


def check_rows(rows: Sequence[Row], signature: Signature) -> list[RowWarning]:
    """Raises Reject, which names each value that does not fit by its pointer, like `/params/rows/3/age`."""
    refused: list[str] = []
    warnings: list[RowWarning] = []
    categories = {column.name: frozenset(column.categories or ()) for column in signature.inputs}
    for number, row in enumerate(rows):
        for column in signature.inputs:
            value = row.get(column.name)
            if value is None:
                detail = _about_missing(column, column.name in row)
                if detail is not None and not column.missing:
                    refused.append(f"/params/rows/{number}/{_escaped(column.name)}: {detail}")
                elif detail is not None:
                    warnings.append(RowWarning(row=number, column=column.name, detail=detail))
                continue
            try:
                read = _READERS[column.type](value)
            except (TypeError, ValueError, OverflowError):
                pointer = f"/params/rows/{number}/{_escaped(column.name)}"
                refused.append(f"{pointer}: expected {_EXPECTED[column.type]}, not {_short(value)}")
                continue
            if (unlike := _unlike(read, column, categories[column.name])) is not None:
                warnings.append(RowWarning(row=number, column=column.name, detail=unlike))
        if len(refused) > _MOST_REFUSED:
            break
    if refused:
        more = ["and more"] if len(refused) > _MOST_REFUSED else []
        raise Reject("; ".join(refused[:_MOST_REFUSED] + more))
    return warnings + list(_about_extra(rows, signature))


def frame_of(rows: Sequence[Row], signature: Signature) -> Frame:
    """Of rows that were checked."""
    return Frame({column.name: _values(rows, column) for column in signature.inputs}, len(rows))


def typical_row(frame: Frame, signature: Signature) -> Row:
    """The median of each number, date and time and the most frequent of other values, as a row would give them; of
    what is missing in more than half of the rows, nothing."""
    return {column.name: _typical(frame.columns[column.name], column.type) for column in signature.inputs}


def _values(rows: Sequence[Row], column: InputColumn) -> Array:
    read = _READERS[column.type]
    given = (row.get(column.name) for row in rows)
    if column.type in TEXTUAL:
        values = np.empty(len(rows), object)
        values[:] = list(given)
        return values
    return np.fromiter((np.nan if value is None else read(value) for value in given), np.float64, len(rows))


def _whole(value: Any) -> float:
    number = _number(value)
    if not number.is_integer():
        raise ValueError(value)
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise TypeError(value)
    return float(value)


def _boolean(value: Any) -> float:
    if not isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def _date(value: Any) -> float:
    return float((date.fromisoformat(value) - _EPOCH).days * _DAY_S)


def _time(value: Any) -> float:
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


_READERS: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: _whole,
    ColumnType.FLOAT: _number,
    ColumnType.BOOLEAN: _boolean,
    ColumnType.DATE: _date,
    ColumnType.TIMESTAMP: _time,
    ColumnType.CATEGORY: _text,
    ColumnType.TEXT: _text,
}


def _about_missing(column: InputColumn, given: bool) -> str | None:
    """None for a null where training had missing values too."""
    if not column.missing:
        return f"a value is needed, {_EXPECTED[column.type]}: training had one in every row"
    return None if given else "not in the row: taken for missing"


def _unlike(value: Any, column: InputColumn, categories: frozenset[str]) -> str | None:
    if column.type in TEXTUAL:
        unknown = categories and value not in categories
        return f"{_short(value)} is none of the {len(categories):,} values seen in training" if unknown else None
    if column.type is ColumnType.BOOLEAN or column.min is None or column.max is None:
        return None
    if column.min <= value <= column.max:
        return None
    low, high = (_shown(limit, column.type) for limit in (column.min, column.max))
    return f"{_shown(value, column.type)} is outside of what was seen in training, {low} to {high}"


def _about_extra(rows: Sequence[Row], signature: Signature) -> Iterator[RowWarning]:
    known = {column.name for column in signature.inputs} | {signature.target}
    for number, row in enumerate(rows):
        for name in row.keys() - known:
            known.add(name)
            yield RowWarning(row=number, column=name, detail="no input of this model: ignored")


def _typical(values: Array, kind: ColumnType) -> Any:
    if kind in TEXTUAL:
        present = values[[value is not None for value in values]]
        if len(present) <= len(values) / 2:
            return None
        found, counts = np.unique(present, return_counts=True)
        return found[counts.argmax()]
    present = values[np.isfinite(values)]
    if len(present) <= len(values) / 2:
        return None
    # A value that there was, so that it is a whole number, a day, or true or false where those are expected.
    return _shown(float(np.quantile(present, 0.5, method="inverted_cdf")), kind)


def _shown(value: float, kind: ColumnType) -> Any:
    if kind is ColumnType.BOOLEAN:
        return bool(value)
    if kind is ColumnType.INTEGER and np.isfinite(value):
        return int(value)
    if kind in (ColumnType.DATE, ColumnType.TIMESTAMP):
        moment = datetime.fromtimestamp(value, UTC)
        return moment.date().isoformat() if kind is ColumnType.DATE else moment.isoformat().replace("+00:00", "Z")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _escaped(name: str) -> str:
    """As in a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
