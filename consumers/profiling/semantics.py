"""What a column is about: values of the sample that pass a check, and what the column is called."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from consumers.profiling import looks
from consumers.profiling.looks import Look
from schemas.datasets import ColumnType
from schemas.profile import ColumnProfile, Match, SemanticType

LOOKED_AT = 1_000
_MOST = 0.9
"""The share of values that must pass where the name says nothing."""
_SOME = 0.5
"""Where the name agrees."""


@dataclass(frozen=True)
class _Rule:
    type: SemanticType
    looks: Look
    name: str = ""
    """Words of the column's name that agree."""
    needs_name: bool = False
    """Whether values alone prove too little."""

    def share(self, name: str, texts: Sequence[str]) -> float | None:
        """Of the texts that pass, if they are enough. Looking ends where they cannot be any more: most columns are
        not what a rule is about, which few of their values tell."""
        named = bool(self.name) and re.search(rf"(?:^|_)(?:{self.name})(?:_|$)", name) is not None
        if not texts or (self.needs_name and not named):
            return None
        most = math.floor(len(texts) * (1 - (_SOME if named else _MOST)) + 1e-9)
        failed = sum(1 for _ in islice((text for text in texts if not self.looks(text)), most + 1))
        return None if failed > most else 1 - failed / len(texts)


def _between(low: float, high: float) -> Look:
    return lambda value: low <= float(value) <= high


S = SemanticType
_POSTAL = "zip|zip_?code|post_?code|postal|postal_code|plz"
_CARD = "card|cc|pan|credit_card|card_number"
_PHONE = "phone|tel|telephone|mobile|fax|phone_number"
_TEXT_RULES = (
    _Rule(S.UUID, looks.uuid, "uuid|guid"),
    _Rule(S.EMAIL, looks.email, "e?_?mail|email_address"),
    _Rule(S.URL, looks.url, "url|uri|link|href|website|homepage"),
    _Rule(S.IP_ADDRESS, looks.ip, "ip|ip_address|ipv4|ipv6"),
    _Rule(S.CREDIT_CARD, looks.credit_card, _CARD),
    _Rule(S.DATE, looks.date, "date|day|time|timestamp|at"),
    _Rule(S.PERCENTAGE, looks.percentage, "percent|percentage|pct|share"),
    _Rule(S.POSTAL_CODE, looks.postal_code, _POSTAL, needs_name=True),
    _Rule(S.PHONE, looks.phone, _PHONE),
    _Rule(S.CURRENCY, looks.money, "currency|price|amount|cost|salary|ccy"),
    _Rule(S.BOOLEAN, looks.yes_no),
    _Rule(S.COUNTRY, looks.country, "country|nation|country_code|country_name"),
    _Rule(S.FILE_PATH, looks.file_path, "path|file|filename|file_path|directory"),
    _Rule(S.FREE_TEXT, looks.free_text, "text|description|comment|comments|review|message|body|summary|doc"),
    _Rule(S.PERSON_NAME, looks.person_name, "name|first_?name|last_?name|full_?name|surname|author|customer", True),
)
_NUMBER_RULES = (
    _Rule(S.LATITUDE, _between(-90, 90), "lat|latitude", True),
    _Rule(S.LONGITUDE, _between(-180, 180), "lon|lng|long|longitude", True),
    _Rule(S.PERCENTAGE, _between(-100, 100), "percent|percentage|pct", True),
    _Rule(S.CURRENCY, _between(-1e15, 1e15), "price|amount|cost|salary|revenue|fee|usd|eur|gbp", True),
)
_INTEGER_RULES = (
    _Rule(S.YEAR, _between(1500, 2200), "year|yr|jahr|born|founded", True),
    _Rule(S.CREDIT_CARD, looks.credit_card, _CARD),
    _Rule(S.POSTAL_CODE, looks.postal_code, _POSTAL, True),
    _Rule(S.PHONE, _between(1e6, 1e15), _PHONE, True),
)
_ID_NAME = re.compile(r"(?:^|_)(?:id|key|no|nr|number|index|uid|pk|code|ref)(?:_|$)")


def match(column: ColumnProfile, values: Sequence[Any]) -> Match | None:
    """The first rule that holds; otherwise an id, where no value occurs twice and the name says so."""
    words = words_of(column.name)
    texts = [text for value in values if (text := _text(value))]
    for rule in _rules(column.type):
        if (share := rule.share(words, texts)) is not None:
            return Match(type=rule.type, share=share)
    return _id(column, words)


def words_of(name: str) -> str:
    """`customerEmail` and `Customer e-mail` both become words with underscores between them."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", spaced).strip("_").lower()


def _rules(column_type: ColumnType) -> tuple[_Rule, ...]:
    match column_type:
        case ColumnType.TEXT | ColumnType.CATEGORY:
            return _TEXT_RULES
        case ColumnType.INTEGER:
            return _INTEGER_RULES + _NUMBER_RULES
        case ColumnType.FLOAT:
            return _NUMBER_RULES
        case _:
            return ()


def _id(column: ColumnProfile, words: str) -> Match | None:
    """A key repeats in other tables, but not here; without a name for it, a strict order of integers will do."""
    if not column.unique or column.count < 2 or column.type not in (ColumnType.INTEGER, ColumnType.TEXT):
        return None
    ordered = column.type is ColumnType.INTEGER and (column.monotonic or "").startswith("strictly")
    return Match(type=SemanticType.ID, share=1.0) if ordered or _ID_NAME.search(words) else None


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
