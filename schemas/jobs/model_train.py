"""`model.train`: a version of a dataset becomes a version of a model."""

from typing import Annotated

from pydantic import Field

from schemas.contract import Contract
from schemas.files import StoredFile
from schemas.kinds import JobKind
from schemas.learning import (
    ColumnName,
    LearningTask,
    Lineage,
    ModelName,
    PluginName,
    Preprocessing,
    Signature,
    Splitting,
)
from schemas.patterns import Id, VersionId
from schemas.values import JsonObject


class Training(Contract):
    """What is to be learned, and how."""

    target: ColumnName
    task: LearningTask | None = None
    """Follows from the target when left out."""
    trainer: PluginName = "auto"
    """`auto` searches over trainers and settings within the budget, then combines the best; `GET /v1/plugins` lists
    the others."""
    config: JsonObject = Field(default_factory=dict)
    """Settings of that trainer; the rest of them have defaults."""
    preprocess: list[Preprocessing] = Field(default_factory=list)
    exclude: list[ColumnName] = Field(default_factory=list)
    """Columns that are no inputs."""
    metric: PluginName | None = None
    """What is optimised; follows from the task when left out."""
    budget_s: Annotated[float, Field(gt=0, le=7 * 86_400)] = 120
    """How long to search, in seconds, over all attempts. What is found by then is finished and evaluated."""
    max_trials: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """With it, and a budget that is not reached, the search is the same in every run."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    split: Splitting = Splitting()
    memory_mb: Annotated[int, Field(ge=256, le=1_048_576)] = 4_096
    """What the training process may take."""


class TrainModel(Training, name="model.train"):
    """Learn to predict one column of a dataset from the others, and register the result."""

    name: ModelName
    dataset_id: Id
    version: VersionId
    """Of the dataset."""


class ModelTrained(Contract, name="model.trained"):
    """A version of a model, how good it is, and where its parts lie."""

    model_id: str
    name: str
    version: str
    """Follows from the job: a job makes one version, however often it ran."""
    task: LearningTask
    metric: str
    """What was optimised."""
    metrics: dict[str, float]
    """Measured as `estimated_by` says."""
    baseline: dict[str, float]
    """The same of a model that looks at no input."""
    estimated_by: str
    """`holdout`: on rows that nothing was chosen by; `cross-validation`: on the folds that the choice was made by."""
    best_trainer: str
    """Of the member with the largest weight."""
    trials: int
    signature: Signature
    origin: Lineage
    artifacts: dict[str, StoredFile]
    """`model`: what predicts; `card`: `card.json`; `page`: `card.html`."""
    warnings: list[str]


MODEL_TRAIN = JobKind(TrainModel, ModelTrained, max_attempts=3, finishes_early=True)
