"""What a task must be, and what the program around it says."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from consumers.execution import harness
from consumers.execution.sandbox.ports import Limits, Program
from consumers.execution.task_run import _said, _staged
from producers.lint import LintSettings
from producers.shapes import Fitting, alike
from producers.tasks import faults, version_of
from schemas.execution import Packages
from schemas.jobs.task_run import RunTask
from schemas.shapes import Shape
from schemas.tasks import TaskContent
from tests.support.sandboxes import OpenDoor

LIMITS = Limits(20, 1 << 30, 64, 1 << 20, 1 << 20, 100)
PROGRAM = Path(harness.__file__).read_text()
NUMBER = {"type": "number"}


def task(function: str, **content: Any) -> TaskContent:
    given = {"input_schema": NUMBER, "output_schema": NUMBER, "example": {"input": 2, "output": 4}} | content
    return TaskContent.model_validate({"code": {"function": function}, **given})


async def outputs(content: TaskContent, inputs: list[Any], tmp_path: Path, **params: Any) -> list[dict[str, Any]]:
    """Of the real program around it as a real process."""
    asked = RunTask(task_id="0" * 32, version="0" * 12, inputs=inputs, **params)
    files = _staged(content, asked, tmp_path / "files")
    left = tmp_path / "left"
    left.mkdir()
    program = Program(PROGRAM, Packages.PLAIN, LIMITS, files=files)
    ended = await OpenDoor().run(program, left, lambda _stream, _piece: None)
    said = _said(ended.artifacts, content, asked)
    return [each.model_dump(exclude_none=True) for each in said.outputs]


async def test_every_input_has_its_output(tmp_path: Path) -> None:
    assert await outputs(task("def run(x): return x * x"), [1, 2, 3.5], tmp_path) == [
        {"output": 1},
        {"output": 4},
        {"output": 12.25},
    ]


async def test_a_batch_goes_through_at_once_and_one_that_fails_alone(tmp_path: Path) -> None:
    function = "def run_batch(xs):\n    assert 0 not in xs, 'no zero'\n    return [1 / x + len(xs) for x in xs]"
    assert await outputs(task(function), [1, 2, 4], tmp_path) == [{"output": 4.0}, {"output": 3.5}, {"output": 3.25}]
    (again := tmp_path / "again").mkdir()
    found = await outputs(task(function), [1, 0], again)
    assert found == [{"output": 2.0}, {"error": "AssertionError: no zero (task_function.py, line 2)"}]


async def test_what_does_not_fit_is_an_error_of_its_input(tmp_path: Path) -> None:
    function = "def run(x): return {1: 'one', 2: float('nan'), 3: {1, 2}, 4: 2**80, 5: 5}[x]"
    found = await outputs(task(function), [1, 2, 3, 4, 5], tmp_path)
    assert [next(iter(each)) for each in found] == ["error"] * 4 + ["output"]
    assert found[0]["error"] == "the output does not fit: /: 'one' is not of type 'number'"
    assert "beyond 64 bits" in found[3]["error"]


async def test_what_was_done_before_the_end_is_not_lost(tmp_path: Path) -> None:
    function = "import os\ndef run(x): return x if x < 33 else os._exit(3)"
    found = await outputs(task(function), list(range(34)), tmp_path)
    assert found[31] == {"output": 31}
    assert found[33] == {"error": "the program ended before it came to this input"}


async def test_a_task_may_write_what_it_likes_over_its_outputs(tmp_path: Path) -> None:
    function = "def run(x):\n    open('task_outputs.jsonl', 'w').write('[1]\\nno json\\n' * 9)\n    return x"
    found = await outputs(task(function), [1, 2], tmp_path)
    assert found == [{"error": "the program wrote over its outputs"}] * 2


async def test_an_expected_output_is_compared(tmp_path: Path) -> None:
    found = await outputs(task("def run(x): return x * 1.0004"), [1, 2], tmp_path, expected=[1, 3])
    assert [each["matches"] for each in found] == [True, False]


@pytest.mark.parametrize(
    ("content", "places"),
    [
        (task("def run(x): return x * x"), {}),
        (task("def runs(x): ..."), {"/code/function": "defines no function run or run_batch"}),
        (task("def run(x: ..."), {"/code/function": "line 1, column 8: '(' was never closed"}),
        (
            task("def run(x): ...", example={"input": "2", "output": None}),
            {"/example/input": "'2' is not of type 'number'", "/example/output": "None is not of type 'number'"},
        ),
    ],
)
def test_faults_are_told_with_their_place(content: TaskContent, places: dict[str, str]) -> None:
    assert {each.pointer: each.detail for each in faults(content, LintSettings(disallowed_imports=[]))} == places


def test_a_loader_without_a_model_is_a_fault() -> None:
    given = json.loads(task("def run(x): ...").model_dump_json())
    given["code"]["model"] = "def load_model(path): ..."
    content = TaskContent.model_validate(given)
    assert [each.pointer for each in faults(content, LintSettings())] == ["/code/model"]
    assert version_of(content) != version_of(task("def run(x): ..."))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "#/x"}, r"/\$ref: not understood here"),
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "/properties/a/pattern: not understood"),
        ({"anyOf": [{}]}, "/anyOf: not understood"),
        ({"type": "text"}, "/type: not what"),
        ({"type": []}, "/type: not what"),
        ({"items": [NUMBER]}, "/items: not what"),
        ({"maxItems": -1}, "/maxItems: not what"),
        ({"minimum": True}, "/minimum: not what"),
        ({"required": "a"}, "/required: not what"),
        ({"properties": {"a": 1}}, "/properties/a: not an object"),
        ({"properties": {str(number): {} for number in range(200)}}, "made of more than 200 parts"),
    ],
)
def test_schemas_that_could_take_for_ever_are_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        TypeAdapter(Shape).validate_python(schema)


def test_values_are_told_from_those_that_fit() -> None:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 1},
            "labels": {"type": "array", "items": {"enum": ["a"]}},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    fitting = Fitting(TypeAdapter(Shape).validate_python(schema))
    assert fitting.misfits({"text": "x", "labels": ["a"]}) == []
    assert sorted(fitting.misfits({"text": "", "labels": ["a", "b"], "more": 1})) == [
        ("", "Additional properties are not allowed ('more' was unexpected)"),
        ("/labels/1", "'b' is not one of ['a']"),
        ("/text", "'' should be non-empty"),
    ]


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        (0.5, 0.5004, True),
        (0.5, 0.502, False),
        (10_000, 10_005, True),
        ([1, {"a": 2.0}], [1, {"a": 2}], True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        (True, 1, False),
        ("a", "a", True),
        (None, False, False),
    ],
)
def test_outputs_are_compared_but_for_the_last_digits(found: Any, expected: Any, same: bool) -> None:
    assert alike(found, expected) is same
