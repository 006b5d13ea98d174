"""Failpoints: named places where a fault test kills the process that reaches them.

    MILLRACE_FAILPOINTS=ledger.after-fold:3,worker.before-outcome:1

sends SIGKILL to the process itself when it folds for the third time, or is about to publish its first outcome. Unset,
as it is outside of tests, reaching one costs a look into an empty dictionary.
"""

import os
import signal

NAMES = frozenset(
    {
        "gateway.before-publish",
        "gateway.after-confirm",
        "worker.before-handle",
        "worker.before-outcome",
        "worker.after-outcome",
        "worker.before-retry",
        "worker.before-bury",
        "claim.before",
        "claim.before-ack",
        "settle.before",
        "settle.before-publish",
        "settle.before-finish",
        "ledger.before-fold",
        "ledger.before-ack",
        "reaper.before-republish",
        "reaper.after-republish",
        "dead-letters.before-store",
        "dead-letters.before-ack",
        "replay.before-publish",
        "replay.before-mark",
    }
)


def _parse(text: str) -> dict[str, int]:
    """From the variable's value to how often each point may still be reached. Raises ValueError for unknown names."""
    armed = {}
    for item in filter(None, text.split(",")):
        name, _, count = item.partition(":")
        if name not in NAMES:
            raise ValueError(f"MILLRACE_FAILPOINTS: no failpoint is called {name!r}; known are {sorted(NAMES)}")
        armed[name] = int(count or 1)
    return armed


_armed = _parse(os.environ.get("MILLRACE_FAILPOINTS", ""))


def reach(name: str) -> None:
    """Die here if a test says so."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
