"""Delimited text read with care: every record of it, or the reason why a line belongs to none.

Much slower than DuckDB's reader, which stops at what is taken apart here, and without its surprises: a quote that
never ends costs its line and not the rest of the file.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from consumers.ingestion.dialect import QUOTE
from consumers.ingestion.encodings import LONGEST_LINE
from consumers.ingestion.lines import Line
from consumers.ingestion.rejects import Rejects

Record = list[str]

csv.field_size_limit(LONGEST_LINE)


@dataclass(frozen=True)
class _Broken(Exception):
    reason: str


class Records:
    """Iterates over (line number, fields). Blank lines are no records."""

    def __init__(self, lines: Iterable[Line], delimiter: str, rejects: Rejects, is_cut: bool = False) -> None:
        """Lines that are cut off may end within a record, which is left out with all that follows."""
        self._lines = iter(lines)
        self._again: deque[Line] = deque()
        self._delimiter = delimiter
        self._rejects = rejects
        self._is_cut = is_cut
        self._ran_out = False

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        while (line := self._next()) is not None:
            if line.fault is not None:
                self._rejects.add(line.number, line.fault, line.text)
            elif not (bare := line.text.rstrip("\r\n")):
                continue
            elif QUOTE not in bare:
                yield line.number, bare.split(self._delimiter)
            elif (record := self._quoted(line)) is not None:
                yield line.number, record
            elif self._is_cut and self._ran_out:
                return

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def _quoted(self, first: Line) -> Record | None:
        """A record that may go on over more lines; where it is broken these are read again, each by itself."""
        read = [first]
        try:
            return next(csv.reader(self._texts(read), delimiter=self._delimiter, strict=True))
        except (csv.Error, _Broken) as error:
            self._again.extendleft(reversed(read[1:]))
            self._rejects.add(first.number, str(error), first.text)
            return None

    def _texts(self, read: list[Line]) -> Iterator[str]:
        yield read[0].text
        size = len(read[0].text)
        while (line := self._next()) is not None:
            read.append(line)
            size += len(line.text)
            if line.fault is not None or size > LONGEST_LINE:
                raise _Broken(f"a quoted field is not closed before line {line.number}")
            yield line.text
        self._ran_out = True


def fitting(records: Iterable[tuple[int, Record]], width: int, delimiter: str, rejects: Rejects) -> Iterator[Record]:
    """The records with as many fields as there are columns."""
    for line, record in records:
        if len(record) == width:
            yield record
        else:
            rejects.add(line, raggedness(record, width), delimiter.join(record))


def raggedness(record: Record, width: int) -> str:
    return f"the row has {len(record)} fields instead of {width}"


def count_of_fields(rows: Sequence[Record]) -> int:
    """The commonest, and the first row's among equals."""
    widths = [len(row) for row in rows]
    return max(widths, key=widths.count)
