"""Canaries: letters that go first, and what their jobs say about the rest."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from consumers.operations.desk import Desk
from consumers.runtime.patience import until_done
from schemas.jobs.dead_letters_replay import CanaryFailure
from schemas.lifecycle import JobState
from storage.dead_letters import Fate
from storage.documents import Letter

LOOK_EVERY_S = 0.5
_MOST_EVIDENCE = 20


def judge(letter: Letter, fate: Fate | None) -> CanaryFailure | bool:
    """Why a canary failed; else whether its job has ended. The same fingerprint in a failed attempt is enough: there
    is no need to wait until all of them have failed."""
    if fate is None or fate.generation <= (letter.generation or 0):  # the ledger has not seen the replay
        return False
    if fate.fingerprint == letter.fingerprint:
        return _failure(letter, "fails-again", fate)
    if fate.status is JobState.DEAD:
        return _failure(letter, "died", fate)
    return fate.status.terminal


def _failure(letter: Letter, why: str, fate: Fate | None) -> CanaryFailure:
    return CanaryFailure(
        letter=letter.id,
        job_id=letter.job_id or "",
        why=why,
        fingerprint=fate.fingerprint if fate else None,
        detail=fate.detail if fate else "its job has not ended within the limit",
    )


async def watch(
    desk: Desk, canaries: Sequence[Letter], limit_s: float, say: Callable[[str], Awaitable[None]]
) -> list[CanaryFailure]:
    """Wait until every canary's job has ended well, or one has failed, or the limit is reached. Empty when all is
    well."""
    until = time.monotonic() + limit_s
    waiting = {letter.job_id: letter for letter in canaries if letter.job_id is not None}
    while True:
        fates = await until_done(desk.letters.fates, list(waiting))
        verdicts = {job_id: judge(letter, fates.get(job_id)) for job_id, letter in waiting.items()}
        failures = [verdict for verdict in verdicts.values() if isinstance(verdict, CanaryFailure)]
        if failures:
            return failures[:_MOST_EVIDENCE]
        waiting = {job_id: letter for job_id, letter in waiting.items() if not verdicts[job_id]}
        if not waiting:
            return []
        if time.monotonic() >= until:
            unfinished = [_failure(letter, "unfinished", fates.get(job_id)) for job_id, letter in waiting.items()]
            return unfinished[:_MOST_EVIDENCE]
        await say(f"waiting for canaries: {len(canaries) - len(waiting)} of {len(canaries)} have ended")
        await asyncio.sleep(LOOK_EVERY_S)
