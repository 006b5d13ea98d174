"""Which format a file has, by its content. Its name never decides."""

import json
import re
from pathlib import Path, PurePath

from consumers.ingestion.columnar import ARROW_FILE
from consumers.ingestion.conversion import Hints, Unreadable
from consumers.ingestion.encodings import known, mark_of
from consumers.ingestion.lines import open_text
from consumers.ingestion.unpacking import ZIP
from schemas.datasets import FileFormat

ACCEPTED = "CSV, TSV, JSON Lines, JSON, Parquet, Arrow, Feather or Excel, each also as gzip or alone in a zip"
_HEAD = 1 << 16
_MAGIC = (
    (b"PAR1", FileFormat.PARQUET),
    (b"PARE", FileFormat.PARQUET),
    (ARROW_FILE, FileFormat.ARROW),
    (b"FEA1", FileFormat.ARROW),
    (b"\xff\xff\xff\xff", FileFormat.ARROW),
    (ZIP, FileFormat.EXCEL),  # what else a zip could be was refused when it was unpacked
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileFormat.EXCEL),
)
_DOCUMENTS = re.compile(rb"\s*(%PDF|\{\\rtf|<)")
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_MOST_CONTROL = 0.05
_EXTENSIONS = {
    FileFormat.CSV: ("csv", "tsv", "txt", "tab", "dat", "data"),
    FileFormat.JSON_LINES: ("jsonl", "ndjson", "json"),
    FileFormat.JSON: ("json",),
    FileFormat.PARQUET: ("parquet", "pq"),
    FileFormat.ARROW: ("arrow", "feather", "ipc", "arrows"),
    FileFormat.EXCEL: ("xlsx", "xls", "xlsm", "xlsb", "ods"),
}


def recognised(path: Path, hints: Hints) -> FileFormat:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head.strip():
        raise Unreadable("The file is empty: upload one with at least a row of column names.")
    binary = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if binary is not None:
        return _as_hinted(binary, hints)
    marked = mark_of(path) if hints.encoding is None else known(hints.encoding)
    if hints.format is not None:
        return _as_hinted(hints.format if hints.format in _TEXTUAL else FileFormat.CSV, hints)
    _refuse_binary(head, is_wide=marked not in (None, "utf-8"))
    with open_text(path, marked or "utf-8") as text:
        return _textual(text.read(_HEAD))


_TEXTUAL = (FileFormat.CSV, FileFormat.JSON_LINES, FileFormat.JSON)


def _as_hinted(found: FileFormat, hints: Hints) -> FileFormat:
    if hints.format not in (None, found):
        raise Unreadable(f"The file is {found} and not {hints.format}, as was said: leave the format out.")
    return found


def _refuse_binary(head: bytes, is_wide: bool) -> None:
    controls = len(head) - len(head.translate(None, _CONTROL))
    if _DOCUMENTS.match(head) or (not is_wide and controls > _MOST_CONTROL * len(head)):
        raise Unreadable(f"The file is no table that can be read: upload {ACCEPTED}.")


def _textual(head: str) -> FileFormat:
    if re.match(r'\s*\[\s*[\[\]{"\d]', head) or re.match(r"\s*\[\s*(null|true|false)\b", head):
        return FileFormat.JSON
    if not re.match(r'\s*\{\s*["}]', head):
        return FileFormat.CSV
    first, *others = [line for line in head.splitlines() if line.strip()]
    if any(other.lstrip().startswith("{") for other in others[:1]):
        return FileFormat.JSON_LINES
    return FileFormat.JSON_LINES if not others and _is_row(first) else FileFormat.JSON


def _is_row(line: str) -> bool:
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return not all(isinstance(cell, list) for cell in value.values())


def wrong_extension(filename: str, format: FileFormat) -> str | None:
    """A warning about it."""
    suffix = PurePath(filename).suffix.lower().lstrip(".")
    claimed = [kind for kind, suffixes in _EXTENSIONS.items() if suffix in suffixes]
    if not claimed or format in claimed:
        return None
    return f"The file is called {filename!r}, but its content is {format}, and was read as that."
