"""The consumer's side of the daemon: the sandbox that handlers are given."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from consumers.execution.sandbox import artifacts as leavings
from consumers.execution.sandbox.inside import wire
from consumers.execution.sandbox.inside.channel import Channel
from consumers.execution.sandbox.output import Outputs
from consumers.execution.sandbox.packages import missing
from consumers.execution.sandbox.ports import (
    Artifact,
    Ended,
    Program,
    SandboxFault,
    SandboxUnavailable,
    Tier,
)
from consumers.execution.sandbox.process import Daemon, start, stop
from consumers.execution.sandbox.settings import SandboxSettings
from schemas.execution import Ending, Usage

_STOP_S = 5.0
_BY: Mapping[str, Ending] = {
    "timeout": Ending.TIMEOUT,
    "memory": Ending.MEMORY,
    "output": Ending.OUTPUT_LIMIT,
}


class ZygoticSandbox:
    """Programs are forked from interpreters that have their packages loaded, into namespaces of their own.

    What it does not stop: a fault of the kernel that an allowed system call reaches; what can be learned from the
    timing of shared processors and caches; a program that keeps its processors busy for as long as it may; and
    reading Python itself, the C library and the packages of its profile, which are this host's. A program knows the
    address layout of others that were forked from the same interpreter. See docs/security.md.
    """

    def __init__(self, settings: SandboxSettings, without: frozenset[str], daemon: Daemon) -> None:
        self._settings = settings
        self._without = without
        self._daemon = daemon
        self._replacing = asyncio.Lock()
        self.tier = Tier.A

    @property
    def counting(self) -> str:
        """What counts and bounds: a version of cgroups, or looking now and then."""
        return self._daemon.counting

    @property
    def own_identities(self) -> bool:
        """Whether every program is somebody else to the host."""
        return self._daemon.own_identities

    async def run(self, program: Program, artifacts: Path, output: Callable[..., None]) -> Ended:
        _check(program, self._settings)
        daemon = await self._living()
        work: int | None = None
        caller, theirs = Channel.pair()
        outputs = Outputs(program.limits.output_bytes, output)
        try:
            with ExitStack() as handed:
                handed.callback(theirs.close)
                zygote = self._settings.zygote(program.packages, program.code)
                await _order(daemon, program, zygote, theirs, outputs, handed)
            outputs.follow(lambda: asyncio.ensure_future(caller.send({"why": "output"})))
            ended: dict[str, Any] | None = None
            try:
                while ended is None:
                    message = await caller.receive()
                    if message is None:
                        daemon.orders.gone = True
                        raise SandboxFault("the sandbox's daemon is gone")
                    if message.body["is"] == "started":
                        work = message.descriptors[0]
                    elif message.body["is"] == "fault":
                        raise SandboxFault(message.body["why"])
                    else:
                        ended = message.body
            except asyncio.CancelledError:
                await _call_off(caller)
                raise
            outputs.drain()
            return await conclude(program, ended, outputs, work, artifacts)
        finally:
            outputs.close()
            caller.close()
            if work is not None:
                os.close(work)

    async def _living(self) -> Daemon:
        async with self._replacing:
            if self._daemon.orders.gone:
                await stop(self._daemon)
                self._daemon = await start(self._settings, self._without)
            return self._daemon

    async def close(self) -> None:
        await stop(self._daemon)


@asynccontextmanager
async def open_zygotic(
    settings: SandboxSettings, without: frozenset[str] = frozenset()
) -> AsyncIterator[ZygoticSandbox]:
    """`without` leaves layers out, to measure the others. Never for anybody's program."""
    sandbox = ZygoticSandbox(settings, without, await start(settings, without))
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def _order(
    daemon: Daemon, program: Program, zygote: str, theirs: socket.socket, outputs: Outputs, handed: ExitStack
) -> None:
    limits = asdict(program.limits)
    request = {
        "profile": zygote,
        "limits": limits,
        "files": {name: str(path.absolute()) for name, path in program.files.items()},
        "mounts": {name: str(path.absolute()) for name, path in program.mounts.items()},
    }
    inner = {"code": program.code, "argv": program.argv, "limits": limits}
    descriptors = [theirs.fileno()]
    for name, content in {
        "request": json.dumps(request).encode(),
        "program": json.dumps(inner).encode(),
        "stdin": program.stdin,
    }.items():
        made = wire.memory_file(content, name)
        handed.callback(os.close, made)
        descriptors.append(made)
    for end in outputs.write_ends:
        handed.callback(os.close, end)
        descriptors.append(end)
    await daemon.orders.send({"is": "run"}, descriptors)


def _check(program: Program, settings: SandboxSettings) -> None:
    if absent := missing(settings.needed(program.packages)):
        raise SandboxUnavailable(f"{', '.join(absent)} not installed here, so there is no profile {program.packages}")


async def _call_off(caller: Channel) -> None:
    """All is dead when the daemon answers, or is itself."""
    await caller.send({"why": "cancel"})
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S):
            while (message := await caller.receive()) is not None and message.body["is"] == "started":
                wire.close(message.descriptors)


async def conclude(
    program: Program, ended: Mapping[str, Any], outputs: Outputs, work: int | None, artifacts: Path
) -> Ended:
    status = ended["status"]
    code = os.waitstatus_to_exitcode(status) if status is not None else None
    taken: list[Artifact] = []
    refused: list[str] = []
    if work is not None:
        given = frozenset(program.files) | {"main.py"}
        taken, refused = await asyncio.to_thread(leavings.take, work, artifacts, given, program.limits.disk_bytes)
    return Ended(
        ending=Ending.OUTPUT_LIMIT if outputs.over else _ending(ended["by"], code),
        exit_code=code if code is not None and code >= 0 else None,
        signal=-code if code is not None and code < 0 else None,
        usage=Usage(wall_s=ended["wall_s"], cpu_s=ended["cpu_s"], peak_memory_bytes=ended["peak_bytes"]),
        artifacts=tuple(taken),
        refused=tuple(refused),
    )


def _ending(by: str, code: int | None) -> Ending:
    if by != "exit":
        return _BY[by]
    if code == 0:
        return Ending.OK
    return Ending.KILLED if code == -signal.SIGSYS else Ending.ERROR
