"""Rows with more or fewer fields than columns, which DuckDB's reader skips and lists: only they are read with care.

It tells where each begins, or the end of the line before it. Which line that is and what it holds is read from the
file, since its own numbers count records.
"""

from collections.abc import Iterator
from typing import BinaryIO

from consumers.ingestion.lines import Line
from consumers.ingestion.records import Record, Records, raggedness
from consumers.ingestion.rejects import Rejects
from consumers.ingestion.work import Work

_MOST = 100_000
REPORTING = f"store_rejects = true, rejects_limit = {_MOST}"
"""Of `read_csv`, not in parallel: its threads skip rows where one begins in the middle of a quoted field."""
_RAGGED = {"MISSING COLUMNS", "TOO MANY COLUMNS"}
_CHUNK = 1 << 20


class Doubtful(Exception):
    """Not all that was skipped is merely ragged."""


def reject_ragged(work: Work, delimiter: str, width: int) -> None:
    """Reject what the last scan of a UTF-8 file skipped. Raises Doubtful, and nothing is rejected then."""
    last = "WHERE scan_id = (SELECT max(scan_id) FROM reject_scans)"
    found = work.duck.run(f"SELECT line_byte_position - 1, error_type FROM reject_errors {last}")  # noqa: S608  # of our own
    if len(found) >= _MOST or not {kind for _, kind in found} <= _RAGGED:
        raise Doubtful
    ragged = list(_records(work, delimiter, sorted({at for at, _ in found})))
    if any(len(record) == width for _, record in ragged):
        raise Doubtful
    for line, record in ragged:
        work.rejects.add(line, raggedness(record, width), delimiter.join(record))


def _records(work: Work, delimiter: str, positions: list[int]) -> Iterator[tuple[int, Record]]:
    """The first record at or after each position."""
    at, number = 0, 1
    with work.path.open("rb") as file, Rejects(work.beside("rejects-of-ragged.parquet")) as broken:
        for position in positions:
            file.seek(at)
            number += _newlines(file, position - at)
            at = position
            record = next(iter(Records(_lines(file, number), delimiter, broken)), None)
            if record is None or broken.count:
                raise Doubtful
            yield record


def _lines(file: BinaryIO, first: int) -> Iterator[Line]:
    for number, line in enumerate(file, first):
        yield Line(number, line.decode())


def _newlines(file: BinaryIO, size: int) -> int:
    found = 0
    while size > 0 and (chunk := file.read(min(size, _CHUNK))):
        found += chunk.count(b"\n")
        size -= len(chunk)
    return found
