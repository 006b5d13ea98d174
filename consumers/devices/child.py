"""One life of a device's child process, as its worker sees it. See serving.py for the other end."""

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from consumers.devices.frames import Call, Drop, Ended, Raised, Returned, Said, Serve, Told, packed, parsing
from consumers.settings import ConsumerSettings

_LONGEST_READ = 1 << 20


class DeviceLost(Exception):
    """The child process died before it could answer, or was killed because it did not."""


@dataclass(eq=False)
class _Lane:
    """What runs one after the other. The limit of a call counts from when it became the oldest."""

    calls: "deque[_Asked]" = field(default_factory=deque)
    alarm: asyncio.TimerHandle | None = None


@dataclass(eq=False)
class _Asked:
    message: Call | Serve
    lane: _Lane
    limit_s: float | None
    heard: asyncio.Queue[Said] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        streams = isinstance(self.message, Call) and self.message.streams
        self.due = 2 if streams else 1  # a stream both ends and returns, in any order


class Child:
    """A running child process with the object that it serves. Every call raises DeviceLost from its death on."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._ids = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._lanes: dict[str, _Lane] = {}
        self._why = ""
        self.alive = True
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, target: str, args: tuple[Any, ...], limit_s: float) -> "Child":
        """Returns when it serves. Raises what making its object raised, or DeviceLost."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "consumers.devices.serving", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a group of its own: Ctrl-C is for the worker, which drains
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LONGEST_READ)
        child = cls(process, reader, writer)
        try:
            await child._answer(Serve(target, args, ConsumerSettings().log_level), "start", limit_s)
        except BaseException:
            await child.close()
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, method: str, *args: Any, lane: str, limit_s: float | None = None) -> Any:
        """What `method` of the served object returns, after the earlier calls in its lane. A call that runs for more
        than `limit_s` costs the child its life. Cancelling ends the waiting and not the call.

        Raises DeviceLost, or what the method raised: verdicts and built-in exceptions as they are, others as
        ChildFailed.
        """
        return await self._answer(Call(next(self._ids), method, args, lane), lane, limit_s)

    async def stream(
        self, method: str, *args: Any, lane: str, limit_s: float | None = None, silence_s: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """What `method` tells to the `Stream` that is its first argument, until it ends that. Its return counts as a
        call's; being silent for `silence_s` also costs the child its life. Closing the iterator drops the stream.

        Raises as `call` does.
        """
        asked = self._ask(Call(next(self._ids), method, args, lane, streams=True), lane, limit_s)
        try:
            while True:
                said = await self._next(asked, silence_s)
                match said:
                    case Told(_, event):
                        yield event
                    case Ended(_, None):
                        return
                    case Ended(_, Exception() as error) | Raised(_, error):
                        raise error
        finally:
            if self.alive:
                self._write(Drop(asked.message.id))

    def kill(self, why: str) -> None:
        """With everything it started. `why` is told to those who wait for it."""
        self.alive = False
        self._why = self._why or why
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """What still runs is lost."""
        self.kill("it was closed")
        await self._listening

    async def _answer(self, message: Call | Serve, lane: str, limit_s: float | None) -> Any:
        said = await self._ask(message, lane, limit_s).heard.get()
        if isinstance(said, Raised):
            raise said.error
        return said.value if isinstance(said, Returned) else None

    def _ask(self, message: Call | Serve, name: str, limit_s: float | None) -> _Asked:
        if not self.alive:
            raise DeviceLost(self._why)
        lane = self._lanes.setdefault(name, _Lane())
        asked = _Asked(message, lane, limit_s)
        self._write(message)
        self._asked[message.id] = asked
        lane.calls.append(asked)
        if len(lane.calls) == 1:
            self._watch(lane)
        return asked

    def _write(self, message: Call | Serve | Drop) -> None:
        self._writer.writelines(packed(message))

    async def _next(self, asked: _Asked, silence_s: float | None) -> Said:
        try:
            async with asyncio.timeout(silence_s):
                return await asked.heard.get()
        except TimeoutError:
            self.kill(f"it was silent for {silence_s:g} s")
            return await asked.heard.get()

    def _watch(self, lane: _Lane) -> None:
        """The call that runs now."""
        if lane.alarm is not None:
            lane.alarm.cancel()
            lane.alarm = None
        if lane.calls and (limit_s := lane.calls[0].limit_s) is not None:
            late = f"a call ran for more than {limit_s:g} s"
            lane.alarm = asyncio.get_running_loop().call_later(limit_s, self.kill, late)

    async def _listen(self) -> None:
        try:
            while True:
                self._hear(await self._received())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except Exception as error:  # noqa: BLE001  # an answer that cannot be read, whose caller would wait for ever
            self._why = f"it said what cannot be read: {type(error).__name__}: {error}"
        finally:
            self.kill("")
            await self._bury()

    async def _received(self) -> Said:
        parser = parsing()
        wanted = next(parser)
        while True:
            try:
                wanted = parser.send(await self._reader.readexactly(wanted))
            except StopIteration as read:
                said: Said = read.value
                return said

    def _hear(self, said: Said) -> None:
        asked = self._asked[said.id]
        if isinstance(said, Returned | Raised):
            asked.lane.calls.popleft()
            self._watch(asked.lane)
        asked.due -= not isinstance(said, Told)
        if not asked.due:
            del self._asked[said.id]
        asked.heard.put_nowait(said)

    async def _bury(self) -> None:
        code = await self._process.wait()
        self._writer.close()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
        self._why = f"the device's process {how}{self._why and f': {self._why}'}"
        for lane in self._lanes.values():
            lane.calls.clear()
            self._watch(lane)
        for number, asked in self._asked.items():
            asked.heard.put_nowait(Raised(number, DeviceLost(self._why)))
        self._asked.clear()
