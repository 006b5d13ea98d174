"""Whoever sends a text that does not fit is told what fits, and the documents still tell programs the expression."""

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import StringConstraints, TypeAdapter, ValidationError

import gateway
import schemas
from schemas.jobs.code_run import FilePath
from schemas.learning import Alias, PluginName
from schemas.notifications import EmailAddress
from schemas.patterns import Id, Name, Pattern, VersionId
from schemas.tasks import Tag
from schemas.texts import EncoderName, LabellerName
from schemas.topics import EndTopic

WORD = Annotated[str, StringConstraints(min_length=1, max_length=3), Pattern("^[a-z]+$", "small letters")]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("A", "Should be small letters"),
        ("", "String should have at least 1 character"),
        ("abcd", "String should have at most 3 characters"),
        (7, "Input should be a valid string"),
    ],
)
def test_each_constraint_says_what_it_wants(given: Any, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(WORD).validate_python(given)
    assert [error["msg"] for error in caught.value.errors()] == [told]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_schema_has_all_of_them(mode: Any) -> None:
    schema = TypeAdapter(WORD).json_schema(mode=mode)
    assert schema == {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]+$"}


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (Id, "abc"),
        (VersionId, "latest"),
        (Name, "my data"),
        (Alias, "Champion"),
        (PluginName, "_x"),
        (Tag, "A b"),
        (FilePath, "../x"),
        (EncoderName, "../x"),
        (LabellerName, "registry:"),
        (EndTopic, "model train"),
        (EmailAddress, "Ada <ada@example.org>"),
    ],
)
def test_what_is_told_shows_an_example_that_fits_and_no_expression(kind: Any, bad: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(bad)
    told = caught.value.errors()[0]["msg"]
    assert told.startswith("Should be ")
    assert not set(told) & set("^$[]\\")
    if "such as" in told:
        example = re.search(r"such as '([^']+)'", told)
        assert example is not None
        assert TypeAdapter(kind).validate_python(example[1]) == example[1]


def test_no_contract_has_an_expression_without_words() -> None:
    """But for the envelope, which no user writes."""
    folders = [Path(str(package.__file__)).parent for package in (schemas, gateway)]
    found = {path.name for folder in folders for path in folder.rglob("*.py") if "pattern=" in path.read_text()}
    assert found == {"envelope.py"}
