"""How probes fail as they were told to."""

import os
import signal

from consumers.runtime.verdicts import HaltConsumer, Reject, RetryLater


class ProbeFailed(Exception):
    """What a probe raises when it was asked to fail."""


def fail(failure: str) -> None:
    match failure:
        case "reject":
            raise Reject("/params/failure: this probe was asked to be rejected")
        case "error":
            raise ProbeFailed("this probe was asked to raise")
        case "retry-later":
            raise RetryLater("this probe was asked to come back later")
        case "halt":
            raise HaltConsumer("this probe was asked to halt its pool")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
