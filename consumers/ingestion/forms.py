"""Which forms a column of texts can take: each is SQL that answers NULL for a text that does not have it.

An integer is what reads back as the same text, so that codes such as 01234 keep their zero. The other rules are on
the guide's page on formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.runtime.duck import literal
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

    def forced(self, column: str, present: str) -> str:
        """Fails at the first value of `present`, the column without what stands for no value, that has another form.
        Only texts that do not have this one are looked up there."""
        if self.total:
            return self.tried(present)
        misfit = f"CASE WHEN {present} IS NOT NULL THEN error('{MISFIT}' || left({column}, 0)) END"
        return f"coalesce({self.tried(column)}, {misfit})"


def present(column: str) -> str:
    """The text, or null where it stands for no value."""
    # Not `IN`: of a long list DuckDB makes a join, after which rows have no certain order any more.
    spelled = " OR ".join(f"{column} = {literal(spelling)}" for spelling in MISSING)
    return f"CASE WHEN strlen({column}) > {max(map(len, MISSING))} OR NOT ({spelled}) THEN {column} END"


_NUMBER = "TRY_CAST({c} AS DOUBLE)"
_CODE = "regexp_matches({c}, '^\\s*(\\+|-?0[0-9])')"
_LOSES_DIGITS = "length({c}) > 15 AND NOT contains({c}, '.') AND NOT contains(lower({c}), 'e')"
_OVERFLOWS = f"isinf({_NUMBER}) AND NOT contains(lower({{c}}), 'inf')"
# Comparing texts looks at their first bytes alone. What casts and is in these ranges has no sign +, no zero too many.
_NO_CODE = "({c} >= '0:' OR ({c} >= '-0:' AND {c} < '00') OR ({c} >= '-' AND {c} < '-00'))"
_KEEPS_DIGITS = "(strlen({c}) <= 15 OR contains({c}, '.'))"
_USUAL = f"isfinite({_NUMBER}) AND {_NO_CODE} AND {_KEEPS_DIGITS} AND NOT contains({{c}}, '_')"
_UNUSUAL = f"NOT ({_CODE} OR contains({{c}}, '_') OR ({_LOSES_DIGITS}) OR ({_OVERFLOWS}) OR {{c}} IN ('NaN', 'nan'))"
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
    f"coalesce(CASE WHEN {_USUAL} THEN {_NUMBER} END, CASE WHEN {_UNUSUAL} THEN {_NUMBER} END)",
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
