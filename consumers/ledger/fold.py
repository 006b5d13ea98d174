"""The fold, as a pure function: from one message to what it changes in its job's projection."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from consumers.runtime.incoming import Undecodable
from messaging.message import Claim
from schemas.envelope import Envelope, message_type
from schemas.lifecycle import (
    LIFECYCLE_EVENTS,
    JobCancelled,
    JobProgressed,
    JobRetryScheduled,
    JobStarted,
    JobState,
    JobSucceeded,
    LifecycleEvent,
    Outcome,
    Position,
)
from storage.jobs import JobPatch

EVENT_OF_TYPE: dict[str, type[LifecycleEvent]] = {message_type(e.contract_name): e for e in LIFECYCLE_EVENTS}


def command_patch(envelope: Envelope, body: bytes, claim: Claim | None) -> JobPatch:
    """The birth of a job, or its replay. Parameters stay as they came: an old version is lifted when it is handled.

    Raises Undecodable.
    """
    asked = _asked(envelope, body, claim)
    birth = {
        "created_at": envelope.time,
        "deadline": envelope.deadline,
        "correlation_id": envelope.correlation_id,
        "idempotency_key": envelope.idempotency_key,
        "traceparent": envelope.traceparent,
        "cache_control": envelope.cache_control,
    }
    if envelope.idempotency_key is not None:
        birth["params_sha256"] = claim.sha256 if claim else hashlib.sha256(body).hexdigest()
    present = {name: value for name, value in (birth | asked).items() if value is not None}
    return _patch(envelope, JobState.QUEUED, _REOPENED | asked if envelope.generation else {}, present)


_REOPENED = dict.fromkeys(("started_at", "finished_at", "error", "progress", "worker", "retry_at"))


def _asked(envelope: Envelope, body: bytes, claim: Claim | None) -> dict[str, Any]:
    """What is to be done; an operator may have edited it for a replay."""
    if claim is not None:
        return {
            "dataschema": envelope.dataschema,
            "params": None,
            "params_claim": {"path": claim.path, "sha256": claim.sha256},
        }
    return {"dataschema": envelope.dataschema, "params": _json_object(body), "params_claim": None}


def event_patch(envelope: Envelope, event: LifecycleEvent, claim: Claim | None) -> JobPatch:
    """What `event` says about its job. `claim` is where its body lies, when that is too large for a document."""
    return _patch(envelope, event.state, _FIELDS[type(event)](event, claim), None)


def held(ended: JobPatch) -> JobPatch:
    """The job stands where it has succeeded, so that no other end can come to it, and does not show it yet."""
    kept = {name: value for name, value in ended.fields.items() if name not in _OF_SUCCESS}
    return replace(ended, fields=kept | {"status": JobState.RUNNING})


def shown(ended: JobPatch) -> JobPatch:
    """The same end, one step behind where it was held."""
    return replace(ended, order=ended.order + 1)


_OF_SUCCESS = ("finished_at", "result", "result_claim")


def _patch(envelope: Envelope, state: JobState, fields: dict[str, Any], birth: dict[str, Any] | None) -> JobPatch:
    position = Position.of(
        state, generation=envelope.generation, attempt=envelope.attempt, sequence=envelope.sequence
    )
    common = {
        "schema_version": 1,
        "kind": envelope.kind,
        "principal": envelope.principal,
        "generation": envelope.generation,
        "attempt": envelope.attempt,
        "status": state,
        "updated_at": envelope.time,
    }
    return JobPatch(envelope.job_id, position.order, common | fields, birth)


def _started(event: JobStarted, _claim: Claim | None) -> dict[str, Any]:
    return {"started_at": event.started_at, "worker": event.worker, "retry_at": None}


def _progressed(event: JobProgressed, _claim: Claim | None) -> dict[str, Any]:
    return {"progress": event.model_dump()}


def _retry_scheduled(event: JobRetryScheduled, _claim: Claim | None) -> dict[str, Any]:
    return {"error": event.error.model_dump(), "progress": None, "worker": None, "retry_at": event.not_before}


def _cancelled(event: JobCancelled, _claim: Claim | None) -> dict[str, Any]:
    return _ENDED | {"finished_at": event.finished_at, "error": event.error.model_dump()}


def _succeeded(event: JobSucceeded, claim: Claim | None) -> dict[str, Any]:
    result = {"result_claim": {"path": claim.path, "sha256": claim.sha256}} if claim else {"result": event.result}
    return _ENDED | {**_times(event), **result, "error": None}


def _unsuccessful(event: Any, _claim: Claim | None) -> dict[str, Any]:
    return _ENDED | {**_times(event), "error": event.error.model_dump()}


_ENDED = dict.fromkeys(("progress", "worker", "retry_at"))


def _times(event: Outcome) -> dict[str, datetime | None]:
    return {"started_at": event.started_at, "finished_at": event.finished_at}


_FIELDS: dict[type[LifecycleEvent], Callable[[Any, Claim | None], dict[str, Any]]] = {
    **dict.fromkeys(LIFECYCLE_EVENTS, _unsuccessful),
    JobStarted: _started,
    JobProgressed: _progressed,
    JobRetryScheduled: _retry_scheduled,
    JobCancelled: _cancelled,
    JobSucceeded: _succeeded,
}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = from_json(body)
    except ValueError as error:
        raise Undecodable(f"body: {error}") from error
    if not isinstance(found, dict):
        raise Undecodable(f"body: a JSON object was expected, not {type(found).__name__}")
    return found
