"""Objects become columns of texts in temporary Parquet files, since nobody knows all keys before the last object."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from consumers.ingestion import names
from consumers.ingestion.conversion import Limits, Unreadable
from consumers.ingestion.forms import BOOLEAN, JSON, NUMBERS, TEXT, TIMES, Form
from consumers.ingestion.inference import Field, Relation
from consumers.runtime.duck import literal

_CELLS = 400_000
_BYTES = 16 << 20

_FORMS: dict[str, tuple[Form, ...]] = {"number": NUMBERS, "truth": (BOOLEAN,), "text": TIMES, "nested": ()}


class Staging:
    """A file for as long as the keys stay the same, and the next one with more of them."""

    def __init__(self, into: Path, limits: Limits, name: str = "staged") -> None:
        self._into, self._name = into, name
        self._limits = limits
        self._kinds: dict[str, set[str]] = {}
        self._rows: list[dict[str, str]] = []
        self._bytes = 0
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def add(self, row: Mapping[str, Any]) -> None:
        """Raises ValueError for values that JSON text cannot hold."""
        cells = {key: (kind, text) for key, value in row.items() for kind, text in [_cell(value)]}
        for key, (kind, _) in cells.items():
            self._kinds.setdefault(key, set()).update([kind] if kind else [])
        if len(self._kinds) > self._limits.max_columns:
            raise Unreadable(f"The objects have more than {self._limits.max_columns:,} keys in all: leave some out.")
        present = {key: text for key, (kind, text) in cells.items() if kind}
        self._rows.append(present)
        self._bytes += sum(map(len, present.values()))
        self.rows += 1
        if self._bytes > _BYTES or len(self._rows) * max(1, len(self._kinds)) >= _CELLS:
            self._flush()

    def relation(self) -> tuple[Relation, dict[str, str]]:
        """What was staged, and the keys that could not become names. Raises Unreadable if there is none."""
        self._flush()
        self._close()
        if not self._kinds:
            raise Unreadable("The objects have no keys, and so the table no columns: upload objects with keys.")
        unique, renamed = names.kept(list(self._kinds))
        fields = [
            _field(name, f"{self._name}.c{at}", kinds)
            for at, (name, kinds) in enumerate(zip(unique, self._kinds.values(), strict=True))
        ]
        files = ", ".join(literal(str(path)) for path in self._files)
        return Relation(f"read_parquet([{files}], union_by_name = true) AS {self._name}", tuple(fields)), renamed

    def _flush(self) -> None:
        if not self._rows:
            return
        schema = pa.schema([(f"c{at}", pa.string()) for at in range(len(self._kinds))])
        if self._writer is None or self._writer.schema != schema:
            self._close()
            self._files.append(self._into / f"{self._name}-{len(self._files)}.parquet")
            self._writer = pq.ParquetWriter(self._files[-1], schema, compression="lz4")
        columns = [pa.array([row.get(key) for row in self._rows], pa.string()) for key in self._kinds]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        self._rows.clear()
        self._bytes = 0

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _cell(value: Any) -> tuple[str, str]:
    """Its kind, empty for a missing value, and its text."""
    match value:
        case None:
            return "", ""
        case bool():
            return "truth", "true" if value else "false"
        case int() | float():
            return ("", "") if math.isnan(value) else ("number", repr(value))
        case str():
            value.encode()  # raises for half a surrogate pair, which no Parquet file can hold
            return "text", value
        case _:
            return "nested", json.dumps(value, ensure_ascii=False, allow_nan=False)


def _field(name: str, sql: str, kinds: set[str]) -> Field:
    """Of one kind, it can have that kind's forms. Of several, it is text."""
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    forms = _FORMS.get(kind, ())
    return Field(name, sql, forms, settled=not forms, open=bool(forms), fallback=JSON if kind == "nested" else TEXT)
