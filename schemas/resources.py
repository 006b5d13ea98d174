"""HTTP resources: what clients see of a job."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, PlainSerializer

from schemas.lifecycle import JobState


def _in_milliseconds(time: datetime) -> str:
    """One rendering wherever a time comes from: MongoDB keeps milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[AwareDatetime, PlainSerializer(_in_milliseconds, return_type=str, when_used="json")]


class Resource(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class JobProgress(Resource):
    fraction: float
    message: str = ""
    eta_s: float | None = None


class JobFailure(Resource):
    type: str
    """Path of the page that explains it."""
    title: str
    detail: str
    fingerprint: str | None = None


class JobLinks(Resource):
    self: str
    events: str


class JobSummary(Resource):
    """A job as it stands in a list."""

    id: str
    kind: str
    status: JobState
    principal: str
    created_at: Time
    started_at: Time | None = None
    finished_at: Time | None = None
    attempt: int
    generation: int
    progress: JobProgress | None = None
    error: JobFailure | None = None
    links: JobLinks


class Job(JobSummary):
    """A job in full."""

    params: dict[str, JsonValue] | None
    """As they were accepted, defaults filled in."""
    result: dict[str, JsonValue] | None = None


class JobPage(Resource):
    items: list[JobSummary]
    next: str | None
    """Path of the next page; null on the last."""


class JobRequest(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    kind: str
    """One of the kinds that `GET /v1/kinds` lists."""
    params: dict[str, JsonValue] = {}
    """What the kind's contract asks for."""


class KindDescription(Resource):
    kind: str
    summary: str
    max_attempts: int
    params_schema: dict[str, JsonValue]
    result_schema: dict[str, JsonValue]
