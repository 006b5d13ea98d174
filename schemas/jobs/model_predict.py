"""`model.predict`: rows, and what a registered model says of them."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, JsonValue

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.learning import LearningTask, ModelId, ModelVersionId
from schemas.values import JsonObject

MAX_ROWS = 1_000


class RequestLog(StrEnum):
    FULL = "full"
    OUTPUTS = "outputs"
    """The rows are not kept in the log. They stand in the job for as long as that is kept."""
    OFF = "off"


class PredictRows(Contract, name="model.predict"):
    """Predict the target for rows, each an object with the model's input columns by name."""

    model_id: ModelId
    version: ModelVersionId
    rows: Annotated[list[JsonObject], Field(min_length=1, max_length=MAX_ROWS)]
    explain: bool = False
    """Also say how much each column moved each prediction."""
    log: RequestLog = RequestLog.FULL


class RowWarning(Contract):
    """A value that the model answered for although it had not seen its like."""

    row: int
    """From 0."""
    column: str
    detail: str


class PredictTiming(Contract):
    queue_s: float
    run_s: float


class RowsPredicted(Contract, name="model.predicted"):
    """One prediction per row, in order."""

    model_id: str
    name: str
    version: str
    task: LearningTask
    predictions: list[JsonValue]
    """A class as the dataset writes it, or a number."""
    classes: list[JsonValue] | None = None
    probabilities: list[list[float]] | None = None
    """Per row one for each of `classes`."""
    explanations: list[dict[str, float]] | None = None
    """Per row and column: how much the prediction (of a number, or the probability of the predicted class) differs
    from what it would be with a typical value there."""
    warnings: list[RowWarning]
    timing: PredictTiming


MODEL_PREDICT = JobKind(PredictRows, RowsPredicted)
