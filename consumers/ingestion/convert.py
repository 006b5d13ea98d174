"""An uploaded file becomes a table: typed Parquet, the same for the same bytes and hints, and a report of both.

Nothing here knows a broker, a store or a network. A file is read in pieces and never held, save for Excel's.
"""

import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from consumers.ingestion import columnar, delimited, json_document, json_lines, spreadsheet
from consumers.ingestion.conversion import Converted, Hints, Limits, Progress, Unreadable
from consumers.ingestion.duck import Duck, Share, part
from consumers.ingestion.inference import Relation
from consumers.ingestion.recognition import recognised, wrong_extension
from consumers.ingestion.rejects import Rejects
from consumers.ingestion.table import described
from consumers.ingestion.unpacking import unpack
from consumers.ingestion.work import Read, Work
from schemas.datasets import FileFormat

__all__ = ["Converted", "Hints", "Limits", "Progress", "Unreadable", "convert"]

_TELL_EVERY_S = 0.5
_UNPACKING = 0.2


def unheard(_: float, __: str) -> None:
    """For those who do not ask how far it is."""


def convert(
    source: Path,
    filename: str,
    into: Path,
    *,
    hints: Hints = Hints(),  # noqa: B008  # frozen
    limits: Limits = Limits(),  # noqa: B008  # frozen
    progress: Progress = unheard,
) -> Converted:
    """Leaves in `into`, an existing empty folder, `table.parquet` and `rejects.parquet` where there are any.
    Raises Unreadable."""
    share = _timed(progress)
    unpacked = unpack(source, filename, into, limits, part(share, 0, _UNPACKING))
    begin = 0.0 if unpacked.compression is None else _UNPACKING
    kind = recognised(unpacked.path, hints)
    with Duck(into, limits) as duck, Rejects(into / "rejects.parquet") as rejects:
        work = Work(unpacked.path, into / "table.parquet", duck, rejects, hints, limits)
        try:
            relation, reading = _READERS[kind](work, part(share, begin, 1))
            rows, columns = described(duck, relation, work.parquet)
        except duckdb.OutOfMemoryException:
            most = f"{limits.memory_limit_mb} MB"
            raise Unreadable(f"The rows are too large to be read within {most}: upload shorter ones.") from None
    _judge(rows, rejects, limits)
    warnings = [wrong_extension(unpacked.name, kind), _about_rejects(rows, rejects), *_about_days(relation)]
    return Converted(
        parquet=work.parquet,
        rejects=rejects.path if rejects.count else None,
        rows=rows,
        rejected=rejects.count,
        columns=columns,
        reading=reading.model_copy(update={"compression": unpacked.compression}),
        warnings=[warning for warning in warnings if warning is not None],
    )


_READERS: dict[FileFormat, Callable[[Work, Share], Read]] = {
    FileFormat.CSV: delimited.read,
    FileFormat.JSON_LINES: json_lines.read,
    FileFormat.JSON: json_document.read,
    FileFormat.PARQUET: columnar.read_parquet,
    FileFormat.ARROW: columnar.read_arrow,
    FileFormat.EXCEL: spreadsheet.read,
}


def _judge(rows: int, rejects: Rejects, limits: Limits) -> None:
    total = rows + rejects.count
    if total and rejects.count / total > limits.max_rejected_share:
        most = f"{limits.max_rejected_share:.0%}"
        raise Unreadable(
            f"{rejects.count:,} of {total:,} rows cannot be read, and {most} are the most; the first is in "
            f"{rejects.first}. Correct the file, or say how it is delimited and encoded."
        )


def _about_rejects(rows: int, rejects: Rejects) -> str | None:
    if not rejects.count:
        return None
    return f"{rejects.count:,} of {rows + rejects.count:,} rows were rejected, the first in {rejects.first}."


def _about_days(relation: Relation) -> list[str]:
    return [
        f"The dates in {field.name!r} may have the day or the month first, and stay text: write them as 2026-12-31."
        for field in relation.fields
        if field.ambiguous
    ]


def _timed(progress: Progress) -> Share:
    """Tells now and then, with what is left at the speed so far. Where a file is read once more, it waits until that
    is as far as the time before."""
    began = told = time.monotonic()
    furthest = 0.0

    def share(done: float) -> None:
        nonlocal told, furthest
        now = time.monotonic()
        if now - told < _TELL_EVERY_S or done <= furthest:
            return
        told, furthest = now, done
        left = (now - began) * (1 - done) / done
        progress(done, f"reading, about {left:,.0f} s left")

    return share
