"""Tasks of users: code of their own around a model, with the types of what goes in and what comes out."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from schemas.code import Code
from schemas.contract import Contract
from schemas.execution import Packages
from schemas.jobs.task_run import MAX_INPUTS, TaskId, TaskVersionId
from schemas.patterns import Name, Pattern
from schemas.resources import Resource, Time
from schemas.shapes import Shape
from schemas.texts import EncoderName
from schemas.values import StorableJson

TaskName = Name
Tag = Annotated[
    str,
    StringConstraints(max_length=40),
    Pattern(r"^[a-z0-9][a-z0-9-]*$", "a tag of small letters, digits and '-', such as 'text'"),
]
Tags = Annotated[list[Tag], Field(max_length=20)]
Description = Annotated[str, StringConstraints(max_length=2_000)]


class Visibility(StrEnum):
    PRIVATE = "private"
    """Only its owner sees it."""
    PUBLIC = "public"
    """Everybody sees, runs and forks it."""


class TaskCode(Contract):
    """Each part is a module of its own. What it is left out for is done in the usual way."""

    function: Code
    """Defines `run(input, tokenizer, model)`, which returns the output, or `run_batch(inputs, tokenizer, model)`,
    which returns one for each. Without a model there is only the first argument."""
    tokenizer: Code | None = None
    """Defines `load_tokenizer(path)`; transformers' `AutoTokenizer` when left out."""
    model: Code | None = None
    """Defines `load_model(path)`; transformers' `AutoModel` when left out."""


class TaskExample(Contract):
    input: StorableJson
    output: StorableJson


class TaskContent(Contract):
    """What a version is made of, and never changes."""

    code: TaskCode
    model: EncoderName | None = None
    """Its files are there for the code to read: the bundled model, a directory below the models folder, or a hub id
    that the operator allows."""
    packages: Packages = Packages.PLAIN
    input_schema: Shape
    output_schema: Shape
    example: TaskExample


class TaskDraft(TaskContent):
    """A new task."""

    name: TaskName
    description: Description = ""
    tags: Tags = Field(default_factory=list)
    visibility: Visibility = Visibility.PRIVATE

    @property
    def content(self) -> TaskContent:
        return TaskContent.model_validate({name: getattr(self, name) for name in TaskContent.model_fields})


class _Request(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class TaskUpdate(_Request):
    """What shall be different. A change of `content` makes a new version."""

    description: Description | None = None
    tags: Tags | None = None
    visibility: Visibility | None = None
    content: TaskContent | None = None
    latest: int | None = None
    """The number of the version that the change was made from: refused with 409 when there is a newer one."""


class TaskFork(_Request):
    name: TaskName
    version: Annotated[str, StringConstraints(max_length=100)] | None = None
    """Or its number; the latest when left out."""


class TaskRunRequest(_Request):
    inputs: Annotated[list[StorableJson], Field(min_length=1, max_length=MAX_INPUTS)]
    version: Annotated[str, StringConstraints(max_length=100)] | None = None
    """Or its number; the latest when left out."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 60
    memory_mb: Annotated[int, Field(ge=16, le=1024 * 1024)] = 2048


class Ancestor(Contract):
    """A version that another task was made from."""

    task_id: TaskId
    name: str
    principal: str
    version: TaskVersionId
    number: int


class TaskLinks(Resource):
    self: str
    versions: str
    run: str
    example: str
    """Runs the example."""


class TaskSummary(Resource):
    id: str
    name: str
    principal: str
    description: str
    tags: list[str]
    visibility: Visibility
    created_at: Time
    updated_at: Time
    latest: str
    """The newest version."""
    uses: int
    """How many of its runs have succeeded."""
    lineage: list[Ancestor]
    """What it was forked from, and what that was, oldest first."""
    links: TaskLinks


class TaskVersion(Resource):
    version: str
    """Follows from the content."""
    number: int
    """Counts the versions of the task, from 1."""
    created_at: Time
    content: TaskContent


class Task(TaskSummary):
    """A task with one of its versions."""

    version: TaskVersion


class TaskPage(Resource):
    items: list[TaskSummary]
    next: str | None
    """Path of the next page; null on the last."""
