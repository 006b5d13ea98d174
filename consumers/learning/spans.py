"""Entities as arrays, so that folds, metrics and checkpoints treat them as they treat all else.

A target has the shape `[rows, most, 3]`: start and end in characters of the row's text, and the number of the label.
A prediction has `[rows, most, 4]`, with a score beside them. Unused places are -1; float32 holds all of it exactly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from consumers.learning.frame import Array
from consumers.runtime.verdicts import Reject

Scored = tuple[int, int, int, float]

_LONGEST = 2**20
"""Characters of a text."""
_MOST_LABELS = 200


class _Span(BaseModel):
    model_config = ConfigDict(frozen=True)

    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(le=_LONGEST)]
    label: Annotated[str, Field(min_length=1, max_length=100)]


_SPANS = TypeAdapter(list[_Span])


def looks_like(values: Array) -> bool:
    """Whether the first value that is any is a list of entities, with one in it or more."""
    for value in values:
        if value is not None and value != "[]":
            try:
                return bool(_SPANS.validate_json(value))
            except ValidationError:
                return False
    return False


@dataclass(frozen=True)
class Read:
    values: Array
    labels: list[str]
    dropped: int
    """Entities that lie over a longer or an earlier one: a token has one tag."""


def read(column: Sequence[str], pointer: str) -> Read:
    """Raises Reject, which names the first row that is no list of entities."""
    rows = [_row(number, value, pointer) for number, value in enumerate(column)]
    labels = sorted({span.label for row in rows for span in row})
    if not labels:
        raise Reject(f"{pointer}: no row has an entity: there is nothing to learn")
    if len(labels) > _MOST_LABELS:
        raise Reject(f"{pointer}: {len(labels):,} different labels, and {_MOST_LABELS} are the most")
    numbers = {label: number for number, label in enumerate(labels)}
    apart = [_apart(row) for row in rows]
    values = np.full((len(rows), max(map(len, apart)), 3), -1, np.int32)
    for row, kept in zip(values, apart, strict=True):
        for place, span in zip(row, kept, strict=False):
            place[:] = span.start, span.end, numbers[span.label]
    return Read(values, labels, sum(map(len, rows)) - sum(map(len, apart)))


def check_within(values: Array, texts: Sequence[str | None], pointer: str) -> None:
    """Raises Reject for an entity that ends behind its text."""
    lengths = np.array([len(text or "") for text in texts])
    for row in np.flatnonzero(values[:, :, 1].max(axis=1) > lengths)[:1]:
        raise Reject(
            f"{pointer}: an entity of row {row} ends at {values[row, :, 1].max():,}, and its text has "
            f"{lengths[row]:,} characters; count characters, not bytes or tokens"
        )


def predicted(found: Iterable[Sequence[Scored]], rows: int, most: int) -> Array:
    """`most` is the same for every call of one trainer: the parts of a prediction must fit together."""
    values = np.full((rows, most, 4), -1, np.float32)
    for row, entities in zip(values, found, strict=True):
        if entities:
            row[: len(entities)] = entities
    return values


def nothing(rows: int) -> Array:
    """The prediction of a model that finds none."""
    return predicted(([] for _ in range(rows)), rows, 1)


def trimmed(values: Array) -> Array:
    """Without places that no row uses."""
    return values[:, : max(1, int((values[:, :, 0] >= 0).sum(axis=1).max(initial=0)))]


def listed(values: Array, labels: Sequence[Any]) -> list[list[dict[str, Any]]]:
    """As people read them."""
    return [
        [
            {"start": int(start), "end": int(end), "label": labels[int(label)], "score": round(float(score), 7)}
            for start, end, label, score in row[row[:, 0] >= 0]
        ]
        for row in values
    ]


def matches(target: Array, values: Array) -> tuple[Array, Array]:
    """Which entities of a target were found, and which of a prediction are right: both ends and the label exactly."""
    wanted, said = _keys(target), _keys(values)
    same = (wanted[:, :, np.newaxis] == said[:, np.newaxis]) & (wanted >= 0)[:, :, np.newaxis]
    return same.any(axis=2), same.any(axis=1)


def _keys(values: Array) -> Array:
    """One number for each entity, -1 for none."""
    start, end, label = (values[:, :, at].astype(np.int64) for at in range(3))
    return np.where(start >= 0, (start << 40) | (end << 16) | label, -1)


def _row(number: int, value: str, pointer: str) -> list[_Span]:
    try:
        found = _SPANS.validate_json(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"/{part}" for part in first["loc"])
        shape = 'an entity list is like [{"start": 0, "end": 4, "label": "name"}]'
        raise Reject(f"{pointer}: row {number}{where}: {first['msg']}; {shape}") from None
    for span in found:
        if span.end <= span.start:
            raise Reject(f"{pointer}: row {number}: an entity from {span.start} to {span.end} has no characters")
    return found


def _apart(spans: Sequence[_Span]) -> list[_Span]:
    """In order of the text; the longest of those that share characters."""
    kept: list[_Span] = []
    for span in sorted(spans, key=lambda each: (each.start - each.end, each.start, each.label)):
        if all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda each: each.start)
