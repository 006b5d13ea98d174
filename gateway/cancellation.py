"""Ending a job by request. Cancelling is told once, to the ledger, to every subscriber, and to every worker that may
be running it. Finishing early is told to the ledger and to subscribers, and the job's worker looks for it."""

import asyncio
from contextlib import suppress

from gateway.problems import ProblemError
from gateway.view import JobView, Snapshot
from messaging.publisher import PublishFailed
from producers.jobs import cancelled, command_known_as
from producers.outbox import Outbox
from schemas.kinds import kind_named
from schemas.lifecycle import JobFinishAsked, JobState
from storage.database import StoreUnavailable
from storage.feed import FeedReader

_SHOWN_WITHIN_S = 1.0


class Cancellation:
    def __init__(self, outbox: Outbox, feed: FeedReader, view: JobView, source: str) -> None:
        self._outbox, self._feed, self._view, self._source = outbox, feed, view, source
        self._leaving: set[asyncio.Task[None]] = set()

    async def cancel(self, found: Snapshot, principal: str, reason: str) -> Snapshot:
        """The job as it is afterwards: `cancelled`, or ended otherwise if that came first, or as it was while the
        ledger is behind. Raises PublishFailed."""
        if found.terminal:
            return found
        event = cancelled(principal, reason)
        command = command_known_as(found.job_id, found.fields)
        async with self._feed.listening(found.job_id) as changed:
            await self._outbox.tell(command.event(event, source=self._source), event)
            return await self._view.wait(found.job_id, changed, _SHOWN_WITHIN_S) or found

    def abandon(self, job_id: str, principal: str) -> None:
        """Cancel a job whose only reader has gone, without waiting for it."""
        task = asyncio.create_task(self._abandon(job_id, principal))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _abandon(self, job_id: str, principal: str) -> None:
        with suppress(StoreUnavailable, PublishFailed):  # then it is written for nobody, and ends by itself
            found = await self._view.find_new(job_id)
            if found is not None:
                await self.cancel(found, principal, "the client has gone")

    async def finish(self, found: Snapshot) -> None:
        """Ask a running job to end with the best that it has; one that has ended is left alone. Raises ProblemError,
        PublishFailed."""
        if found.terminal:
            return
        kind = found.fields["kind"]
        if not kind_named(kind).finishes_early:
            raise ProblemError("cannot-finish-early", f"a {kind} job has nothing to show before it ends")
        if found.fields["status"] != JobState.RUNNING:
            raise ProblemError("cannot-finish-early", "the job is not running, so that nothing was found yet")
        event = JobFinishAsked()
        command = command_known_as(found.job_id, found.fields)
        await self._outbox.tell(command.event(event, source=self._source), event)
