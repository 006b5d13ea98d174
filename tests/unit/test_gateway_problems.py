import re
from datetime import datetime
from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from gateway.openapi import PROBLEM_RESPONSES, with_problem_schema
from gateway.problems import ProblemError, invalid_parameters, pointer
from schemas.patterns import Name
from schemas.problems import PROBLEM_TYPES, Problem


@pytest.mark.parametrize(
    ("location", "expected"),
    [((), ""), (("a",), "/a"), (("a", 0, "b"), "/a/0/b"), (("a/b", "c~d", ""), "/a~1b/c~0d/"), (("~1",), "/~01")],
)
def test_a_pointer_is_escaped_as_rfc_6901_says(location: tuple[str | int, ...], expected: str) -> None:
    assert pointer(location) == expected


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int
    names: Annotated[list[Annotated[str, Field(max_length=3)]], Field(min_length=1)]


def test_all_invalid_fields_are_named_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        _Params.model_validate({"count": "many", "names": ["ok", "too long", 7], "surplus": 1})
    problem = invalid_parameters(refused.value, at="/params")
    found = {field.pointer: field.detail for field in problem.errors or []}
    assert set(found) == {"/params/count", "/params/names/1", "/params/names/2", "/params/surplus"}
    assert all(found.values())
    assert problem.detail.startswith("4 invalid: ")
    assert problem.type.slug == "invalid-parameters"


def test_a_body_of_the_wrong_type_is_named_as_the_body() -> None:
    with pytest.raises(ValidationError) as refused:
        _Params.model_validate([1])
    problem = invalid_parameters(refused.value)
    assert [field.pointer for field in problem.errors or []] == [""]
    assert "the body" in problem.detail


def test_values_do_not_come_back_in_an_answer() -> None:
    with pytest.raises(ValidationError) as refused:
        _Params.model_validate({"count": "hunter2-secret", "names": []})
    assert "hunter2" not in str(invalid_parameters(refused.value).errors)


def test_every_type_is_complete() -> None:
    for slug, problem in PROBLEM_TYPES.items():
        assert re.fullmatch(r"[a-z][a-z-]+", slug)
        assert problem.path == f"/problems/{slug}"
        assert problem.title
        assert problem.remedy.endswith(".")
        assert problem.status is None or 400 <= problem.status < 600


def test_an_unknown_slug_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        ProblemError("no-such-type", "")


def test_the_documents_name_every_status() -> None:
    assert all(problem.status in (None, 403, 405, 412, 500, *PROBLEM_RESPONSES) for problem in PROBLEM_TYPES.values())
    document = with_problem_schema({})
    schema = document["components"]["schemas"]["Problem"] | document
    problem = Problem(type="/problems/x", title="t", status=400, detail="d").model_dump(exclude_none=True)
    jsonschema.validate(problem, schema)


def _refused(_topic: str) -> str:
    raise ValueError("no job ends so")


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    since: datetime | None = None
    files: dict[Name, int] = Field(default_factory=dict)
    topic: Annotated[str, AfterValidator(_refused)] = ""


@pytest.mark.parametrize(
    ("given", "pointer", "detail"),
    [
        ({"code": 1}, "/code", "There is no field of this name"),
        ({"since": "yesterday"}, "/since", "Should be a time with its zone, such as 2026-11-21T09:30:00Z"),
        ({"files": {"../x": 1}}, "/files/..~1x", "Should be a name of letters, digits, '.', '_' and '-' that"),
        ({"topic": "x"}, "/topic", "no job ends so"),
    ],
)
def test_an_invalid_field_says_what_to_do(given: dict[str, Any], pointer: str, detail: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Asked.model_validate(given)
    [field] = invalid_parameters(caught.value).errors or []
    assert field.pointer == pointer
    assert field.detail.startswith(detail)
