"""Dead letters, for operators: list, search, group, show, replay, edit, discard, and who did what."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ValidationError

from gateway import letters
from gateway.auditing import audit_page
from gateway.body import LimitedRoute
from gateway.dependencies import Parts, PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES, problem_response
from gateway.paging import Limit, paged
from gateway.problems import ProblemError
from schemas.dead_letters import (
    AuditPage,
    DeadLetter,
    Discarded,
    DiscardRequest,
    Edited,
    EditRequest,
    LetterFilter,
    LetterGroups,
    LetterId,
    LetterPage,
    ReplayPreview,
    ReplayRequest,
    ReplaySpeed,
)
from schemas.jobs.dead_letters_replay import DEAD_LETTERS_REPLAY, ReplayLetters
from schemas.problems import InvalidField
from schemas.resources import Job
from storage import audit
from storage.dead_letters import LetterStore
from storage.documents import Letter, LetterState

router = APIRouter(
    prefix="/v1/dead-letters",
    tags=["dead letters"],
    responses={**PROBLEM_RESPONSES, 409: problem_response(409)},
    route_class=LimitedRoute,
)

_MOST_GROUPS = 200
_SAMPLE = 5

State = Literal["open", "replayed", "discarded", "all"]
LetterIdPath = Annotated[LetterId, Path()]


class _Query(BaseModel):
    """What every look at the letters may be narrowed by."""

    state: State = "open"
    reason: str | None = None
    kind: str | None = None
    queue: str | None = None
    fingerprint: str | None = None
    job_id: str | None = None
    code_version: str | None = None
    died_after: AwareDatetime | None = None
    died_before: AwareDatetime | None = None
    q: Annotated[str | None, Query(description="Text in the error's type, its detail or the traceback")] = None

    def wanted(self) -> LetterFilter:
        """Raises ProblemError."""
        given = self.model_dump(exclude={"state", "limit", "cursor"}, exclude_none=True)
        try:
            return LetterFilter.model_validate(given)
        except ValidationError as error:
            errors = [InvalidField(pointer=str(item["loc"][0]), detail=item["msg"]) for item in error.errors()]
            detail = "; ".join(f"{field.pointer}: {field.detail}" for field in errors)
            raise ProblemError("invalid-query", detail, errors=errors) from None

    @property
    def states(self) -> list[LetterState]:
        return list(LetterState) if self.state == "all" else [LetterState(self.state)]


class _ListQuery(_Query):
    limit: Limit = 50
    cursor: str | None = None


@router.get("", response_model=LetterPage)
async def list_letters(
    _principal: Principal, parts: PartsDependency, asked: Annotated[_ListQuery, Query()]
) -> Response:
    """Dead letters, newest first: the open ones unless `state` says otherwise. Pages are stable while more come."""
    query = asked.model_dump(mode="json", exclude={"limit", "cursor"})
    find = partial(_store(parts).page, asked.wanted(), asked.states)
    found, following = await paged(
        parts, router.prefix, query, asked.limit, asked.cursor, find, lambda letter: letter.died_at
    )
    return _json(LetterPage(items=[letters.summary(letter) for letter in found], next=following))


@router.get("/groups", response_model=LetterGroups)
async def list_groups(_principal: Principal, parts: PartsDependency, asked: Annotated[_Query, Query()]) -> Response:
    """Groups of letters with one fingerprint, largest first, and how many of each are new since the last version."""
    return _json(await _groups(parts, asked.wanted(), asked.states))


@router.get("/audit", response_model=AuditPage)
async def list_audit(
    _principal: Principal,
    parts: PartsDependency,
    target: Annotated[str | None, Query(description="A letter, or the job of a replay")] = None,
    limit: Limit = 50,
    cursor: str | None = None,
) -> Response:
    """Who did what to the dead letters, newest first."""
    path = f"{router.prefix}/audit"
    return await audit_page(parts, audit.OF_LETTERS, target, path, {"target": target}, limit, cursor)


@router.post("/replay", status_code=202, response_model=Job, responses={200: {"model": ReplayPreview}})
async def replay(asked: ReplayRequest, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Replay letters, as a job of kind `dead-letters.replay`, which is answered like every submission.

    It takes what is open and fits now; letters that are stored later never join. With `dry_run` nothing is created:
    the answer, 200, says how many letters and which groups a replay would take.
    """
    return await _replay(request, principal, parts, asked.wanted, asked)


@router.post("/discard", response_model=Discarded)
async def discard(asked: DiscardRequest, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Give open letters up for good, with a reason. Their jobs stay `dead`; the letters stay readable."""
    store = _store(parts)
    count = await store.count(asked.wanted)
    if count and not asked.dry_run:
        made = audit.entry(
            audit.DISCARDED,
            _target(asked.wanted),
            actor=principal,
            detail={
                "reason": asked.reason,
                "count": count,
                "filter": asked.wanted.model_dump(mode="json", exclude_none=True),
            },
            request_id=request.scope["millrace.request_id"],
        )
        await audit.add(parts.database, made)  # first: nothing may be discarded that nobody can account for
        count = await store.discard(asked.wanted, actor=principal, reason=asked.reason)
    return _json(Discarded(count=count))


@router.get("/{letter_id}", response_model=DeadLetter)
async def get_letter(letter_id: LetterIdPath, _principal: Principal, parts: PartsDependency) -> Response:
    """One letter with everything that is known of it: traceback, attempts, original headers and bytes."""
    return _json(await letters.resource(await _find(parts, letter_id), parts.blobs))


@router.post("/{letter_id}/replay", status_code=202, response_model=Job, responses={200: {"model": ReplayPreview}})
async def replay_one(
    letter_id: LetterIdPath,
    request: Request,
    principal: Principal,
    parts: PartsDependency,
    asked: ReplaySpeed | None = None,
) -> Response:
    """Replay one letter."""
    letter = await _find(parts, letter_id)
    if letter.state is not LetterState.OPEN:
        raise letters.settled(letter)
    return await _replay(request, principal, parts, LetterFilter(ids=[letter_id]), asked or ReplaySpeed())


@router.post("/{letter_id}/edit", response_model=Edited)
async def edit(
    letter_id: LetterIdPath, asked: EditRequest, request: Request, principal: Principal, parts: PartsDependency
) -> Response:
    """Give an open letter other parameters, validated against the newest contract of its kind.

    They take effect when it is replayed. The original bytes stay, and the answer shows the difference to them.
    """
    letter = await _find(parts, letter_id)
    if asked.revision is not None and asked.revision != letter.revision:
        raise ProblemError("conflict", f"{letter_id} is at revision {letter.revision}, not {asked.revision}")
    changed, made, diff = await letters.edited(letter, asked.params, principal, parts.blobs)
    if not asked.dry_run:
        if not await _store(parts).edit(letter, made):
            raise ProblemError("conflict", f"somebody else changed {letter_id} at the same moment")
        entry = audit.entry(
            audit.EDITED,
            letter_id,
            actor=principal,
            detail={"revision": changed.revision, "diff": diff},
            request_id=request.scope["millrace.request_id"],
        )
        await audit.add(parts.database, entry)
    return _json(Edited(diff=diff, letter=await letters.resource(changed, parts.blobs)))


async def _replay(
    request: Request, principal: str, parts: Parts, wanted: LetterFilter, asked: ReplaySpeed
) -> Response:
    if asked.dry_run:
        return _json(await _preview(parts, wanted))
    params = ReplayLetters(
        filter=wanted, rate=asked.rate, canary=asked.canary, canary_timeout_s=asked.canary_timeout_s
    )
    return await parts.submission.of_params(request, principal, DEAD_LETTERS_REPLAY, params)


async def _preview(parts: Parts, wanted: LetterFilter) -> ReplayPreview:
    store, reading = _store(parts), parts.store.reading
    sample = await reading(store.page(wanted, [LetterState.OPEN], _SAMPLE))
    return ReplayPreview(
        count=await reading(store.count(wanted)),
        groups=await _groups(parts, wanted, [LetterState.OPEN]),
        sample=[letters.summary(letter) for letter in sample],
    )


async def _groups(parts: Parts, wanted: LetterFilter, states: list[LetterState]) -> LetterGroups:
    store, reading = _store(parts), parts.store.reading
    version = await reading(store.newest_version())
    return letters.groups(await reading(store.groups(wanted, states, version, _MOST_GROUPS)), version)


async def _find(parts: Parts, letter_id: str) -> Letter:
    found = await parts.store.reading(_store(parts).get(letter_id))
    if found is None:
        raise ProblemError("not-found", f"there is no dead letter {letter_id!r}")
    return found


def _store(parts: Parts) -> LetterStore:
    return LetterStore(parts.database)


def _target(wanted: LetterFilter) -> str:
    return wanted.ids[0] if wanted.ids is not None and len(wanted.ids) == 1 else "selection"


def _json(found: BaseModel) -> Response:
    return Response(found.model_dump_json(), media_type="application/json")
