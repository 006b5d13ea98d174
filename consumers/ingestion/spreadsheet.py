"""Excel workbooks and their kin: one sheet, read as if it were text.

A sheet is held in memory, by its reader and by its nature: it has at most 1,048,576 rows.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from consumers.ingestion.conversion import Unreadable
from consumers.ingestion.delimited import fields_of
from consumers.ingestion.duck import Share, part
from consumers.ingestion.inference import Relation
from consumers.ingestion.records import Record
from consumers.ingestion.staged_texts import stage
from consumers.ingestion.table import write
from consumers.ingestion.work import Read, Work
from schemas.datasets import FileFormat, Reading

_HEAD_ROWS = 1_000


def read(work: Work, share: Share) -> Read:
    """The first filled row names the columns unless the hints say otherwise."""
    sheet = _sheet(work.path, work.hints.sheet)
    header = work.hints.header is not False
    head = list(islice(_rows(sheet), _HEAD_ROWS))
    if not head:
        raise Unreadable(f"The sheet {sheet.name!r} is empty: name another one, or fill it.")
    fields, renamed = fields_of(work, head, header, len(head[0]), complete=len(head) < _HEAD_ROWS)
    body = islice(_rows(sheet), int(header), None)
    staged = Relation(stage(body, len(fields), work.beside("staged.parquet")), fields)
    written = write(work.duck, staged, work.parquet, part(share, 0.5, 1))
    return written, Reading(format=FileFormat.EXCEL, sheet=sheet.name, header=header, renamed=renamed)


def _sheet(path: Path, name: str | None) -> CalamineSheet:
    try:
        book = CalamineWorkbook.from_path(str(path))
        if name is not None and name not in book.sheet_names:
            there = ", ".join(map(repr, book.sheet_names))
            raise Unreadable(f"The workbook has no sheet {name!r}: there are {there}.")
        return book.get_sheet_by_name(name) if name is not None else book.get_sheet_by_index(0)
    except CalamineError as error:
        raise Unreadable(f"The workbook cannot be opened ({error}): save it again, without a password.") from None


def _rows(sheet: CalamineSheet) -> Iterator[Record]:
    filled: Iterable[list[Any]] = (row for row in sheet.iter_rows() if any(cell not in ("", None) for cell in row))
    return ([_text(cell) for cell in row] for row in dropwhile(lambda row: not row, filled))


def _text(cell: Any) -> str:
    """Excel has no integers: a whole number is one here."""
    match cell:
        case bool():
            return "true" if cell else "false"
        case float() if cell.is_integer() and abs(cell) < 2**53:
            return str(int(cell))
        case datetime() | date() | time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
        case _:
            return str(cell)
