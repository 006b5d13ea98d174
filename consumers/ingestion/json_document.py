"""One JSON document: an array of objects, or an object of columns. It is decoded value by value as it is read."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from consumers.ingestion import names
from consumers.ingestion.conversion import Limits, Unreadable
from consumers.ingestion.duck import Share, part
from consumers.ingestion.encodings import scan
from consumers.ingestion.inference import Relation
from consumers.ingestion.json_lines import kind_of
from consumers.ingestion.lines import open_text
from consumers.ingestion.rejects import Rejects
from consumers.ingestion.staging import Staging
from consumers.ingestion.table import write
from consumers.ingestion.work import Read, Work
from schemas.datasets import FileFormat, Reading

MOST_KEYED_COLUMNS = 1_000
"""Of an object of columns: each is kept in a file of its own, and all are open when they are joined."""
_CHUNK = 1 << 20
_LONGEST_VALUE = 16 << 20
_SPACE = " \t\n\r"


class Cursor:
    """A place in a text that is too long to be held."""

    def __init__(self, file: IO[str], size: int, share: Share) -> None:
        self._file, self._size, self._share = file, max(1, size), share
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False
        self._lines, self._read = 1, 0

    @property
    def line(self) -> int:
        return self._lines + self._text.count("\n", 0, self._at)

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def take(self, *expected: str) -> str:
        found = self.peek()
        if found not in expected:
            raise self.broken(f"{found!r} where {' or '.join(expected)} belongs")
        self._at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if self._ended or len(self._text) - self._at > _LONGEST_VALUE:
                    raise self.broken(error.msg) from None
            except RecursionError:
                raise self.broken("values are nested too deeply") from None
            else:
                if end < len(self._text) or self._ended:  # else a number might go on
                    self._at = end
                    return value
            self._more()

    def items(self) -> Iterator[Any]:
        """The values of the array that begins here."""
        self.take("[")
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def broken(self, reason: str) -> Unreadable:
        return Unreadable(f"The JSON is broken in line {self.line:,}: {reason}. Correct it, or upload JSON Lines.")

    def _more(self) -> bool:
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._ended = not chunk
        self._lines = self.line
        self._text, self._at = self._text[self._at :] + chunk, 0
        self._read += len(chunk)
        self._share(min(1.0, self._read / self._size))
        return not self._ended


def read(work: Work, share: Share) -> Read:
    encoding = scan(work.path, work.hints.encoding, part(share, 0, 0.1)).encoding
    with open_text(work.path, encoding) as file:
        cursor = Cursor(file, work.path.stat().st_size, part(share, 0.1, 0.7))
        if cursor.peek() == "[":
            relation, renamed = _array(cursor, Staging(work.parquet.parent, work.limits), work.rejects)
        else:
            relation, renamed = _columns(cursor, work.parquet.parent, work.limits)
        if cursor.peek():
            raise cursor.broken("there is more after the end of the document")
    reading = Reading(format=FileFormat.JSON, encoding=encoding, renamed=renamed)
    return write(work.duck, relation, work.parquet, part(share, 0.7, 1)), reading


def _array(cursor: Cursor, staging: Staging, rejects: Rejects) -> tuple[Relation, dict[str, str]]:
    for value in cursor.items():
        if not isinstance(value, dict):
            rejects.add(cursor.line, f"{kind_of(value)} instead of an object", json.dumps(value, ensure_ascii=False))
            continue
        try:
            staging.add(value)
        except ValueError as error:
            rejects.add(cursor.line, f"a value that cannot be kept: {error}", json.dumps(value))
    if not staging.rows:
        raise Unreadable(f"The JSON array holds no objects ({rejects.first or 'it is empty'}): a row is an object.")
    return staging.relation()


def _columns(cursor: Cursor, into: Path, limits: Limits) -> tuple[Relation, dict[str, str]]:
    """Joined by position, since they come one after the other."""
    keys: list[str] = []
    parts: list[Relation] = []
    rows = set[int]()
    for key in _keys(cursor):
        if len(keys) >= min(MOST_KEYED_COLUMNS, limits.max_columns):
            raise Unreadable(f"The JSON object has more than {len(keys):,} columns: upload an array of objects.")
        staging = Staging(into, limits, f"key{len(keys)}")
        for value in cursor.items():
            staging.add({"value": value})
        keys.append(key)
        rows.add(staging.rows)
        parts.append(_relation(staging))
    if len(rows) != 1:
        raise Unreadable("The JSON object's columns are not equally long: upload an array of objects.")
    unique, renamed = names.kept(keys)
    return _joined(parts, unique), renamed


def _keys(cursor: Cursor) -> Iterator[str]:
    cursor.take("{")
    while True:
        if not isinstance(key := cursor.value(), str):
            raise cursor.broken("a key must be a string")
        cursor.take(":")
        if cursor.peek() != "[":
            raise Unreadable(
                f"The JSON object's {key!r} is no array: what can be read is an array of objects, or an object whose "
                "values are all arrays, one for each column."
            )
        yield key
        if cursor.take(",", "}") == "}":
            return


def _relation(staging: Staging) -> Relation:
    if not staging.rows:
        raise Unreadable("The JSON object's columns are empty: upload one with rows.")
    return staging.relation()[0]


def _joined(parts: list[Relation], unique: list[str]) -> Relation:
    fields = tuple(replace(part.fields[0], name=name) for part, name in zip(parts, unique, strict=True))
    return Relation(" POSITIONAL JOIN ".join(part.sql for part in parts), fields)
