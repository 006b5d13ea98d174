"""CSV with any delimiter: DuckDB reads it where it is plain, and what is not is made so first."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from consumers.ingestion import names
from consumers.ingestion.conversion import Unreadable
from consumers.ingestion.dialect import QUOTE, delimiter, has_header
from consumers.ingestion.duck import Share, part, unheard
from consumers.ingestion.encodings import LONGEST_LINE, scan
from consumers.ingestion.inference import Field, Relation, guessed
from consumers.ingestion.lines import Line, lines
from consumers.ingestion.ragged import REPORTING, Doubtful, reject_ragged
from consumers.ingestion.records import Record, Records, count_of_fields, fitting
from consumers.ingestion.rejects import Rejects
from consumers.ingestion.staged_texts import stage
from consumers.ingestion.table import WIDE, write
from consumers.ingestion.work import Read, Work
from consumers.runtime.duck import literal
from schemas.datasets import FileFormat, Reading

_HEAD = 1 << 18  # characters
_BUFFER = 8 * LONGEST_LINE


@dataclass(frozen=True)
class Layout:
    """What the beginning of a file tells."""

    encoding: str
    plain: bool
    delimiter: str
    header: bool
    fields: tuple[Field, ...]
    renamed: dict[str, str]

    def reading(self) -> Reading:
        return Reading(
            format=FileFormat.CSV,
            encoding=self.encoding,
            delimiter=self.delimiter,
            quote=QUOTE,
            header=self.header,
            renamed=self.renamed,
        )


def read(work: Work, share: Share) -> Read:
    layout = _layout(work, part(share, 0, 0.1))
    if layout.plain:
        # Not so plain are rows with more or fewer fields, and quotes where they should not stand.
        with suppress(duckdb.InvalidInputException):
            return _read_plain(work, layout, part(share, 0.1, 1)), layout.reading()
        with suppress(duckdb.InvalidInputException, Doubtful):
            return _read_ragged(work, layout, part(share, 0.1, 1)), layout.reading()
    return _read_with_care(work, layout, share), layout.reading()


def _read_plain(work: Work, layout: Layout, share: Share, options: str = "") -> Relation:
    fields = tuple(replace(field, spelled=True) for field in layout.fields)
    return write(work.duck, Relation(_reader(work.path, layout, options), fields), work.parquet, share)


def _read_ragged(work: Work, layout: Layout, share: Share) -> Relation:
    written = _read_plain(work, layout, share, f"parallel = false, {REPORTING},")
    reject_ragged(work, layout.delimiter, len(layout.fields))
    return written


def _read_with_care(work: Work, layout: Layout, share: Share) -> Relation:
    text = lines(work.path, layout.encoding, part(share, 0.1, 0.6))
    records = iter(Records(text, layout.delimiter, work.rejects))
    if layout.header:
        next(records, None)
    width = len(layout.fields)
    rows = fitting(records, width, layout.delimiter, work.rejects)
    staged = Relation(stage(rows, width, work.beside("staged.parquet")), layout.fields)
    return write(work.duck, staged, work.parquet, part(share, 0.6, 1))


def _layout(work: Work, share: Share) -> Layout:
    scanned = scan(work.path, work.hints.encoding, share)
    head = list(_head(work.path, scanned.encoding))
    is_cut = sum(len(line.text) for line in head) > _HEAD
    mark = work.hints.delimiter or delimiter([line.text for line in head if line.fault is None])
    with Rejects(work.beside("rejects-of-head.parquet")) as unused:
        rows = [record for _, record in Records(head, mark, unused, is_cut)]
    if not rows:
        raise Unreadable(f"The file has no row that can be read{_first(unused)}: upload one with a row of names.")
    header = has_header(rows) if work.hints.header is None else work.hints.header
    width = len(rows[0]) if header else count_of_fields(rows)
    fields, renamed = fields_of(work, rows, header, width, complete=not is_cut)
    # DuckDB takes an empty line for a row where there is but one column, and holds wide rows by the thousand.
    return Layout(scanned.encoding, scanned.plain and 1 < width <= WIDE, mark, header, fields, renamed)


def _first(rejects: Rejects) -> str:
    return f" ({rejects.first})" if rejects.count else ""


def _head(path: Path, encoding: str) -> Iterator[Line]:
    size = 0
    for line in lines(path, encoding, unheard):
        yield line
        size += len(line.text)
        if size > _HEAD:
            return


def fields_of(
    work: Work, rows: list[Record], header: bool, width: int, complete: bool
) -> tuple[tuple[Field, ...], dict[str, str]]:
    """The columns with the guess of their form, which is final if these rows are all, and the names not kept."""
    if width > work.limits.max_columns:
        most = f"{work.limits.max_columns:,} are the most"
        raise Unreadable(f"The table has {width:,} columns, and {most}: leave some out.")
    given = rows[0] if header else [f"column_{number}" for number in range(1, width + 1)]
    unique, renamed = names.kept(given)
    body = [row for row in rows[1 if header else 0 :] if len(row) == width]
    cells = ([str(at), cell] for row in body for at, cell in enumerate(row))
    sample = stage(cells, 2, work.beside("head.parquet"))
    fields = guessed(work.duck, f"{sample} AS sample(number, cell)", unique)
    return tuple(replace(field, open=field.open and not complete) for field in fields), renamed


def _reader(path: Path, layout: Layout, options: str) -> str:
    columns = ", ".join(f"'c{at}': 'VARCHAR'" for at in range(len(layout.fields)))
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, header = {layout.header}, {options} "
        f"delim = {literal(layout.delimiter)}, quote = '{QUOTE}', escape = '{QUOTE}', nullstr = '', "
        f"max_line_size = {LONGEST_LINE}, buffer_size = {_BUFFER}, columns = {{{columns}}})"
    )
