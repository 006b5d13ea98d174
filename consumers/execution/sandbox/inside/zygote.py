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
from contextlib import suppress

from . import job, kernel, seccomp, wire


def main(descriptor: int, packages: list[str], without: list[str], counted: bool) -> None:
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the kernel reaps
    daemon = socket.socket(fileno=descriptor)
    for name in packages:
        importlib.import_module(name)
    if (threads := len(os.listdir("/proc/self/task"))) != 1:  # noqa: PTH208
        raise RuntimeError(f"{threads} threads after loading {packages}; a fork would keep one of them")
    seccomp.program(memfd=counted)  # kept for all of them
    gc.collect()
    gc.freeze()  # the pages of what is loaded stay shared
    wire.send(daemon, {"is": "ready"})
    while (message := wire.receive(daemon)) is not None:
        if os.fork() == 0:
            daemon.close()
            up, program, *streams = message.descriptors
            told = job.Told(
                up=socket.socket(fileno=up),
                program=program,
                streams=(streams[0], streams[1], streams[2]),
                without=frozenset(without),
                counted=counted,
            )
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            job.outermost(told)
        wire.close(message.descriptors)


def start() -> None:
    """Arguments: the socket's descriptor, whether cgroups count, packages and layers left out, each with commas."""
    descriptor, counted, packages, without = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        main(int(descriptor), _split(packages), _split(without), counted == "counted")


def _split(listed: str) -> list[str]:
    return [name for name in listed.split(",") if name]
