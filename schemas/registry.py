"""Models over HTTP: names, versions, aliases, what was asked of them, and what can be."""

from typing import Annotated, Literal

from pydantic import AliasChoices, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from schemas.files import StoredFile
from schemas.jobs.dataset_ingest import DatasetName
from schemas.jobs.model_predict import MAX_ROWS, RequestLog
from schemas.jobs.model_train import Training
from schemas.learning import Alias, LearningTask, Lineage, ModelName, Signature
from schemas.resources import Resource, Time
from schemas.values import JsonObject

Asked = Annotated[str, StringConstraints(max_length=100)]


class ModelLinks(Resource):
    self: str
    versions: str
    predictions: str
    drift: str


class ModelSummary(Resource):
    id: str
    name: str
    principal: str
    created_at: Time
    updated_at: Time
    """When its newest version was trained."""
    latest: str
    """The newest version that is not archived."""
    aliases: dict[str, str]
    """Version by alias. `champion` answers where no version is named."""
    links: ModelLinks


class ModelVersionLinks(Resource):
    self: str
    card: str
    page: str
    """The card as a page that needs no network."""
    artifacts: dict[str, str]


class ModelVersion(Resource):
    """What one training made. Its contents never change."""

    version: str
    number: int
    """Counts the versions of the model, from 1."""
    created_at: Time
    archived_at: Time | None
    job_id: str
    """The training."""
    aliases: list[str]
    """Those that point at it."""
    task: LearningTask
    metric: str
    """What was optimised."""
    metrics: dict[str, float]
    baseline: dict[str, float]
    """The same of a model that looks at no input."""
    estimated_by: str
    best_trainer: str
    trials: int
    signature: Signature
    origin: Lineage
    artifacts: dict[str, StoredFile]
    warnings: list[str]
    links: ModelVersionLinks


class Model(ModelSummary):
    """A model with the version that answers: the champion, else the latest."""

    version: ModelVersion


class ModelPage(Resource):
    items: list[ModelSummary]
    next: str | None
    """Path of the next page; null on the last."""


class _Request(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class AliasRequest(_Request):
    version: Asked
    """A version, its number, or another alias."""


class AliasMoved(Resource):
    alias: Alias
    version: str | None
    """Null once the alias is removed."""
    before: str | None
    """Where it pointed until now; null for a new alias."""


class TrainRequest(Training):
    """Everything but `dataset` and `target` may be left out."""

    dataset: Annotated[Asked, Field(validation_alias=AliasChoices("dataset", "dataset_id"))]
    """Its id or name."""
    version: Asked | None = None
    """Of the dataset, or its number; the latest when left out."""
    name: ModelName | None = None
    """Of the model; made of the dataset's name and the target when left out."""


class _OfVersion(_Request):
    version: Asked | None = None
    """A version, its number, an alias or `latest`; without it and `alias` the champion answers, else the latest."""
    alias: Alias | None = None

    @property
    def wanted(self) -> str | None:
        return self.version or self.alias

    @model_validator(mode="after")
    def _one_of_them(self) -> "_OfVersion":
        if self.version is not None and self.alias is not None:
            raise ValueError("name a version or an alias, not both")
        return self


class PredictRequest(_OfVersion):
    rows: Annotated[list[JsonObject], Field(min_length=1, max_length=MAX_ROWS)]
    """Each an object with the model's input columns by name."""
    explain: bool = False
    """Also say how much each column moved each prediction."""
    log: RequestLog = RequestLog.FULL
    """What of it is kept in the request log."""


class PredictDatasetRequest(_OfVersion):
    dataset: Annotated[Asked, Field(validation_alias=AliasChoices("dataset", "dataset_id"))]
    """Its id or name."""
    dataset_version: Asked | None = None
    """Or its number; the latest when left out."""
    name: DatasetName | None = None
    """Of the dataset that the predictions become; made of the names of dataset and model when left out."""


class MetricComparison(Resource):
    name: str
    a: float | None
    b: float | None
    better: Literal["a", "b"] | None
    """Null where they are equal or cannot be compared."""


class Difference(Resource):
    what: str
    """Such as `trainer`, `input age: type`, `rows`."""
    a: JsonValue
    b: JsonValue


class ModelComparison(Resource):
    """Two versions of a model. Only what differs is listed, but for the metrics."""

    a: str
    b: str
    comparable: bool
    """Whether the metrics were measured on the same rows of the same target in the same way."""
    metrics: list[MetricComparison]
    settings: list[Difference]
    signature: list[Difference]
    data: list[Difference]


class Prediction(Resource):
    """An entry of the request log."""

    job_id: str
    version: str
    at: Time
    rows: int
    inputs: list[dict[str, JsonValue]] | None
    """Null where they are not kept."""
    outputs: dict[str, JsonValue]
    duration_s: float


class PredictionPage(Resource):
    items: list[Prediction]
    next: str | None
    """Path of the next page; null on the last."""


class InputDrift(Resource):
    column: str
    score: float
    """Population stability index against the training data."""
    noise: float
    """What the score stays below in 95 of 100 samples of this size that are not shifted at all."""
    verdict: Literal["alike", "shifting", "shifted", "unsure"]
    """By the usual reading, 0.1 and 0.25, but `alike` below the noise, and `unsure` where the noise alone reaches
    0.25."""
    missing_before: float
    """Shares, from 0 to 1."""
    missing_after: float


class ModelDrift(Resource):
    """How the rows that a version was asked about differ from those that it learned from."""

    version: str
    since: Time
    requests: int
    rows: int
    """That were compared: of the newest requests whose inputs were kept."""
    training_rows: int
    columns: list[InputDrift]
    """Most drifted first."""
    unchecked: list[str]
    """Inputs that the training data's profile says nothing to compare with."""
