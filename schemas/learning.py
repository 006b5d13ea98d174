"""What is learned from a dataset: the task, what a model takes and answers, and where it came from."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from schemas.contract import Contract
from schemas.datasets import ColumnType
from schemas.patterns import Id, Name, Pattern, VersionId
from schemas.values import JsonObject

ModelName = Name
ModelId = Id
ModelVersionId = VersionId
Alias = Annotated[
    str,
    StringConstraints(max_length=40),
    Pattern(
        r"^[a-z][a-z0-9_-]*$",
        "an alias of small letters, digits, '_' and '-' that begins with a letter, such as 'champion'",
    ),
]
CHAMPION = "champion"
"""The alias that answers where no version is named."""
LATEST = "latest"
"""No alias: it always means the newest version that is not archived."""
PluginName = Annotated[
    str,
    StringConstraints(max_length=60),
    Pattern(
        r"^[a-z][a-z0-9-]*$",
        "a name of small letters, digits and '-' that begins with a letter, such as 'tfidf-linear'",
    ),
]
ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class LearningTask(StrEnum):
    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    TEXT_CLASSIFICATION = "text-classification"
    """Classes of texts, by fine-tuning an encoder; the result also serves `text.classify`."""

    TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105  # no secret
    """Entities in texts; the result serves `text.ner`."""

    @property
    def classifies(self) -> bool:
        """Whether each row has one class."""
        return self not in (LearningTask.REGRESSION, LearningTask.TOKEN_CLASSIFICATION)


class InputColumn(Contract):
    """What a model was shown of one column."""

    name: str
    type: ColumnType
    missing: bool
    """Whether there were rows without a value."""
    min: float | None = None
    """Of numbers; of dates and timestamps in seconds since 1970, UTC."""
    max: float | None = None
    categories: list[str] | None = None
    """Every value of a category or boolean, sorted; null when there were more than 1,000."""


class Signature(Contract):
    """What a model takes and what it answers."""

    inputs: list[InputColumn]
    """The columns that it uses, in the order of the dataset."""
    target: str
    task: LearningTask
    classes: list[JsonValue] | None = None
    """In the order of the probabilities; as the dataset writes them. Of entities, their labels."""


class Lineage(Contract):
    """Where a model came from: the same of all of it makes the same model, where its trainer is deterministic."""

    dataset_id: str
    dataset_name: str
    dataset_version: str
    table_sha256: str
    rows: int
    job_id: str
    code_version: str
    seed: int


class Splitting(Contract):
    """How rows are divided for judging a model. Whatever `column` groups stays together, or comes in its order."""

    kind: Literal["random", "grouped", "time"] = "random"
    """`random` is stratified by class."""
    column: ColumnName | None = None
    """By which rows are grouped or ordered; needed by `grouped` and `time`. It is no input of the model."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    repeats: Annotated[int, Field(ge=1, le=10)] = 1
    """Of `random` only."""
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Share of the rows that nothing is chosen by: the reported metrics are measured there. With 0, or with fewer
    than 500 rows, they are cross-validated."""


class Preprocessing(Contract):
    """Which preprocessor takes certain columns, instead of the one that their type gets."""

    use: PluginName
    columns: Annotated[list[ColumnName], Field(min_length=1)]
    config: JsonObject = Field(default_factory=dict)
