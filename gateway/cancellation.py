"""Cancelling a job: told once, to the ledger, to every subscriber, and to every worker that may be running it."""

from gateway.view import JobView, Snapshot
from producers.jobs import cancelled, command_known_as
from producers.outbox import Outbox
from storage.feed import FeedReader

_SHOWN_WITHIN_S = 1.0


class Cancellation:
    def __init__(self, outbox: Outbox, feed: FeedReader, view: JobView, source: str) -> None:
        self._outbox, self._feed, self._view, self._source = outbox, feed, view, source

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
