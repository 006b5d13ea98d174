"""Dead letters over HTTP: how to say which, what they hold, and what can be done to them."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from schemas.contract import Contract
from schemas.patterns import Id
from schemas.resources import Resource, Time

MAX_IDS = 1_000
MAX_RATE = 100_000.0
MAX_CANARY = 1_000

LetterId = Id


def _in_utc(time: datetime) -> datetime:
    """Raises ValueError at the ends of the calendar, beyond which UTC ends."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the calendar; give a date between the years 2 and 9998") from None


_Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500)]


class LetterStatus(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class LetterFilter(Contract):
    """Which letters. Everything given must hold; nothing given means all."""

    ids: Annotated[list[LetterId], Field(min_length=1, max_length=MAX_IDS)] | None = None
    reason: _Text | None = None
    """Why it was given up on: `exhausted`, `undecodable`, `runtime-fault`, `kills-worker`."""
    kind: _Text | None = None
    queue: _Text | None = None
    fingerprint: _Text | None = None
    job_id: _Text | None = None
    code_version: _Text | None = None
    """What ran when it died."""
    died_after: _Moment | None = None
    died_before: _Moment | None = None
    q: _Text | None = None
    """Text in the error's type, its detail or the traceback; case does not matter."""


class FailedAttempt(Resource):
    attempt: int
    failed_at: str
    """RFC 3339."""
    worker: str
    error_type: str
    error_detail: str
    fingerprint: str


class LetterLinks(Resource):
    self: str
    job: str | None = None
    replay: str | None = None
    """The job that replays it."""


class LetterSummary(Resource):
    """A dead letter as it stands in a list."""

    id: str
    state: LetterStatus
    reason: str
    queue: str
    kind: str | None
    job_id: str | None
    generation: int | None
    attempt: int | None
    fingerprint: str
    error_type: str
    error_detail: str
    died_at: Time
    host: str
    worker: str
    code_version: str
    edited: bool
    revision: int
    """Counts the edits; an edit that names it is refused when there was another since."""
    settled_at: Time | None = None
    settled_by: str | None = None
    discard_reason: str | None = None
    links: LetterLinks


class LetterEditView(Resource):
    params: JsonValue
    edited_at: Time
    edited_by: str


class DeadLetter(LetterSummary):
    """A dead letter in full."""

    routing_key: str
    stored_at: Time
    traceback: str
    attempts: list[FailedAttempt]
    """The failed attempts before the last one, oldest first."""
    headers: dict[str, JsonValue]
    body: str | None
    """The original bytes as text, or in base64 where they are no UTF-8; null when the blob store has lost them."""
    body_encoding: str
    """`utf-8` or `base64`."""
    edit: LetterEditView | None = None
    """What replaces the body when it is replayed."""


class LetterPage(Resource):
    items: list[LetterSummary]
    next: str | None
    """Path of the next page; null on the last."""


class LetterGroup(Resource):
    """Letters with one fingerprint: one exception from one place."""

    fingerprint: str
    count: int
    first_seen: Time
    last_seen: Time
    error_type: str
    error_detail: str
    """Of one of them."""
    reasons: list[str]
    kinds: list[str]
    new: int
    """How many died under `LetterGroups.version`."""


class LetterGroups(Resource):
    version: str | None
    """The code version that was first seen last; null while none is known."""
    items: list[LetterGroup]
    """Largest first."""


class Selection(Resource):
    """One of a filter or a group."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    filter: LetterFilter | None = None
    group: _Text | None = None
    """A fingerprint, which is short for a filter with it."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.filter is None) == (self.group is None):
            raise ValueError('give either `filter` or `group`; `{"filter": {}}` means every open letter')
        return self

    @property
    def wanted(self) -> LetterFilter:
        return self.filter if self.filter is not None else LetterFilter(fingerprint=self.group)


class ReplaySpeed(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    rate: Annotated[float, Field(gt=0, le=MAX_RATE)] | None = None
    """Letters per second at most."""
    canary: Annotated[int, Field(ge=1, le=MAX_CANARY)] | None = None
    """Replay so many first, the oldest of each group before others, and stop when one of them fails again."""
    canary_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300
    """How long to wait for their jobs to end, in seconds; after that the replay stops too."""
    dry_run: bool = False
    """Only say what would be replayed."""


class ReplayRequest(Selection, ReplaySpeed):
    pass


class ReplayPreview(Resource):
    """What a replay would take now."""

    count: int
    groups: LetterGroups
    sample: list[LetterSummary]
    """The newest of them."""


class EditRequest(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    params: dict[str, JsonValue]
    """What the kind's newest contract asks for."""
    revision: int | None = None
    """The letter's, as the editor saw it: refused with 409 when somebody else edited it since."""
    dry_run: bool = False
    """Only validate and show the difference."""


class Edited(Resource):
    diff: str
    """From the original parameters to the new ones: a unified diff of their JSON."""
    letter: DeadLetter


class DiscardRequest(Selection):
    reason: Reason
    dry_run: bool = False
    """Only count."""


class Discarded(Resource):
    count: int
    """Letters that were open, and are discarded now; with `dry_run`, that would be."""


class Audited(Resource):
    """Who did what, and when."""

    id: str
    at: Time
    actor: str
    action: str
    target: str
    """A letter, the job of a replay, a model, or a task; `selection` for letters that were chosen by filter."""
    detail: dict[str, JsonValue]
    request_id: str | None = None


class AuditPage(Resource):
    items: list[Audited]
    next: str | None
    """Path of the next page; null on the last."""
