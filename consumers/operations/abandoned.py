"""Letters of replays that nobody will finish: their job was cancelled or died, and its last steps are uncertain.

Whatever may not have been published is opened again. If it was published all the same, a second replay of it folds
into nothing.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from consumers.operations.dead_letters_replay import UNCERTAIN_STEPS
from consumers.operations.desk import Desk
from storage import audit
from storage.database import StoreUnavailable
from storage.documents import AuditEntry

log = structlog.get_logger()

LOOK_EVERY_S = 5.0
# A handler that hears of its cancellation ends within moments; its letters are not uncertain before that.
_GRACE = timedelta(seconds=3)


async def put_back_for_ever(desk: Desk) -> None:
    while True:
        try:
            await put_back(desk, datetime.now(UTC) - _GRACE)
        except StoreUnavailable as error:
            log.warning("abandoned_not_looked_for", error=str(error))
        await asyncio.sleep(LOOK_EVERY_S)


async def put_back(desk: Desk, ended_before: datetime) -> None:
    """Raises StoreUnavailable."""
    for started in await audit.unfinished_replays(desk.database):
        fate = (await desk.letters.fates([started.target])).get(started.target)
        if fate is None or not fate.status.terminal or fate.updated_at > ended_before:
            continue
        standing = await desk.letters.standing(started.target)
        since = max(0, (standing.last or 0) - UNCERTAIN_STEPS + 1)
        back = await desk.letters.put_back(started.target, since=since)
        log.warning("abandoned_replay", replay=started.target, status=fate.status, put_back=back)
        await audit.add(desk.database, _ended(started, fate.status, standing.taken - back, back))


def _ended(started: AuditEntry, status: str, replayed: int, put_back: int) -> AuditEntry:
    generation = started.detail["generation"]
    return audit.entry(
        audit.REPLAY_ENDED,
        started.target,
        actor=started.actor,
        detail={"generation": generation, "status": status, "replayed": replayed, "put_back": put_back},
        request_id=started.request_id,
        entry_id=audit.replay_entry_id(started.target, generation, "ended"),
    )
