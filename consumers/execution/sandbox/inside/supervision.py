"""One job from the daemon's side: who it is, what it may use, when it has had enough, how it ended."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from . import kernel, wire
from .cgroups import Group, Groups
from .channel import Channel, ended
from .identities import Identities
from .job import USER
from .zygotes import ZygoteFailed, Zygotes

_BIRTH_S = 30.0
_BATCH = 32


class Broken(Exception):
    """A fault that is not the program's."""


class CalledOff(Exception):
    """Whoever wanted it does not any more."""


@dataclass(frozen=True)
class Household:
    groups: Groups
    identities: Identities
    zygotes: Zygotes
    cpus: float


@dataclass
class Job:
    order: Mapping[str, Any]
    up: Channel
    """To the job's own processes, that of ours among them."""
    pidfd: int = -1
    """Of PID 1 in its namespace: that dead, all is."""
    began: float = 0.0
    killed_by: str | None = None
    killing: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self.began = time.monotonic()

    def forget(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)

    def kill(self, why: str) -> None:
        if self.killed_by is None:
            self.killed_by = why
            self.killing.set()


async def supervise(household: Household, order: wire.Message) -> None:
    """`order` brings the caller's own socket, what only we need to know, and what goes on to the job."""
    held, request, *passed = order.descriptors
    caller = Channel(socket.socket(fileno=held))
    try:
        asked = json_of(request)
        try:
            await _supervise(household, asked, caller, passed)
        except CalledOff:
            await caller.send({"is": "ended", "by": "cancel"})
        except (Broken, ZygoteFailed, OSError, RuntimeError) as error:
            await caller.send({"is": "fault", "why": f"{type(error).__name__}: {error}"})
    finally:
        wire.close(passed)
        caller.close()


def json_of(held: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wire.content_of(held))
    os.close(held)
    return found


async def _supervise(household: Household, asked: Mapping[str, Any], caller: Channel, passed: list[int]) -> None:
    with ExitStack() as stack:
        identity = household.identities.take()
        stack.callback(household.identities.give_back, identity)
        limits = {**asked["limits"], "cpus": household.cpus}
        group = household.groups.open(f"job-{os.urandom(6).hex()}", limits)
        stack.callback(group.close)
        up, theirs = Channel.pair(identify=True)
        stack.callback(up.close)
        with theirs:
            zygote = await household.zygotes.fork(asked["profile"], [theirs.fileno(), *passed])
        stack.callback(household.zygotes.leave, zygote)
        job = Job(asked, up)
        listening = asyncio.create_task(_listen(job, caller))
        stack.callback(listening.cancel)
        stack.callback(job.forget)
        async with asyncio.timeout(_BIRTH_S):
            await _bring_up(job, caller, group, identity)
        await let_run(job, group)
        await caller.send({"is": "ended", **await account(job, group)})


async def _bring_up(job: Job, caller: Channel, group: Group, identity: int) -> None:
    born = await expect(job, "born")
    group.attach(born.pid)
    _map(born.pid, identity)
    await job.up.send({"is": "mapped"})
    ready = await expect(job, "ready")
    try:
        job.pidfd = os.pidfd_open(ready.pid)
        group.follow(ready.pid, lambda: job.kill("memory"))
        await furnish(job)
        job.start()
        await job.up.send({"is": "go"})
        await caller.send({"is": "started"}, ready.descriptors)
    finally:
        wire.close(ready.descriptors)


def _map(pid: int, identity: int) -> None:
    for name, content in {
        "setgroups": "deny",
        "uid_map": f"{USER} {identity} 1",
        "gid_map": f"{USER} {identity} 1",
    }.items():
        with open(f"/proc/{pid}/{name}", "w") as told:
            told.write(content)


async def furnish(job: Job) -> None:
    files = list(job.order["files"].items())
    for first in range(0, len(files), _BATCH):
        batch = files[first : first + _BATCH]
        await _hand_over(job, "files", [name for name, _ in batch], [_open(path) for _, path in batch])
    for name, path in job.order["mounts"].items():
        await _hand_over(job, "mounts", [name], [kernel.tree(path)])


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


async def _hand_over(job: Job, what: str, names: list[str], held: list[int]) -> None:
    await job.up.send({"is": what, "names": names}, held)
    wire.close(held)
    await expect(job, "taken")


async def expect(job: Job, word: str) -> wire.Message:
    receiving = asyncio.create_task(job.up.receive())
    killing = asyncio.create_task(job.killing.wait())
    try:
        await asyncio.wait({receiving, killing}, return_when=asyncio.FIRST_COMPLETED)
        message = receiving.result() if receiving.done() else None
        if job.killed_by == "cancel":
            wire.close(message.descriptors if message else ())
            raise CalledOff
    finally:
        receiving.cancel()
        killing.cancel()
    if message is None:
        raise Broken(f"a job ended before it was {word}")
    if message.body["is"] != word:
        raise Broken(str(message.body.get("why", message.body)))
    return message


async def _listen(job: Job, caller: Channel) -> None:
    """To the caller: a word of it kills, and so does its end."""
    message = await caller.receive()
    job.kill(message.body["why"] if message else "cancel")


async def let_run(job: Job, group: Group) -> None:
    """Until all its processes are dead."""
    loop = asyncio.get_running_loop()
    deadline = loop.call_later(job.order["limits"]["wall_s"], job.kill, "timeout")
    ending = asyncio.create_task(ended(job.pidfd))
    killing = asyncio.create_task(job.killing.wait())
    try:
        await asyncio.wait({ending, killing}, return_when=asyncio.FIRST_COMPLETED)
        if not ending.done():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(job.pidfd, signal.SIGKILL)
            group.kill()
            await ending
    finally:
        deadline.cancel()
        ending.cancel()
        killing.cancel()


async def account(job: Job, group: Group) -> dict[str, Any]:
    wall_s = time.monotonic() - job.began
    last = await job.up.receive()  # whoever could write to it is dead
    over = last.body if last and last.body["is"] == "over" else {}
    if last and last.body["is"] == "fault":
        raise Broken(last.body["why"])
    counted = group.counted()
    by = "memory" if counted.out_of_memory else "exit" if over else job.killed_by
    if by is None:
        raise Broken("the processes of a job were killed from outside")
    return {
        "by": by,
        "status": over.get("status"),
        "wall_s": wall_s,
        "cpu_s": max(counted.cpu_s, over.get("cpu_s", 0.0)),
        "peak_bytes": counted.peak_bytes or over.get("peak_bytes", 0),
    }
