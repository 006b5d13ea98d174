"""Fingerprints: equal for failures with one cause, whatever the values and line numbers involved."""

import hashlib
import traceback
from pathlib import PurePath

_FRAMES = 8


def fingerprint(error: BaseException) -> str:
    """Exception type plus module and function of the innermost frames. Line numbers are left out, so that an edit
    elsewhere in a file does not start a new group."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    path = [f"{PurePath(frame.filename).stem}.{frame.name}" for frame in frames]
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return hashlib.sha256("\n".join([name, *path]).encode()).hexdigest()[:16]


def bounded_traceback(error: BaseException, limit: int = 8_000) -> str:
    """The end of the traceback, which names the cause; AMQP headers must fit into one frame."""
    return "".join(traceback.format_exception(error))[-limit:]
