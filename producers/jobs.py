"""Requesting a job: from validated parameters to a command envelope."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from schemas.envelope import CacheControl, Envelope, message_type, new_id
from schemas.kinds import AnyKind
from schemas.lifecycle import JobCancelled, JobError


def new_job_id() -> str:
    return new_id()


def job_id_for(principal: str, route: str, idempotency_key: str) -> str:
    """The job that this key means: equal requests are one job, whoever answers them and whenever."""
    return uuid5(NAMESPACE_URL, f"urn:millrace:job:{principal}\n{route}\n{idempotency_key}").hex


def command_envelope(
    kind: AnyKind,
    *,
    job_id: str,
    principal: str,
    source: str,
    traceparent: str,
    correlation_id: str | None = None,
    idempotency_key: str | None = None,
    deadline: datetime | None = None,
    cache_control: CacheControl | None = None,
) -> Envelope:
    return Envelope(
        id=new_id(),
        source=source,
        type=message_type(kind.name),
        subject=job_id,
        time=datetime.now(UTC),
        dataschema=kind.command.dataschema,
        job_id=job_id,
        kind=kind.name,
        principal=principal,
        traceparent=traceparent,
        correlation_id=correlation_id,
        idempotency_key=idempotency_key,
        deadline=deadline,
        cache_control=cache_control,
    )


def command_known_as(job_id: str, fields: Mapping[str, Any]) -> Envelope:
    """The envelope of the command behind a job in the projection, for events about it by others than its worker."""
    kind = fields["kind"]
    names = ("principal", "generation", "attempt", "correlation_id", "traceparent")
    return Envelope(
        id=job_id,
        source=job_id,
        type=message_type(kind),
        subject=job_id,
        time=fields["created_at"],
        dataschema=fields.get("dataschema") or "",
        job_id=job_id,
        kind=kind,
        **{name: fields[name] for name in names if fields.get(name) is not None},
    )


def cancelled(by: str, reason: str) -> JobCancelled:
    """The end of a job that somebody no longer wants."""
    detail = f"by {by}: {reason}" if reason else f"by {by}"
    error = JobError(type="cancelled", title="The job was cancelled", detail=detail)
    return JobCancelled(finished_at=datetime.now(UTC), error=error)
