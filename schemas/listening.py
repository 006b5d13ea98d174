"""What those are told who listen over HTTP, and what they may say on a WebSocket."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints, model_validator

from schemas.lifecycle import JobState
from schemas.problems import Problem
from schemas.resources import Job, JobLinks, Resource

TopicPattern = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ToldEvent(Resource):
    """An event, as subscribers on the broker get it; what they have as headers stands beside its `data` here."""

    id: str
    """The event's own. The same event may be told twice."""
    topic: str
    """`<kind>.<fact>`, such as `model.train.succeeded`."""
    type: str
    """Such as `millrace.job.succeeded`."""
    time: AwareDatetime
    dataschema: str
    """The contract that `data` fits."""
    job: str
    kind: str
    principal: str
    """Whose job it is."""
    generation: int
    attempt: int
    order: int
    """Where it stands in its job's life: the job's `ETag` and event id behind it."""
    data: dict[str, JsonValue] | None
    """Null when it has more than 16 KiB; the job has it."""


class _Subject(Resource):
    topic: TopicPattern | None = None
    """`*` stands for one word, `#` for any number of them."""
    job: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.topic is None) == (self.job is None):
            raise ValueError("name either a topic or a job")
        return self


class Subscribe(_Subject):
    """Tell me of a topic or of a job, from now on or from where I was."""

    action: Literal["subscribe"]
    after: str | None = None
    """The last id seen of this topic, or of this job."""


class Unsubscribe(_Subject):
    """No more of it."""

    action: Literal["unsubscribe"]


SocketRequest = Annotated[Subscribe | Unsubscribe, Field(discriminator="action")]


class Subscribed(Resource):
    """From here on, this topic is told of."""

    type: Literal["subscribed"] = "subscribed"
    topic: str
    id: str
    """What to give as `after`, until an event has come."""


class EventTold(Resource):
    type: Literal["event"] = "event"
    topic: str
    """The topic that was subscribed to."""
    id: str
    event: ToldEvent


class Gap(Resource):
    """Between the event before and the next one some may be missing: they were too many, or Redis has lost them."""

    type: Literal["gap"] = "gap"
    topic: str
    id: str


class JobTold(Resource):
    """The job after a change. The one in which it has ended is the last."""

    type: Literal["job"] = "job"
    id: str
    job: Job


class Refused(Resource):
    """Something that was asked on this socket cannot be."""

    type: Literal["error"] = "error"
    topic: str | None = None
    job: str | None = None
    problem: Problem


SOCKET_REQUESTS: tuple[type[Resource], ...] = (Subscribe, Unsubscribe)
SOCKET_SAYINGS: tuple[type[Resource], ...] = (Subscribed, EventTold, Gap, JobTold, Refused)

_JOB = "0d9c1f2e3b4a5968778695a4b3c2d1e0"
_AT = datetime(2026, 11, 21, 9, 30, 2, 250_000, tzinfo=UTC)
SOCKET_EXAMPLES: dict[type[Resource], Resource] = {
    Subscribe: Subscribe(action="subscribe", topic="system.probe.*", after="1795570350538-41"),
    Unsubscribe: Unsubscribe(action="unsubscribe", job=_JOB),
    Subscribed: Subscribed(topic="system.probe.*", id="1795570350538-41"),
    EventTold: EventTold(
        topic="system.probe.*",
        id="1795570350538-42",
        event=ToldEvent(
            id="6f1f6d0e8a7c4f5b9b1f0a2d3c4e5f60",
            topic="system.probe.succeeded",
            type="millrace.job.succeeded",
            time=_AT,
            dataschema="urn:millrace:job.succeeded:1",
            job=_JOB,
            kind="system.probe",
            principal="operator",
            generation=0,
            attempt=1,
            order=274_844_352_512,
            data={
                "started_at": "2026-11-21T09:30:01Z",
                "finished_at": "2026-11-21T09:30:02.250000Z",
                "result": {"payload": {"hello": "world"}, "attempt": 1, "worker": "host-1-4242"},
            },
        ),
    ),
    Gap: Gap(topic="system.probe.*", id="1795570350538-9041"),
    JobTold: JobTold(
        id="274844352512",
        job=Job(
            id=_JOB,
            kind="system.probe",
            status=JobState.SUCCEEDED,
            principal="operator",
            created_at=_AT,
            attempt=1,
            generation=0,
            links=JobLinks(self=f"/v1/jobs/{_JOB}", events=f"/v1/jobs/{_JOB}/events"),
            params={"payload": {"hello": "world"}},
            result={"payload": {"hello": "world"}, "attempt": 1, "worker": "host-1-4242"},
        ),
    ),
    Refused: Refused(
        topic="model.tran.*",
        problem=Problem(
            type="/problems/invalid-query",
            title="A query parameter cannot be understood",
            status=400,
            detail="no event is called 'model.tran.*'; topics are <kind>.<fact>, such as model.train.succeeded",
        ),
    ),
}
