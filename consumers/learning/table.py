"""The table of a dataset version as what a model is trained on: inputs, target, signature, and what was left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consumers.learning import columns
from consumers.learning.columns import TEXTUAL
from consumers.learning.frame import Array, Frame
from consumers.learning.spans import check_within
from consumers.learning.target import understood
from consumers.runtime.verdicts import Reject
from schemas.datasets import ColumnType
from schemas.jobs.model_train import TrainModel
from schemas.learning import InputColumn, LearningTask, Signature

_MOST_CATEGORIES = 1_000
_FEWEST_ROWS = 10
_TOLD = 5
_KEY_NAME = re.compile(r"(^|[\W_])(id|key|index|uuid|guid|row|rownum|nr|no)$|[a-z]I[dD]$|^unnamed", re.IGNORECASE)
_WORDS_OF_A_TEXT = 3.0
"""On average: shorter ones are names and codes."""


@dataclass(frozen=True)
class Table:
    frame: Frame
    target: Array
    """0..classes-1 as int64, or float64; of the same rows as `frame`."""
    signature: Signature
    split_by: Array | None
    """The values of the column that rows are grouped or ordered by."""
    warnings: list[str]


def read_table(path: Path, types: Mapping[str, ColumnType], params: TrainModel) -> Table:
    """Rows with a target, of the columns that can be inputs. `types` are those of ingestion, of all columns.
    Raises Reject, which names the parameter."""
    _check_names(types, params)
    kinds = {name: kind for name, kind in types.items() if name == params.target or _is_read(name, kind, params)}
    arrays = dict(zip(kinds, columns.whole(path, list(kinds), list(kinds.values())), strict=True))
    target = understood(params.target, arrays.pop(params.target), types[params.target], params.task)
    if len(target.values) < _FEWEST_ROWS:
        raise Reject(f"/params/version: {len(target.values)} rows have a target, and {_FEWEST_ROWS} are the fewest")
    if not target.present.all():
        arrays = {name: values[target.present] for name, values in arrays.items()}
    split_by = arrays.pop(params.split.column) if params.split.column else None
    warnings = [*target.warnings, *_about_json(types, params)]
    if target.task is LearningTask.TOKEN_CLASSIFICATION:
        name = _text(arrays, kinds)
        check_within(target.values, list(arrays[name]), "/params/target")
        arrays = {name: arrays[name]}
    inputs, left_out = _inputs(arrays, kinds, params, target.task)
    if not inputs:
        raise Reject(f"/params/exclude: no column is left to predict {params.target!r} from. {' '.join(left_out)}")
    frame = Frame({column.name: arrays[column.name] for column in inputs}, len(target.values))
    signature = Signature(inputs=inputs, target=params.target, task=target.task, classes=target.classes)
    return Table(frame, target.values, signature, split_by, warnings + left_out)


def _text(arrays: Mapping[str, Array], kinds: Mapping[str, ColumnType]) -> str:
    """The one column that entities are found in. Raises Reject."""
    texts = [name for name in arrays if kinds[name] in TEXTUAL]
    long = [name for name in texts if kinds[name] is ColumnType.TEXT]
    if len(found := long or texts) != 1:
        told = f"{_some(found)} are texts; exclude all but one" if found else "there is no column of texts"
        raise Reject(f"/params/exclude: entities are found in one text, and {told}")
    return found[0]


def _check_names(types: Mapping[str, ColumnType], params: TrainModel) -> None:
    named = {
        "/params/target": params.target,
        **{f"/params/exclude/{number}": name for number, name in enumerate(params.exclude)},
        **({"/params/split/column": params.split.column} if params.split.column else {}),
    }
    for pointer, name in named.items():
        if name not in types:
            raise Reject(f"{pointer}: there is no column {name!r}; there are {_some(list(types))}")
    if params.split.column == params.target:
        raise Reject("/params/split/column: rows cannot be divided by the target; choose another column")


def _is_read(name: str, kind: ColumnType, params: TrainModel) -> bool:
    return name == params.split.column or (name not in params.exclude and kind is not ColumnType.JSON)


def _about_json(types: Mapping[str, ColumnType], params: TrainModel) -> list[str]:
    nested = [
        name
        for name, kind in types.items()
        if kind is ColumnType.JSON and name not in (*params.exclude, params.target)
    ]
    return [f"Nested values are no inputs: {_some(nested)}. Make columns of what matters in them."] if nested else []


def _inputs(
    arrays: Mapping[str, Array], kinds: Mapping[str, ColumnType], params: TrainModel, task: LearningTask
) -> tuple[list[InputColumn], list[str]]:
    """The columns to learn from, and warnings about those that say nothing."""
    wanted = {name for each in params.preprocess for name in each.columns}
    inputs: list[InputColumn] = []
    constant: list[str] = []
    keys: list[str] = []
    for name, values in arrays.items():
        column, distinct = _described(name, values, kinds[name])
        a_text = task is LearningTask.TEXT_CLASSIFICATION and kinds[name] is ColumnType.TEXT
        if name in wanted or a_text or task is LearningTask.TOKEN_CLASSIFICATION:
            inputs.append(column)
        elif distinct <= 1 and not (distinct and column.missing):
            constant.append(name)
        elif _is_key(column, values, distinct):
            keys.append(name)
        else:
            inputs.append(column)
    return inputs, [
        *([f"Columns in which all rows are alike were left out: {_some(constant)}."] if constant else []),
        *([f"Columns that only number or name the rows were left out: {_some(keys)}."] if keys else []),
    ]


def _described(name: str, values: Array, kind: ColumnType) -> tuple[InputColumn, int]:
    """With the number of distinct values."""
    if kind in TEXTUAL:
        known = {value for value in values if value is not None}
        missing = any(value is None for value in values)
        # Text that repeats, or of a word or two, is a name of something: its words mean little.
        repeats = len(known) <= len(values) / 2 and _words(known) < _WORDS_OF_A_TEXT
        shown = ColumnType.CATEGORY if kind is ColumnType.CATEGORY or repeats else ColumnType.TEXT
        listed = sorted(known) if shown is ColumnType.CATEGORY and len(known) <= _MOST_CATEGORIES else None
        return InputColumn(name=name, type=shown, missing=missing, categories=listed), len(known)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    missing = bool(np.isnan(values).any())
    distinct = len(np.unique(values[~np.isnan(values)]))
    listed = ["false", "true"] if kind is ColumnType.BOOLEAN else None
    return InputColumn(name=name, type=kind, missing=missing, min=low, max=high, categories=listed), distinct


def _words(texts: set[str]) -> float:
    return sum(text.count(" ") + 1 for text in texts) / len(texts) if texts else 0.0


def _is_key(column: InputColumn, values: Array, distinct: int) -> bool:
    """A value of its own in each row, that is a name, a number of the row, or called a key."""
    if column.missing or distinct < len(values):
        return False
    if column.type in TEXTUAL:
        return _words(set(values)) < _WORDS_OF_A_TEXT
    if column.type is not ColumnType.INTEGER:
        return False
    counts_rows = column.min in (0.0, 1.0) and column.max == column.min + distinct - 1
    return counts_rows or bool(_KEY_NAME.search(column.name))


def _some(names: Sequence[str]) -> str:
    told = ", ".join(map(repr, names[:_TOLD]))
    return f"{told} and {len(names) - _TOLD:,} more" if len(names) > _TOLD else told
