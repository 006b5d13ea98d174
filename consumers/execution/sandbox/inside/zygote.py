"""A process with a profile's packages loaded, which forks one job after another.

PID 1 of a namespace of its own, so all its jobs end with it. It has one thread, no capability and no secret: it was
executed with an empty environment, by somebody who has none either.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import weakref
from contextlib import suppress

from . import job, kernel, pages, seccomp, wire

_FIRST_USE = {
    "numpy": "import numpy; numpy.random.rand(8, 8) @ numpy.ones((8, 8))",
    "pandas": "import pandas; str(pandas.DataFrame({'a': [1.0, 2.0]}).describe())",
    "torch": "import torch; torch.set_num_threads(1); str((torch.rand(8, 8) @ torch.ones(8, 8)).sum())",
}
"""What libraries put off until they are used, done once for all. With one thread, so that none is left behind."""


def main(descriptor: int, packages: list[str], without: list[str], counted: bool) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel reaps
    daemon = socket.socket(fileno=descriptor)
    try:
        _load(packages)
    except Exception as error:  # noqa: BLE001  # whatever a package does when it is imported
        return wire.send(daemon, {"is": "fault", "why": f"{type(error).__name__}: {error}"})
    seccomp.program(memfd=counted)  # kept for all of them
    _settle()
    wire.send(daemon, {"is": "ready"})
    while (message := wire.receive(daemon)) is not None:
        held, program, *streams = message.descriptors
        with socket.socket(fileno=held) as up:
            given = (streams[0], streams[1], streams[2])
            job.start(job.Told(up, program, given, frozenset(without), counted), daemon)
        wire.close((program, *streams))
    return None


def _settle() -> None:
    """What is loaded stays: it is shared with all who are forked, and none of them takes it apart at its end."""
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False  # torch has thousands
    gc.collect()
    gc.freeze()
    pages.collapse()


def _load(packages: list[str]) -> None:
    for name in packages:
        importlib.import_module(name)
    for name, first in _FIRST_USE.items():
        if name in packages:
            exec(first)  # noqa: S102  # ours, from above
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        raise RuntimeError(f"{threads} threads after loading {packages}, of which a fork would keep one")


def start() -> None:
    """Arguments: the socket's descriptor, whether cgroups count, packages and layers left out, each with commas."""
    descriptor, counted, packages, without = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        main(int(descriptor), _split(packages), _split(without), counted == "counted")


def _split(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]
