"""What is kept of a failure, and its fingerprint: equal for failures with one cause, whatever the values and line
numbers involved."""

import hashlib
import traceback
from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

_FRAMES = 8
_LONGEST_DETAIL, _LONGEST_TRACEBACK = 2_000, 8_000  # AMQP headers must fit into one frame


@dataclass(frozen=True)
class Failure:
    error_type: str
    detail: str
    fingerprint: str
    traceback: str


class ChildFailed(Exception):
    """A handler in a child process raised; what it raised is told by `failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure

    def __reduce__(self) -> tuple[type[Self], tuple[Failure]]:
        return type(self), (self.failure,)


def describe(error: BaseException) -> Failure:
    if isinstance(error, ChildFailed):
        return error.failure
    return Failure(
        error_type=type(error).__name__,
        detail=text(str(error)),
        fingerprint=fingerprint(error),
        # Its end, which names the cause.
        traceback=text("".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:], _LONGEST_TRACEBACK),
    )


def fingerprint(error: BaseException) -> str:
    """Exception type plus module and function of the innermost frames. Line numbers are left out, so that an edit
    elsewhere in a file does not start a new group."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    path = [f"{PurePath(frame.filename).stem}.{frame.name}" for frame in frames]
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return hashlib.sha256("\n".join([name, *path]).encode()).hexdigest()[:16]


def text(found: str, limit: int = _LONGEST_DETAIL) -> str:
    """What JSON and AMQP can carry: an exception may quote a file name that is no text."""
    return found.encode("utf-8", "replace").decode()[:limit]
