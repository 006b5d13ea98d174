"""The card of a model version: `card.json`, and what `card.html` draws."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from schemas.learning import LearningTask, Lineage, Signature
from schemas.profile import Bin


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class MetricValue(_Part):
    name: str
    value: float
    baseline: float
    """Of a model that looks at no input."""
    greater_is_better: bool
    low: float | None = None
    """95 % interval, by bootstrap over the rows."""
    high: float | None = None


class Trial(_Part):
    """One trainer with one setting, cross-validated."""

    number: int
    trainer: str
    config: dict[str, JsonValue]
    score: float | None
    """In the metric's own direction; null when it failed."""
    std: float | None = None
    """Over the folds."""
    seconds: float
    weight: float = 0.0
    """Its share in the final model."""
    failure: str | None = None


class Confusion(_Part):
    classes: list[str]
    counts: list[list[int]]
    """`counts[i][j]`: rows of class i that were taken for class j."""


class Curve(_Part):
    """For one class against the others, at most 200 points."""

    label: str
    area: float
    points: list[tuple[float, float]]


class CalibrationBin(_Part):
    predicted: float
    """Mean probability."""
    observed: float
    """Share of the rows that were of the class."""
    count: int


class Calibration(_Part):
    label: str
    bins: list[CalibrationBin]
    brier: float


class EntityScore(_Part):
    """Of the entities of one label."""

    label: str
    precision: float
    recall: float
    actual: int
    predicted: int


class Importance(_Part):
    """How much the metric falls when the column is shuffled, on the rows that the metrics were measured on."""

    column: str
    mean: float
    std: float


class Residuals(_Part):
    histogram: list[Bin]
    points: list[tuple[float, float]]
    """Predicted and actual, at most 500 rows."""


class ModelCard(_Part):
    schema_version: Literal[1] = 1
    model_id: str
    name: str
    version: str
    created_at: datetime
    seconds: float
    """Of training, over all attempts."""
    task: LearningTask
    metric: str
    estimated_by: Literal["holdout", "cross-validation"]
    evaluated_rows: int
    metrics: list[MetricValue]
    """The optimised one first."""
    signature: Signature
    origin: Lineage
    params: dict[str, JsonValue]
    """Of the job."""
    trials: list[Trial]
    """Best first."""
    confusion: Confusion | None = None
    roc: list[Curve] = []
    precision_recall: list[Curve] = []
    calibration: list[Calibration] = []
    entities: list[EntityScore] = []
    """Most frequent labels first."""
    importances: list[Importance]
    """Most important first."""
    residuals: Residuals | None = None
    warnings: list[str]
