"""`dead-letters.replay`: bring dead letters back, window by window, from where an earlier attempt left off.

A window's letters are marked as taken, which keeps everybody else off them, and then published. So of a replay that
is started again only the last steps are uncertain: the one that was being published, and the one that was taken
meanwhile. They are published once more, and each job counts that once, since the generation follows from the letter.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog

from consumers.operations.canary import watch
from consumers.operations.desk import Desk
from consumers.operations.planning import Plan, Planner
from consumers.runtime.handler import LongTask, handles_long
from consumers.runtime.patience import until_done
from messaging.publisher import Unroutable
from producers.outbox import Parcel
from producers.replays import replay
from schemas.jobs.dead_letters_replay import (
    DEAD_LETTERS_REPLAY,
    CanaryFailure,
    LettersReplayed,
    ReplayLetters,
    Stuck,
)
from schemas.kinds import UnknownKind
from storage import audit
from storage.blobs import BlobMissing
from storage.cancellation import end
from storage.documents import Letter
from storage.letter_selection import Window
from telemetry import failpoints

log = structlog.get_logger()

WINDOW = 500
"""Letters in one step, and so at most twice as many that are published again after a crash."""
UNCERTAIN_STEPS = 2
_CANARY_STEP = 0
_MOST_STUCK = 20


@handles_long(DEAD_LETTERS_REPLAY, slots=1)
async def replay_letters(task: LongTask[ReplayLetters], desk: Desk) -> LettersReplayed:
    run = _Replay(task, desk)
    result = await run.to_its_end()
    await _note_end(task, desk, result)
    return result


class _Replay:
    def __init__(self, task: LongTask[ReplayLetters], desk: Desk) -> None:
        self._task, self._params, self._desk = task, task.params, desk
        self._id, self._actor = task.envelope.job_id, task.envelope.principal
        self._until = task.envelope.time
        self._selected = self._published = self._canaries = 0
        self._stuck: list[Stuck] = []
        self._step = _CANARY_STEP
        self._pace = _Pace(self._params.rate)
        self._publishing: asyncio.Task[None] | None = None

    async def to_its_end(self) -> LettersReplayed:
        standing = await until_done(self._desk.letters.standing, self._id)
        self._until = await _frozen_at(self._task, self._desk)
        plan = await until_done(self._plan)
        self._selected, self._canaries = standing.taken + plan.count, standing.canaries
        await _note_start(self._task, self._desk, self._until, plan)
        try:
            if standing.last is None:
                canaries = await self._send_canaries(plan)
            else:
                canaries = await self._resume(standing.taken, standing.last)
            evidence = await self._judged(canaries)
            if not evidence:
                await self._go_through(plan.windows)
        finally:
            if self._publishing is not None:
                await end(self._publishing)
        return self._result(evidence)

    async def _plan(self) -> Plan:
        planner = Planner(self._pace.step(WINDOW), self._params.canary or 0)
        async for letter in self._desk.letters.outlines(self._params.filter, self._until):
            planner.add(letter)
        return planner.plan()

    async def _resume(self, taken: int, last: int) -> list[Letter]:
        """Repeat the steps that may be unfinished. Returns the canaries, unless the replay was beyond them."""
        since = max(_CANARY_STEP, last - UNCERTAIN_STEPS + 1)
        uncertain = await until_done(self._desk.letters.taken, self._id, since)
        log.info("replay_resumed", taken=taken, uncertain=len(uncertain))
        self._published, self._step = taken - len(uncertain), last
        await self._publish(uncertain)
        return uncertain if last == _CANARY_STEP else []

    async def _send_canaries(self, plan: Plan) -> list[Letter]:
        size = self._pace.step(WINDOW)
        sent: list[Letter] = []
        for start in range(0, len(plan.canaries), size):
            sent += await self._take(plan.canaries[start : start + size])
        self._canaries = len(sent)
        return sent

    async def _judged(self, canaries: Sequence[Letter]) -> list[CanaryFailure]:
        if not self._params.canary or not canaries:
            return []
        await self._published_all()
        stuck = {item.letter for item in self._stuck}
        sent = [letter for letter in canaries if letter.id not in stuck]

        async def say(message: str) -> None:
            await self._task.progress(self._fraction, message)

        return await watch(self._desk, sent, self._params.canary_timeout_s, say)

    async def _go_through(self, windows: Sequence[Window]) -> None:
        for window in windows:
            self._step += 1
            await self._take(window)
        await self._published_all()

    async def _take(self, of: Window | Sequence[str]) -> list[Letter]:
        """Take the next letters while those before them are being published."""
        await self._pace.until_due()
        failpoints.reach("replay.before-mark")
        letters: list[Letter] = await until_done(
            self._desk.letters.take,
            self._params.filter,
            self._until,
            of=of,
            replay=self._id,
            number=self._step,
            actor=self._actor,
        )
        self._pace.note(len(letters))
        await self._published_all()
        self._publishing = asyncio.create_task(self._publish(letters))
        return letters

    async def _published_all(self) -> None:
        if self._publishing is not None:
            await self._publishing

    async def _publish(self, letters: Sequence[Letter]) -> None:
        failpoints.reach("replay.before-publish")
        stuck = [found for found in await asyncio.gather(*map(self._bring_back, letters)) if found is not None]
        if stuck:
            log.warning("letters_stuck", count=len(stuck), why=stuck[0].detail)
            await until_done(self._desk.letters.put_back, self._id, ids=[item.letter for item in stuck])
            self._stuck += stuck
        self._published += len(letters) - len(stuck)
        await self._task.progress(self._fraction, f"{self._published:,} of {self._selected:,} letters")

    async def _bring_back(self, letter: Letter) -> Stuck | None:
        try:
            parcel = await until_done(replay, self._desk.outbox, letter, source=self._desk.worker)
            await until_done(self._send, parcel)
        except (BlobMissing, UnknownKind, _Undeliverable) as error:
            return Stuck(letter=letter.id, detail=str(error)[:300])
        return None

    async def _send(self, parcel: Parcel) -> None:
        try:
            await self._desk.outbox.send(parcel)
        except Unroutable as error:
            raise _Undeliverable(str(error)) from error

    @property
    def _fraction(self) -> float:
        return min(1.0, self._published / self._selected) if self._selected else 1.0

    def _result(self, evidence: list[CanaryFailure]) -> LettersReplayed:
        return LettersReplayed(
            selected=self._selected,
            replayed=self._published,
            left=self._selected - self._published,
            canaries=self._canaries,
            stopped_by_canary=bool(evidence),
            evidence=evidence,
            stuck=self._stuck[:_MOST_STUCK],
        )


class _Undeliverable(Exception):
    """No queue takes this letter: unlike an absent broker, that does not pass by waiting."""


class _Pace:
    """Spreads letters over time, at most `rate` a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._due_at = asyncio.get_running_loop().time()

    def step(self, most: int) -> int:
        """How many letters to take at once: a second's worth."""
        return most if self._rate is None else max(1, min(most, int(self._rate)))

    async def until_due(self) -> None:
        if self._rate is not None:
            await asyncio.sleep(max(0.0, self._due_at - asyncio.get_running_loop().time()))

    def note(self, count: int) -> None:
        if self._rate is not None:
            self._due_at = max(self._due_at, asyncio.get_running_loop().time()) + count / self._rate


async def _frozen_at(task: LongTask[ReplayLetters], desk: Desk) -> datetime:
    """Letters stored later never join, also when the replay is itself replayed."""
    first = await until_done(audit.get, desk.database, audit.replay_entry_id(task.envelope.job_id, 0, "started"))
    frozen_at: datetime = task.envelope.time if first is None else first.detail["until"]
    return frozen_at


async def _note_start(task: LongTask[ReplayLetters], desk: Desk, until: datetime, plan: Plan) -> None:
    asked = task.params.model_dump(mode="json", exclude_defaults=True)
    detail = {"until": until, "count": plan.count, "groups": plan.groups, **asked}
    await _note(task, desk, audit.REPLAY_STARTED, "started", detail)


async def _note_end(task: LongTask[ReplayLetters], desk: Desk, result: LettersReplayed) -> None:
    await _note(task, desk, audit.REPLAY_ENDED, "ended", result.model_dump(mode="json"))


async def _note(task: LongTask[ReplayLetters], desk: Desk, action: str, what: str, detail: dict[str, Any]) -> None:
    """Once in each generation, however many attempts it takes."""
    envelope = task.envelope
    made = audit.entry(
        action,
        envelope.job_id,
        actor=envelope.principal,
        detail=detail | {"generation": envelope.generation},
        request_id=envelope.correlation_id,
        entry_id=audit.replay_entry_id(envelope.job_id, envelope.generation, what),
    )
    await until_done(audit.add, desk.database, made)
