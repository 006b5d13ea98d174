"""Requesting a job: from validated parameters to a command envelope."""

from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid4, uuid5

from schemas.envelope import Envelope, message_type
from schemas.kinds import AnyKind


def new_job_id() -> str:
    return uuid4().hex


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
) -> Envelope:
    return Envelope(
        id=uuid4().hex,
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
    )
