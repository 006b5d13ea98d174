"""From a request to an accepted job: validate, publish once, answer."""

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError
from pydantic_core import from_json

from gateway import preferences
from gateway.body import read_body
from gateway.cache_status import cache_status
from gateway.problems import ProblemError, invalid_parameters
from gateway.recent import Recent
from gateway.settings import GatewaySettings
from gateway.standing_in import StandIn
from gateway.view import JobView, Snapshot, fresh
from producers.jobs import command_envelope, job_id_for, new_job_id
from producers.outbox import Outbox
from schemas.contract import Contract
from schemas.envelope import Envelope
from schemas.kinds import AnyKind, kind_named
from schemas.resources import Job, JobRequest
from storage.blobs import BlobMissing, BlobUnavailable
from storage.feed import Changed, FeedReader
from telemetry import failpoints, metrics

_REMEMBERED_BYTES = 16 * 1024  # of a request; what is larger can be read when the ledger has seen it


@dataclass(frozen=True)
class _Request:
    """A job as asked for: what it is, and how the answer shall be."""

    kind: AnyKind
    params: Contract
    envelope: Envelope
    wait_s: float
    small: bool
    """Enough to be remembered until the ledger has seen it."""


@dataclass(frozen=True)
class Accepted:
    """A job that is requested, or was by an earlier request of the same meaning."""

    job_id: str
    generation: int


class Submission:
    def __init__(
        self,
        outbox: Outbox,
        feed: FeedReader,
        view: JobView,
        stand_in: StandIn,
        source: str,
        settings: GatewaySettings,
    ) -> None:
        self.outbox, self._feed, self._view, self._stand_in = outbox, feed, view, stand_in
        self.source, self._settings = source, settings
        self.recent = Recent()
        self.pace: dict[str, float] = {}
        """Seconds from submission to end per kind, kept fresh by the composition root."""

    async def from_body(self, request: Request, principal: str) -> Response:
        """`{"kind": ..., "params": {...}}`. Raises ProblemError, UnknownKind, PublishFailed, StoreUnavailable."""
        try:
            asked = JobRequest.model_validate(await self.json_body(request))
        except ValidationError as error:
            raise invalid_parameters(error) from None
        return await self._submit(request, principal, kind_named(asked.kind), asked.params, at="/params")

    async def of_kind(self, request: Request, principal: str, kind: AnyKind) -> Response:
        """A sugar route: the body is the parameters."""
        return await self._submit(request, principal, kind, await self.json_body(request), at="")

    async def of_params(
        self, request: Request, principal: str, kind: AnyKind, params: Contract | Mapping[str, Any]
    ) -> Response:
        """A route that makes the parameters itself."""
        return await self._submit(request, principal, kind, params, at="")

    async def earlier(self, request: Request, principal: str) -> Mapping[str, Any]:
        """The parameters of the job that this request's idempotency key means already; empty when there is none.
        A route that resolves what it is given, such as an alias, must not resolve it to something else in a repeat.
        Raises ProblemError, BlobUnavailable, BlobMissing."""
        key = preferences.idempotency_key(request.headers)
        found = None if key is None else await self._view.look(job_id_for(principal, _route(request), key))
        return {} if found is None else (await self._view.resource(found)).params or {}

    def job_id(self, request: Request, principal: str) -> str:
        """Of the job that this request asks for: a new one, or the one that its idempotency key means. Raises
        ProblemError."""
        key = preferences.idempotency_key(request.headers)
        return new_job_id() if key is None else job_id_for(principal, _route(request), key)

    async def accepted(
        self, request: Request, principal: str, kind: AnyKind, params: Contract, job_id: str | None = None
    ) -> Accepted:
        """For routes that answer otherwise than with the job. Raises as `from_body`."""
        asked = self._asked(request, principal, kind, params, job_id)
        replayed = await self._publish(asked)
        return Accepted(asked.envelope.job_id, 0 if replayed is None else int(replayed.fields["generation"]))

    async def _submit(self, request: Request, principal: str, kind: AnyKind, params: Any, at: str) -> Response:
        try:
            command: Contract = kind.command.model_validate(params)
        except ValidationError as error:
            raise invalid_parameters(error, at) from None
        asked = self._asked(request, principal, kind, command)
        async with AsyncExitStack() as stack:
            # Listen before publishing, so that an outcome within the first millisecond still wakes us.
            changed = None
            if asked.wait_s:
                changed = await stack.enter_async_context(self._feed.listening(asked.envelope.job_id))
            return await self._answer(asked, await self._publish(asked), changed)

    async def _publish(self, asked: _Request) -> Snapshot | None:
        """The job of an earlier request, when it is a repeat."""
        replayed = await self._replayed(asked)
        # A command that a full work queue refused has reached the ledger all the same: so it is published again as
        # long as no worker need have seen it. The job may run twice and counts once. While the broker is away, the
        # reaper has to bring it back.
        if replayed is None or (replayed.untouched and self.outbox.publisher.connected):
            failpoints.reach("gateway.before-publish")
            await self.outbox.request(asked.envelope, asked.params)
            failpoints.reach("gateway.after-confirm")
            if asked.small:
                self.recent.add(asked.envelope, asked.params)
            await self._stand_in.answer(asked.kind, asked.envelope, asked.params)
        if replayed is None:
            metrics.JOBS_ACCEPTED.labels(asked.kind.name).inc()
        return replayed

    def _asked(
        self, request: Request, principal: str, kind: AnyKind, params: Contract, job_id: str | None = None
    ) -> _Request:
        headers = request.headers
        envelope = command_envelope(
            kind,
            job_id=job_id or self.job_id(request, principal),
            principal=principal,
            source=self.source,
            traceparent=request.scope["millrace.traceparent"],
            correlation_id=request.scope["millrace.request_id"],
            idempotency_key=preferences.idempotency_key(headers),
            deadline=preferences.deadline(headers),
            cache_control=preferences.cache_control(headers),
        )
        small = int(headers.get("content-length", _REMEMBERED_BYTES + 1)) <= _REMEMBERED_BYTES
        return _Request(kind, params, envelope, preferences.wait_s(headers, self._settings.max_wait_s), small)

    async def _replayed(self, asked: _Request) -> Snapshot | None:
        """The job of an earlier request with this idempotency key, when there is one.

        A request that was noted but is unknown is published again: its first publish failed, or the store is away, or
        the ledger has not seen it yet; and the second command folds into nothing.
        """
        if asked.envelope.idempotency_key is None:
            return None
        digest = hashlib.sha256(asked.params.model_dump_json().encode()).hexdigest()
        noted = await self._feed.reserve(asked.envelope.job_id, f"{asked.kind.name}:{digest}")
        known = await self._view.look(asked.envelope.job_id)
        if known is not None and noted is None and known.fields.get("params_sha256"):
            noted = f"{known.fields['kind']}:{known.fields['params_sha256']}"
        if noted is not None and noted != f"{asked.kind.name}:{digest}":
            raise ProblemError(
                "idempotency-key-reused",
                f"Idempotency-Key: {asked.envelope.idempotency_key!r} was used with other parameters",
            )
        return known

    async def _answer(self, asked: _Request, replayed: Snapshot | None, changed: Changed | None) -> Response:
        job_id = asked.envelope.job_id
        headers = {"Location": f"/v1/jobs/{job_id}"}
        if replayed is not None:
            headers["Idempotent-Replayed"] = "true"
        found = replayed
        if changed is not None:
            headers["Preference-Applied"] = f"wait={asked.wait_s:g}"
            if found is None or not found.terminal:
                found = await self._view.wait(job_id, changed, asked.wait_s) or found
        if found is not None:
            headers["ETag"] = found.etag
        job = await self._job(asked, found)
        if asked.kind.repeatable and job.result is not None:
            headers["Cache-Status"] = cache_status(job.result, asked.envelope.cache_control)
        if changed is None:
            headers["Retry-After"] = str(max(1, round(self.pace.get(asked.kind.name, 1))))
        return Response(
            job.model_dump_json(),
            status_code=202 if changed is None else 200,
            media_type="application/json",
            headers=headers,
        )

    async def json_body(self, request: Request) -> Any:
        """What the body says. Raises ProblemError."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json" and not media_type.endswith("+json"):
            detail = f"Content-Type: application/json expected, not {media_type!r}"
            raise ProblemError("unsupported-media-type", detail)
        content = await read_body(request, self._settings.max_body_bytes)
        try:
            return from_json(content, allow_inf_nan=False)
        except ValueError as error:
            raise ProblemError("malformed-json", f"the body: {error}") from None

    async def _job(self, asked: _Request, found: Snapshot | None) -> Job:
        if found is None:
            return fresh(asked.envelope, asked.params.model_dump(mode="json"))
        try:
            return await self._view.resource(found)
        except (BlobUnavailable, BlobMissing):  # it was accepted: no failure to show it may say otherwise
            return fresh(asked.envelope, asked.params.model_dump(mode="json"))


def _route(request: Request) -> str:
    return f"{request.method} {request.scope['route'].path}"
