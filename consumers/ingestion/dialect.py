"""How the fields of a text are set apart, judged by its beginning."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from consumers.ingestion.forms import MISSING

QUOTE = '"'
_DELIMITERS = (",", "\t", ";", "|")
_ROWS = 200
_TYPED = re.compile(
    r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ]\d{1,2}:.*)?|true|false",
    re.IGNORECASE,
)


def delimiter(text: Sequence[str]) -> str:
    """The one that cuts the most lines into the same number of fields; a comma where none cuts."""
    return max(_DELIMITERS, key=lambda candidate: _agreement(text, candidate))


def _agreement(text: Sequence[str], candidate: str) -> tuple[float, int]:
    widths = Counter(len(row) for row in islice(csv.reader(text, delimiter=candidate), _ROWS) if row)
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(1, 0))
    return (count / widths.total() if width > 1 else 0.0, width)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """The first row names the columns unless it looks like the others: a header does where a column of numbers, dates
    or truths begins with another text. Without such a column it is one if it has none of these itself."""
    first, body = rows[0], [row for row in rows[1:_ROWS] if len(row) == len(rows[0])]
    typed = [at for at in range(len(first)) if _is_typed([row[at] for row in body])]
    if not typed:
        return not any(_TYPED.fullmatch(cell) for cell in first)
    return any(first[at] not in MISSING and not _TYPED.fullmatch(first[at]) for at in typed)


def _is_typed(values: Sequence[str]) -> bool:
    present = [value for value in values if value not in MISSING]
    return bool(present) and all(_TYPED.fullmatch(value) for value in present)
