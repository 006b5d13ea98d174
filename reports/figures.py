"""Figures as people read them. `static/figures.js` says the same in the browser."""

import json
import math
from datetime import UTC, datetime

from pydantic import JsonValue

from schemas.datasets import ColumnType
from schemas.profile import ColumnProfile, Measured, SemanticType

NONE = "\N{EN DASH}"
SPACE = "\N{NO-BREAK SPACE}"
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))
_PLAIN = {SemanticType.ID, SemanticType.YEAR, SemanticType.POSTAL_CODE, SemanticType.PHONE, SemanticType.CREDIT_CARD}
# Control characters, and those that turn the direction of text, as something to see.
_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(32)},
    ord("\n"): "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}",
    ord("\t"): "\N{RIGHTWARDS ARROW}",
    **dict.fromkeys([0x7F, *range(0x80, 0xA0)], "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys([0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}


def count(value: int) -> str:
    return f"{value:,}"


def number(value: float | None, *, digits: int = 4, plain: bool = False) -> str:
    """To `digits` significant digits, whole numbers in full; `plain` is without separators, as years are."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if size and not 1e-4 <= size < 1e15:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{_sign(_trimmed(mantissa))}e{_sign(str(int(exponent)))}"
    decimals = 0 if value == int(value) else max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:.{decimals}f}" if plain else f"{value:,.{decimals}f}"
    return _sign(_trimmed(text))


def rounded(value: float, digits: int) -> str:
    """A large figure to so many significant digits, with a unit from a million on."""
    if value and math.isfinite(value):
        value = round(value, digits - 1 - math.floor(math.log10(abs(value))))
    for unit, symbol in _UNITS:
        if unit <= abs(value) < 1e15:
            return f"{number(value / unit, digits=digits)}{SPACE}{symbol}"
    return number(value, digits=digits)


def measured(found: Measured) -> str:
    """`1,234`, or what an estimate is good for: `about 1.2 M, ±1 %`."""
    if not found.error:
        return number(found.value)
    digits = 2 if found.error >= 0.01 else 3 if found.error >= 0.001 else 4
    return f"about {rounded(found.value, digits)}, {margin(found.error)}"


def margin(error: float) -> str:
    return f"±{number(error * 100, digits=2)}{SPACE}%"


def share(part: float | None) -> str:
    """Never 0 % or 100 % of what is not."""
    if part is None or not math.isfinite(part):
        return NONE
    percent = part * 100
    if 0 < percent < 0.1:
        return f"<0.1{SPACE}%"
    if 99.9 < percent < 100:
        return f">99.9{SPACE}%"
    return f"{_trimmed(f'{percent:,.1f}')}{SPACE}%"


def of(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def size(value: int) -> str:
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{number(amount, digits=3)}{SPACE}{unit}"
        amount /= 1000
    return f"{number(amount, digits=3)}{SPACE}TB"


def duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f}{SPACE}ms"
    if seconds < 60:
        return f"{number(seconds, digits=2)}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{SPACE}h {minutes}{SPACE}min" if hours else f"{minutes}{SPACE}min {rest}{SPACE}s"


def moment(value: datetime, *, day: bool = False) -> str:
    """In UTC; without a zone it is taken to be so."""
    known = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return known.date().isoformat() if day else f"{known.replace(tzinfo=None).isoformat(' ', 'seconds')}Z"


def shown(value: JsonValue, limit: int = 120, *, plain: bool = False) -> str:
    """A value of the data as one line of text that cannot disturb its surroundings."""
    if isinstance(value, bool) or value is None:
        text = json.dumps(value)
    elif isinstance(value, int | float):
        text = number(value, digits=6, plain=plain) if math.isfinite(value) else str(value)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text.strip():
        text = text.replace(" ", "\N{OPEN BOX}") or "(empty)"
    text = text[: limit + 1].translate(_VISIBLE)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def plain(column: ColumnProfile) -> bool:
    """Whether its numbers are names rather than amounts."""
    return column.semantic is not None and column.semantic.type in _PLAIN


def is_day(column: ColumnProfile) -> bool:
    return column.type is ColumnType.DATE


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _sign(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
