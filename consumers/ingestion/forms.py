"""Which forms a column of texts can take: each is SQL that answers NULL for a text that does not have it.

An integer is what reads back as the same text, so that codes such as 01234 keep their zero. The other rules are on
the guide's page on formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.datasets import ColumnType

MISSING = ("", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "NULL", "null", "Null", "None", "none")
"""What stands for no value, in texts without types of their own."""

MISFIT = "millrace: this value is of another type"


@dataclass(frozen=True)
class Form:
    type: ColumnType
    sql: str
    """Of `{c}`."""
    family: str | None = None
    """Day first and month first are one family. A column that has both forms has neither: nobody can tell."""

    total: bool = False
    """Whether every value has it."""

    def tried(self, column: str) -> str:
        return self.sql.replace("{c}", column)

    def forced(self, column: str) -> str:
        """Fails at the first value that does not have this form."""
        if self.total:
            return self.tried(column)
        misfit = f"CASE WHEN {column} IS NOT NULL THEN error('{MISFIT}' || left({column}, 0)) END"
        return f"coalesce({self.tried(column)}, {misfit})"


_NUMBER = "TRY_CAST({c} AS DOUBLE)"
_CODE = "regexp_matches({c}, '^\\s*(\\+|-?0[0-9])')"
_USUAL = (
    "contains({c}, '.') AND NOT contains({c}, '_') AND (ascii({c}) BETWEEN 49 AND 57 OR prefix({c}, '0.') "
    "OR (prefix({c}, '-') AND (NOT prefix({c}, '-0') OR prefix({c}, '-0.'))))"
)
_LOSES_DIGITS = "length({c}) > 15 AND NOT contains({c}, '.') AND NOT contains(lower({c}), 'e')"
_OVERFLOWS = f"isinf({_NUMBER}) AND NOT contains(lower({{c}}), 'inf')"
_ZONE = "(contains(substr({c}, 11), 'Z') OR contains(substr({c}, 11), '+') OR contains(substr({c}, 11), '-'))"
_SECONDS_LAST = "strlen({c}) = 19 AND {c}[17] = ':'"
_STARTS_WITH_DIGIT = "{c} >= '0' AND {c} < ':'"
_TIMES = (" %H:%M", " %H:%M:%S")

TEXT = Form(ColumnType.TEXT, "{c}", total=True)
JSON = Form(ColumnType.JSON, "{c}", total=True)
# Each begins with a test of the usual spelling that is cheap: the full ones made writing half as slow again.
INTEGER = Form(
    ColumnType.INTEGER,
    "coalesce(CASE WHEN CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) = {c} THEN TRY_CAST({c} AS BIGINT) END, "
    "CASE WHEN CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) = trim({c}) THEN TRY_CAST({c} AS BIGINT) END)",
)
FLOAT = Form(
    ColumnType.FLOAT,
    f"coalesce(CASE WHEN {_USUAL} THEN nullif(nullif({_NUMBER}, 'inf'), '-inf') END, "
    f"CASE WHEN NOT ({_CODE} OR contains({{c}}, '_') OR ({_LOSES_DIGITS}) OR ({_OVERFLOWS})) THEN {_NUMBER} END)",
)
BOOLEAN = Form(
    ColumnType.BOOLEAN,
    "CASE {c} WHEN 'true' THEN true WHEN 'false' THEN false "
    "ELSE CASE lower({c}) WHEN 'true' THEN true WHEN 'false' THEN false END END",
)
_ISO = [
    Form(
        ColumnType.DATE,
        f"CASE WHEN length({{c}}) <= 10 AND {_STARTS_WITH_DIGIT} THEN TRY_CAST({{c}} AS DATE) END",
    ),
    Form(
        ColumnType.TIMESTAMP,
        f"coalesce(CASE WHEN {_STARTS_WITH_DIGIT} AND {_SECONDS_LAST} THEN TRY_CAST({{c}} AS TIMESTAMP) END, "
        f"CASE WHEN {_STARTS_WITH_DIGIT} AND NOT {_ZONE} THEN TRY_CAST({{c}} AS TIMESTAMP) END)",
    ),
    Form(
        ColumnType.TIMESTAMP,
        f"CASE WHEN {_STARTS_WITH_DIGIT} AND {_ZONE} THEN CAST(TRY_CAST({{c}} AS TIMESTAMPTZ) AS TIMESTAMP) END",
    ),
]


def _dates(pattern: str, family: str | None = None) -> list[Form]:
    parsed = f"CASE WHEN {_STARTS_WITH_DIGIT} AND length({{c}}) >= 8 THEN try_strptime({{c}}, '{pattern}') END"
    timed = [parsed.replace("%Y", f"%Y{time}") for time in _TIMES]
    return [
        Form(ColumnType.DATE, f"CAST({parsed} AS DATE)", family),
        *(Form(ColumnType.TIMESTAMP, sql, family) for sql in timed),
    ]


NUMBERS = (INTEGER, FLOAT)
TIMES = (
    *_ISO,
    *_dates("%d/%m/%Y", "slashes"),
    *_dates("%m/%d/%Y", "slashes"),
    *_dates("%d-%m-%Y", "dashes"),
    *_dates("%m-%d-%Y", "dashes"),
    *_dates("%d.%m.%Y"),
    *_dates("%d-%b-%Y"),
    *_dates("%d %b %Y"),
)
ALL = (*NUMBERS, BOOLEAN, *TIMES)
"""Narrower ones first. TEXT, which everything has, is not listed."""


def ambiguous(fits: Sequence[Form]) -> bool:
    families = [form.family for form in fits if form.family is not None]
    return len(families) > 1
