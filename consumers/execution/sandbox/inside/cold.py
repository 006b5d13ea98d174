"""PID 1 of a place that bubblewrap has built: the same end as a zygote's job, with an interpreter of its own.

Arguments: the socket to the worker and the program, as descriptors.
"""

import json
import os
import socket
import sys

from . import job, kernel, wire


def start() -> None:
    up, program = map(int, sys.argv[1:])
    told = job.Told(
        up=socket.socket(fileno=up),
        program=program,
        streams=(os.dup(0), os.dup(1), os.dup(2)),
        without=frozenset({"capabilities"}),  # bubblewrap has taken them, and set no_new_privs
        counted=False,
    )
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    job.lead(told, json.loads(wire.content_of(program)), lambda: None)
