"""Operations on the `leases` collection: who runs a long job, and the fencing of everybody who did before.

Each change names the epoch and the state that it expects, and has happened only if it matched. So of two who want the
same thing one gets it, and whoever was frozen past its lease changes nothing on waking up. How an attempt ended is
decided by such a change as well, `settle`, which keeps the messages that tell it until they are published: by the
holder, or by the reaper when the holder is gone.

    claim -> running --settle--> settling --finish--> done
               |  ^
            lapse claim
               v  |
             lapsed --requeued--> queued
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import Binary
from pymongo.errors import DuplicateKeyError, PyMongoError

from storage.database import Database, StoreUnavailable
from storage.documents import LeaseDocument, LeaseState, StoredClaim

_TRIES = 8  # against competitors for one claim, of whom each try of ours means that one has succeeded


@dataclass(frozen=True)
class Lease:
    job_id: str
    kind: str
    generation: int
    attempt: int
    epoch: int
    lapses: int
    state: LeaseState
    headers: dict[str, Any]
    """The command's, and its body."""
    body: bytes
    checkpoint: StoredClaim | None
    outbox: tuple[dict[str, Any], ...]
    """Messages decided on: exchange, routing_key, headers, body."""
    resumed: bool = False
    """Whether somebody held this very attempt before."""


@dataclass(frozen=True)
class Wanted:
    """The attempt that a worker is about to run."""

    job_id: str
    kind: str
    generation: int
    attempt: int
    headers: dict[str, Any]
    body: bytes
    claim: str
    """Names this request for the lease, so that it is recognised when it has to be asked twice."""


class Leases:
    """Raises StoreUnavailable; then nothing is certain, and everything here may be asked again."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._leases = database[LeaseDocument.Settings.name]
        self._lease_s = lease_s

    async def claim(self, wanted: Wanted, worker: str) -> Lease | None:
        """The lease for this attempt. None when it is held, has ended, or a later attempt has begun: then the command
        is a duplicate."""
        for _ in range(_TRIES):
            try:
                before = await self._leases.find_one({"_id": wanted.job_id})
                if before is None:
                    return await self._take(wanted, worker)
                return await self._take_over(before, wanted, worker)
            except _LostRace:
                continue
            except PyMongoError as error:
                raise StoreUnavailable(str(error)) from error
        raise StoreUnavailable(f"too many competitors for job {wanted.job_id}")

    async def renew(self, lease: Lease) -> bool:
        """Whether the lease is still ours, and ours for longer now."""
        now = datetime.now(UTC)
        return await self._change(lease, {"heartbeat_at": now, "expires_at": now + self._term})

    async def keep_checkpoint(self, lease: Lease, checkpoint: StoredClaim) -> bool:
        return await self._change(lease, {"checkpoint": checkpoint.model_dump()})

    async def settle(self, lease: Lease, outbox: Sequence[dict[str, Any]]) -> Lease | None:
        """Decide how the attempt ended. None when that is not ours to say any more."""
        messages = tuple(message | {"body": Binary(message["body"])} for message in outbox)
        changes = {"state": LeaseState.SETTLING.value, "outbox": list(messages), "expires_at": _after(self._term)}
        # Only the holder of this epoch can have settled it, so an outbox that is there is ours from a try before.
        decided = await self._change(lease, changes, {"state": {"$in": ["running", "lapsed", "settling"]}})
        return replace(lease, state=LeaseState.SETTLING, outbox=messages) if decided else None

    async def finish(self, lease: Lease) -> None:
        """What was decided is published. The document stays for a day, so that a late duplicate of the command is
        recognised."""
        changes = {"state": LeaseState.DONE.value, "done_at": datetime.now(UTC), "expires_at": None}
        await self._change(lease, changes | {"outbox": [], "headers": {}, "body": Binary(b"")})

    async def lapse(self, lease: Lease, *, expired: bool) -> Lease | None:
        """Take the lease from its holder, who is gone (`expired`), or who gives it back. None if it was not there."""
        lost = int(expired)
        changes = {
            "state": LeaseState.LAPSED.value,
            "epoch": lease.epoch + lost,
            "lapses": lease.lapses + lost,
            "expires_at": _after(self._term),
        }
        guard = {"expires_at": {"$lt": datetime.now(UTC)}} if expired else {}
        if not await self._change(lease, changes, guard):
            return None
        return replace(lease, state=LeaseState.LAPSED, epoch=lease.epoch + lost, lapses=lease.lapses + lost)

    async def requeued(self, lease: Lease) -> None:
        """The command is with the broker again."""
        await self._change(lease, {"state": LeaseState.QUEUED.value, "expires_at": None})

    async def postpone(self, lease: Lease) -> bool:
        """Let nobody else act on an expired lease for another term; False if somebody was faster."""
        return await self._change(
            lease, {"expires_at": _after(self._term)}, {"expires_at": {"$lt": datetime.now(UTC)}}
        )

    async def expired(self, limit: int) -> list[Lease]:
        """What needs somebody to act, the longest overdue first."""
        overdue = {"expires_at": {"$lt": datetime.now(UTC), "$exists": True, "$ne": None}}
        try:
            return [_lease(row) for row in await self._leases.find(overdue).sort("expires_at").limit(limit).to_list()]
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error

    @property
    def _term(self) -> timedelta:
        return timedelta(seconds=self._lease_s)

    async def _take(self, wanted: Wanted, worker: str) -> Lease:
        fields = self._held(wanted, worker) | {"_id": wanted.job_id, "schema_version": 1, "epoch": 1, "lapses": 0}
        try:
            await self._leases.insert_one(fields)
        except DuplicateKeyError:
            raise _LostRace from None
        return _lease(fields)

    async def _take_over(self, before: dict[str, Any], wanted: Wanted, worker: str) -> Lease | None:
        if before["claim"] == wanted.claim:  # it is ours already: the store's answer was lost
            return _lease(before)
        position, held = (wanted.generation, wanted.attempt), (before["generation"], before["attempt"])
        waiting = before["state"] in (LeaseState.QUEUED.value, LeaseState.LAPSED.value)
        if position < held or (position == held and not waiting):
            return None
        fields = self._held(wanted, worker) | {"epoch": before["epoch"] + 1}
        if position != held:
            fields |= {"lapses": 0}
        if wanted.generation != before["generation"]:  # its parameters may have been edited
            fields |= {"checkpoint": None}
        unchanged = {"_id": wanted.job_id, "epoch": before["epoch"], "state": before["state"]}
        result = await self._leases.update_one(unchanged, {"$set": fields})
        if not result.matched_count:
            raise _LostRace
        return replace(_lease(before | fields), resumed=position == held)

    def _held(self, wanted: Wanted, worker: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "kind": wanted.kind,
            "generation": wanted.generation,
            "attempt": wanted.attempt,
            "state": LeaseState.RUNNING.value,
            "worker": worker,
            "claim": wanted.claim,
            "claimed_at": now,
            "heartbeat_at": now,
            "expires_at": now + self._term,
            "headers": wanted.headers,
            "body": Binary(wanted.body),
            "outbox": [],
            "done_at": None,
        }

    async def _change(self, lease: Lease, changes: dict[str, Any], guard: dict[str, Any] | None = None) -> bool:
        unchanged = {"_id": lease.job_id, "epoch": lease.epoch, "state": lease.state.value, **(guard or {})}
        try:
            return bool((await self._leases.update_one(unchanged, {"$set": changes})).matched_count)
        except PyMongoError as error:
            raise StoreUnavailable(str(error)) from error


async def reopen(database: Database, job_id: str, generation: int, attempt: int) -> None:
    """What this attempt's finished lease told is lost with the broker's data: let the attempt be claimed again.

    Raises StoreUnavailable.
    """
    finished = {"_id": job_id, "state": LeaseState.DONE.value, "generation": generation, "attempt": attempt}
    waiting = {"state": LeaseState.QUEUED.value, "done_at": None}
    try:
        await database[LeaseDocument.Settings.name].update_one(finished, {"$set": waiting})
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


class _LostRace(Exception):
    """Somebody else changed the lease between our look and our write."""


def _after(term: timedelta) -> datetime:
    return datetime.now(UTC) + term


def _lease(row: dict[str, Any]) -> Lease:
    checkpoint = row.get("checkpoint")
    return Lease(
        job_id=row["_id"],
        kind=row["kind"],
        generation=row["generation"],
        attempt=row["attempt"],
        epoch=row["epoch"],
        lapses=row["lapses"],
        state=LeaseState(row["state"]),
        headers=row["headers"],
        body=bytes(row["body"]),
        checkpoint=StoredClaim(**checkpoint) if checkpoint else None,
        outbox=tuple(row["outbox"]),
    )
