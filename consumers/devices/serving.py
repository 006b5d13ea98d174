"""The child process of a device: `python -m consumers.devices.serving DESCRIPTOR`

It makes the object that it is told to serve, and runs the methods that it is asked for, each lane in a thread of its
own. It ignores SIGTERM and SIGINT, which reach every process of a service while its worker still drains, and ends
when its worker does.
"""

import ctypes
import faulthandler
import importlib
import os
import signal
import socket
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from consumers.devices.frames import Call, Drop, Ended, Raised, Returned, Said, Serve, Told, packed, parsing
from consumers.runtime.fingerprint import ChildFailed, describe
from consumers.runtime.verdicts import Verdict
from telemetry import logs

_PR_SET_PDEATHSIG = 1


class Stream:
    """What a method that streams tells, from any thread."""

    def __init__(self, id: int, link: "Link") -> None:
        self._id, self._link = id, link
        self._lock = threading.Lock()
        self._ended = False
        self.dropped = False
        """Nobody listens any more, so that nothing more need be computed for it."""

    def tell(self, event: Any) -> None:
        with self._lock:
            if not self._ended:
                self._link.say(Told(self._id, event))

    def end(self, error: Exception | None = None) -> None:
        """The first one counts, and nothing is told after it."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._link.say(Ended(self._id, error and portable(error)))

    def drop(self) -> None:
        self.dropped = True
        self.end()


class Link:
    """The socket: one thread listens, any may speak."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def listen(self) -> Any:
        """The next message. Raises EOFError when the worker is gone."""
        parser = parsing()
        wanted = next(parser)
        while True:
            try:
                wanted = parser.send(self._exactly(wanted))
            except StopIteration as read:
                return read.value

    def say(self, what: Said) -> None:
        pieces = packed(what)
        with self._lock:
            for piece in pieces:
                self._connection.sendall(piece)

    def _exactly(self, size: int) -> bytearray:
        found = bytearray(size)
        rest = memoryview(found)
        while rest:
            count = self._connection.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return found


class Serving:
    def __init__(self, link: Link, served: Any) -> None:
        self._link, self._served = link, served
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._streams: dict[int, Stream] = {}

    def hear(self, message: Call | Drop) -> None:
        if isinstance(message, Drop):
            self._streams.pop(message.id).drop()
            return
        if message.lane not in self._lanes:
            self._lanes[message.lane] = ThreadPoolExecutor(1, message.lane)
        if message.streams:
            self._streams[message.id] = Stream(message.id, self._link)
        self._lanes[message.lane].submit(self._run, message, self._streams.get(message.id))

    def _run(self, call: Call, stream: Stream | None) -> None:
        method = getattr(self._served, call.method)
        try:
            if stream is None:
                self._link.say(Returned(call.id, method(*call.args)))
                return
            method(stream, *call.args)
        except Exception as error:  # noqa: BLE001  # whatever a method raises is told
            if stream is None:
                self._link.say(Raised(call.id, portable(error)))
                return
            stream.end(error)
        self._link.say(Returned(call.id))


def portable(error: Exception) -> Exception:
    """As it is, where the worker has its class without importing more, else in words."""
    error.add_note("".join(traceback.format_tb(error.__traceback__)))
    if not isinstance(error, Verdict) and type(error).__module__ != "builtins":
        return ChildFailed(describe(error))
    try:
        packed(error)
    except Exception:  # noqa: BLE001  # it quotes something that cannot be pickled
        return ChildFailed(describe(error))
    return error


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    if sys.platform == "linux":  # also when a thread that is stuck lets nobody notice that the worker has gone
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    try:
        serving = _served(link, link.listen())
        while True:
            serving.hear(link.listen())
    except (EOFError, ConnectionError):
        os.killpg(0, signal.SIGKILL)


def _served(link: Link, told: Serve) -> Serving:
    logs.configure(f"device of {os.getppid()}", told.log_level)
    module, _, name = told.target.partition(":")
    try:
        served = getattr(importlib.import_module(module), name)(*told.args)
    except Exception as error:
        link.say(Raised(told.id, portable(error)))
        raise EOFError from error
    link.say(Returned(told.id))
    return Serving(link, served)


if __name__ == "__main__":
    main()
