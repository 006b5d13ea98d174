"""Who has been cancelled: heard on the control exchange, and asked of the store for what came before we listened.

A command that was requested while we listen needs no question, since its cancellation would have been heard. So the
common case costs a comparison of two times.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from consumers.runtime.incoming import Undecodable, read_envelope
from schemas.envelope import Envelope
from storage.database import StoreUnavailable
from storage.jobs import JobProjection

log = structlog.get_logger()

_MOST_REMEMBERED = 100_000
# How far the clocks of gateways and workers may be apart. A larger gap costs nothing but work for a cancelled job.
_SKEW = timedelta(seconds=2)
_DEAF = datetime.max.replace(tzinfo=UTC)

_Attempt = tuple[str, int]  # job and generation


class Cancelled(Exception):
    """Somebody cancelled the job: nothing follows from how its handler ended."""


class Cancellations:
    def __init__(self, projection: JobProjection) -> None:
        self._projection = projection
        self._heard: OrderedDict[_Attempt, datetime] = OrderedDict()
        self._stops: dict[_Attempt, list[Callable[[], None]]] = {}
        self._heard_all_since = _DEAF

    def on_connected(self, connected: bool) -> None:
        self._heard_all_since = datetime.now(UTC) + _SKEW if connected else _DEAF

    def on_message(self, headers: dict[str, Any]) -> None:
        try:
            envelope = read_envelope(headers)
        except Undecodable as error:
            log.warning("control_message_ignored", error=str(error))
            return
        self._remember(envelope)
        for stop in self._stops.get((envelope.job_id, envelope.generation), ()):
            log.info("cancelling", job_id=envelope.job_id)
            stop()

    async def ended(self, envelope: Envelope) -> bool:
        """Whether the job of this command was cancelled, or has ended otherwise before we listened. False while the
        store cannot tell: running it then is no harm, since its result loses against the end that it has."""
        if (envelope.job_id, envelope.generation) in self._heard:
            return True
        if envelope.time >= self._heard_all_since:
            return False
        try:
            found = await self._projection.standing(envelope.job_id)
        except StoreUnavailable as error:
            log.warning("cancellation_unknown", error=str(error))
            return False
        if found is None:
            return False
        same = found.generation == envelope.generation
        return (same and found.status.terminal) or found.generation > envelope.generation

    @contextmanager
    def stoppable(self, envelope: Envelope, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` when the job is cancelled meanwhile, or was since it was asked about. A command that was
        published twice may run twice at a time."""
        attempt = (envelope.job_id, envelope.generation)
        stops = self._stops.setdefault(attempt, [])
        stops.append(stop)
        if attempt in self._heard:
            stop()
        try:
            yield
        finally:
            stops.remove(stop)
            if not stops:
                self._stops.pop(attempt, None)

    def _remember(self, envelope: Envelope) -> None:
        self._heard[envelope.job_id, envelope.generation] = datetime.now(UTC)
        if len(self._heard) > _MOST_REMEMBERED:
            _, forgotten = self._heard.popitem(last=False)
            self._heard_all_since = max(self._heard_all_since, forgotten + _SKEW)
