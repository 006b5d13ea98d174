"""Whether a single value looks like an e-mail address, a card number, a path, ..."""

import re
from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address

from consumers.profiling.vocabularies import COUNTRY_CODES, COUNTRY_NAMES, CURRENCY_CODES, YES_NO

Look = Callable[[str], bool]

_EMAIL = re.compile(r"[^@\s,;<>()]+@[^@\s,;<>()]+\.[^\W\d_]{2,}")
_URL = re.compile(r"(?:https?|ftp|s3|wss?)://\S+|www\.\S+\.\S+", re.IGNORECASE)
_UUID = re.compile(r"\{?[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)
_PHONE = re.compile(r"\+?\(?\d[\d ()./-]{5,18}\d")
_CARD = re.compile(r"\d{4}[ -]?\d{4,6}[ -]?\d{4,5}(?:[ -]?\d{1,4})?")
_MONEY = re.compile(r"[-(]?\s*(?:[$€£¥₹₩₽]|[A-Z]{3} ?)\s*-?\d[\d.,' ]*\)?|-?\d[\d.,' ]*\s*(?:[$€£¥₹₩₽]| [A-Z]{3})")
_POSTAL = re.compile(
    r"\d{4,6}|\d{5}-\d{4}|[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d|\d{4} ?[A-Z]{2}|\d{3}-\d{4}"
)
_PERCENTAGE = re.compile(r"[-+]?\d+(?:[.,]\d+)?\s*%")
_PATH = re.compile(r"(?:[A-Za-z]:\\|\\\\|~?/|\.{1,2}/)[^\n<>|*?]+|(?:[\w.@ -]+[/\\])+[\w@ -]+\.\w{1,8}")
_PERSON = re.compile(r"(?:[A-ZÀ-Þ][\w'\u2019.-]*,?(?: |$)){1,4}")
_SENTENCE_WORDS = 5
_DATE_FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y")
_DATE_SHAPE = re.compile(r"\d{1,4}[-./ ](?:\d{1,2}|[A-Za-z]{3})[-./ ]\d{1,4}|[A-Za-z]{3} \d{1,2}, \d{4}")
_NUMBER = re.compile(r"\s*[-+]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:[eE][-+]?\d+)?\s*")


def whole(pattern: re.Pattern[str]) -> Look:
    return lambda value: pattern.fullmatch(value) is not None


email = whole(_EMAIL)
url = whole(_URL)
uuid = whole(_UUID)
money_amount = whole(_MONEY)
postal_code = whole(_POSTAL)
percentage = whole(_PERCENTAGE)
file_path = whole(_PATH)
person_name = whole(_PERSON)
number = whole(_NUMBER)


def ip(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def phone(value: str) -> bool:
    """7 to 15 digits (E.164), with something between or before them: a bare number may be anything."""
    digits = sum(map(str.isdigit, value))
    return 7 <= digits <= 15 and digits < len(value) and _PHONE.fullmatch(value) is not None and not date(value)


def credit_card(value: str) -> bool:
    if _CARD.fullmatch(value) is None:
        return False
    return luhn([int(digit) for digit in value if digit.isdigit()])


def luhn(digits: list[int]) -> bool:
    """The check digit of card numbers (ISO/IEC 7812-1), which one number in ten has by chance."""
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return 12 < len(digits) < 20 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def money(value: str) -> bool:
    return value in CURRENCY_CODES or money_amount(value)


def country(value: str) -> bool:
    return value in COUNTRY_CODES or value.casefold() in COUNTRY_NAMES


def yes_no(value: str) -> bool:
    return value.casefold() in YES_NO


def date(value: str) -> bool:
    """Most text is told from a date by its shape, which takes a fiftieth of the time of trying to read it."""
    if len(value) > 35 or _DATE_SHAPE.match(value) is None:
        return False
    return _is_iso(value) or any(_parses(value, form) for form in _DATE_FORMATS)


def free_text(value: str) -> bool:
    return len(value.split()) >= _SENTENCE_WORDS


def _is_iso(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return "-" in value  # bare digits, which newer versions read as a date, are a number


def _parses(value: str, form: str) -> bool:
    try:
        datetime.strptime(value, form)  # noqa: DTZ007  # only whether it is one
    except ValueError:
        return False
    return True
