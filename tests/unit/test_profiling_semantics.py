"""What a column is about, told from its values and its name."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from consumers.profiling import looks
from consumers.profiling.semantics import words_of
from schemas.profile import SemanticType as S
from tests.unit.test_profiling_engine import profiled

COLUMNS: list[tuple[str, list[Any], S | None]] = [
    ("contact", ["ann@example.org", "bob.b@mail.example.com", "c@d.io"], S.EMAIL),
    ("x", ["https://example.org/a?b=c", "http://localhost:8080", "www.example.org/x"], S.URL),
    ("x", [str(uuid.UUID(int=number)) for number in range(3)], S.UUID),
    ("x", ["10.0.0.1", "192.168.1.254", "2001:db8::1"], S.IP_ADDRESS),
    ("x", ["+49 30 901820", "(212) 555-0123", "020 7946 0018"], S.PHONE),
    ("x", ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"], S.CREDIT_CARD),
    ("card_number", [4111111111111111, 5500000000000004, 4012888888881881], S.CREDIT_CARD),
    ("x", ["$12.50", "€ 3", "1,200 USD"], S.CURRENCY),
    ("x", ["Germany", "united states", "Türkiye"], S.COUNTRY),
    ("nation", ["DE", "FR", "USA"], S.COUNTRY),
    ("zip", ["10115", "SW1A 1AA", "K1A 0B1"], S.POSTAL_CODE),
    ("x", ["10115", "10117", "20095"], None),
    ("first_name", ["Ann", "Bob", "José"], S.PERSON_NAME),
    ("x", ["Ann", "Bob", "José"], None),
    ("x", ["2026-01-31", "31.01.2026", "Jan 5, 2026"], S.DATE),
    ("x", ["12 %", "99.5%", "-3%"], S.PERCENTAGE),
    ("x", ["yes", "No", "yes"], S.BOOLEAN),
    ("x", ["/usr/lib/os.py", "C:\\temp\\a.txt", "src/main.c"], S.FILE_PATH),
    ("x", ["this one has quite a few words", "so has this one, which is longer", "a b c d e"], S.FREE_TEXT),
    ("lat", [52.5, -33.9, 0.1], S.LATITUDE),
    ("longitude", [13.4, 151.2, -179.9], S.LONGITUDE),
    ("birthYear", [1999, 2004, 1987], S.YEAR),
    ("price", [9.99, 5.0, 12.5], S.CURRENCY),
    ("user_id", [88, 17, 93], S.ID),
    ("x", [1.5, 2.5, -1.0], None),
]


@pytest.mark.parametrize(("name", "values", "expected"), COLUMNS)
def test_a_column_is_about(tmp_path: Path, name: str, values: list[Any], expected: S | None) -> None:
    found = profiled(pa.table({name: values}), tmp_path).columns[0].semantic
    assert (found.type if found else None) is expected
    assert found is None or found.share == 1.0


def test_some_that_do_not_match_are_told_by_the_share(tmp_path: Path) -> None:
    values = [f"p{number}@example.org" for number in range(19)] + ["unknown"]
    found = profiled(pa.table({"v": values}), tmp_path).columns[0].semantic
    assert found is not None
    assert found.share == 0.95


@pytest.mark.parametrize("wrong", ["4111 1111 1111 1112", "4111", "2026-01-01", "1" * 30])
def test_what_only_resembles_a_card_number(wrong: str) -> None:
    assert not looks.credit_card(wrong)


@pytest.mark.parametrize("wrong", ["1234567", "2026-01-31", "12.5", "call me", "10.0.0.1"])
def test_what_only_resembles_a_phone_number(wrong: str) -> None:
    assert not looks.phone(wrong)


@pytest.mark.parametrize(
    ("name", "words"), [("customerEmail", "customer_email"), ("ZIP Code", "zip_code"), ("  e-mail!", "e_mail")]
)
def test_names_become_words(name: str, words: str) -> None:
    assert words_of(name) == words
