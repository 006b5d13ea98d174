"""A table with a model's predictions beside its rows, a batch at a time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from consumers.learning.columns import TEXTUAL, arrays
from consumers.learning.frame import Array, Frame
from consumers.learning.model import Predictions, TrainedModel
from consumers.runtime.verdicts import Reject
from consumers.tables.parquet import parquet_writer
from schemas.datasets import Column, ColumnType
from schemas.learning import InputColumn, Signature

_CELLS_AT_ONCE = 1_000_000
_MOST_ROWS, _FEWEST_ROWS = 16_384, 256
_MOST_CLASSES = 100
"""With a probability each; of more, only that of the predicted class is written."""
_ARROW = {
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.CATEGORY: pa.string(),
}

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Added:
    """A column beside those of the table."""

    name: str
    type: ColumnType
    of: Callable[[Predictions], Any]


@dataclass
class Written:
    rows: int = 0
    columns: list[Column] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def predict_table(
    model: TrainedModel, table: Path, columns: Sequence[Column], into: Path, progress: Progress
) -> Written:
    """Write the rows of `table`, of these columns, with what the model says of them. Equal rows and models are equal
    bytes. Raises Reject when the table lacks an input, or has it in another type."""
    signature = model.signature
    types = {column.name: column.type for column in columns}
    _check(signature, types)
    added = _added(signature, set(types))
    names = [column.name for column in signature.inputs]
    seen: Counter[tuple[str, str]] = Counter()
    rows = 0
    with pq.ParquetFile(table) as file:
        total = file.metadata.num_rows
        schema = file.schema_arrow
        for each in added:
            schema = schema.append(pa.field(each.name, _ARROW[each.type]))
        with parquet_writer(into, schema) as writer:
            for batch in file.iter_batches(_batch_rows(len(types))):
                found = arrays(batch, names, [types[name] for name in names])
                frame = Frame(dict(zip(names, found, strict=True)), batch.num_rows)
                said = model.predict(frame)
                extra = [pa.array(each.of(said), _ARROW[each.type]) for each in added]
                writer.write_table(pa.Table.from_arrays([*batch.columns, *extra], schema=schema))
                _look(frame, signature, seen)
                rows += batch.num_rows
                progress(rows / total, f"{rows:,} of {total:,} rows")
    described = [*columns, *(Column(name=each.name, type=each.type, missing=0) for each in added)]
    return Written(rows, described, [f"{name}: {count:,} rows {what}" for (name, what), count in seen.items()])


def _check(signature: Signature, types: Mapping[str, ColumnType]) -> None:
    """Raises Reject."""
    missing = [column.name for column in signature.inputs if column.name not in types]
    if missing:
        raise Reject(f"/params/dataset_version: it lacks the inputs {', '.join(map(repr, missing[:20]))}")
    unlike = [column for column in signature.inputs if not _fits(column.type, types[column.name])]
    if unlike:
        told = ", ".join(f"{column.name!r} is {types[column.name]}, not {column.type}" for column in unlike[:20])
        raise Reject(f"/params/dataset_version: {told}; ingest the file so that they are")


def _fits(wanted: ColumnType, given: ColumnType) -> bool:
    """Anything can be read as text, whole numbers as numbers, days as times."""
    if wanted in TEXTUAL or wanted is given:
        return given is not ColumnType.JSON
    kinds = ({ColumnType.INTEGER, ColumnType.FLOAT}, {ColumnType.DATE, ColumnType.TIMESTAMP})
    return any({wanted, given} == kind for kind in kinds)


def _added(signature: Signature, taken: set[str]) -> list[Added]:
    added = [Added(_free("prediction", taken), _type_of(signature.classes), lambda said: said.values)]
    classes = signature.classes
    if classes is None:
        return added
    if len(classes) > _MOST_CLASSES:
        return [*added, Added(_free("probability", taken), ColumnType.FLOAT, _best)]
    for number, label in enumerate(classes):
        added.append(Added(_free(f"probability_{label}", taken), ColumnType.FLOAT, _of_class(number)))
    return added


def _of_class(number: int) -> Callable[[Predictions], Array]:
    return lambda said: _probabilities(said)[:, number]


def _best(said: Predictions) -> Array:
    found: Array = _probabilities(said).max(axis=1)
    return found


def _probabilities(said: Predictions) -> Array:
    return said.probabilities if said.probabilities is not None else np.empty((0, 0))


def _type_of(classes: Sequence[Any] | None) -> ColumnType:
    kinds = {type(label) for label in classes or [0.0]}
    single = {bool: ColumnType.BOOLEAN, int: ColumnType.INTEGER, float: ColumnType.FLOAT, str: ColumnType.CATEGORY}
    return single[kinds.pop()] if len(kinds) == 1 else ColumnType.CATEGORY


def _free(name: str, taken: set[str]) -> str:
    """Of a name that a column has already, the first with a number that none has."""
    found, number = name, 2
    while found.casefold() in {each.casefold() for each in taken}:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found


def _look(frame: Frame, signature: Signature, seen: Counter[tuple[str, str]]) -> None:
    """Count the rows that have what training had not."""
    for column in signature.inputs:
        values = frame.columns[column.name]
        absent = np.array([value is None for value in values]) if column.type in TEXTUAL else np.isnan(values)
        if not column.missing and (count := int(absent.sum())):
            seen[column.name, "have no value, and training had one in every row"] += count
        if count := int(_unlike(column, values[~absent]).sum()):
            seen[column.name, "have a value unlike those in training"] += count


def _unlike(column: InputColumn, values: Array) -> Array:
    if column.type in TEXTUAL:
        known = frozenset(column.categories or ())
        return np.array([bool(known) and value not in known for value in values], bool)
    if column.min is None or column.max is None:
        return np.zeros(len(values), bool)
    found: Array = (values < column.min) | (values > column.max)
    return found


def _batch_rows(columns: int) -> int:
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _CELLS_AT_ONCE // columns))
