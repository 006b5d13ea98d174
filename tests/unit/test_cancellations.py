from typing import Any, cast

from consumers.runtime.cancellations import Cancellations
from schemas.envelope import Envelope
from storage.jobs import JobProjection


def test_a_job_that_runs_twice_at_a_time_is_stopped_twice(envelope: Envelope) -> None:
    """A command that was published twice may be given to one worker twice."""
    cancellations = Cancellations(cast("JobProjection", None))
    stopped: list[Any] = []
    with cancellations.stoppable(envelope, lambda: stopped.append("first")):
        with cancellations.stoppable(envelope, lambda: stopped.append("second")):
            cancellations.on_message(envelope.headers())
        cancellations.on_message(envelope.headers())
    cancellations.on_message(envelope.headers())
    assert stopped == ["first", "second", "first"]
