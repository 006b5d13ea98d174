"""The daemon between a consumer and its programs. It has no secret, owns cgroups and identities, and decides when a
program has had enough. `python -I -S -c "... inside.daemon.start()" FD` with its orders on that socket.

It works in a user namespace of its own where it may not mount as it is, so that an ordinary user can run it. It ends,
with everything below it, when the consumer does.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from typing import Any

from . import cgroups, kernel, wire
from .channel import Channel
from .identities import Identities
from .image import Image
from .polling import PolledGroups
from .supervision import Household, supervise
from .zygotes import Birth, Profile, ZygoteFailed, Zygotes

_CAP_SYS_ADMIN = 1 << 21


async def serve(orders: Channel, settings: dict[str, Any], own_namespace: bool) -> None:
    groups = (None if "cgroup" in settings["without"] else cgroups.find()) or PolledGroups()
    identities = Identities(shared=own_namespace)
    with tempfile.TemporaryDirectory(prefix="millrace-sandbox-", ignore_cleanup_errors=True) as scratch:
        birth = Birth(
            scratch=scratch,
            user=identities.zygote,
            may_change_user=not identities.single,
            without=tuple(settings["without"]),
            counted=not isinstance(groups, PolledGroups),
        )
        zygotes = Zygotes(_profiles(settings), birth, settings["jobs_per_zygote"])
        household = Household(groups, identities, zygotes, settings["cpus"])
        running: set[asyncio.Task[None]] = set()
        await orders.send({"is": "up", "counting": groups.kind, "single": identities.single})
        try:
            while (order := await orders.receive()) is not None:
                work = _warm(orders, order, zygotes) if order.body["is"] == "warm" else supervise(household, order)
                task = asyncio.create_task(work)
                running.add(task)
                task.add_done_callback(running.discard)
        finally:
            await zygotes.close()
            if running:
                await asyncio.wait(running, timeout=2)
            groups.close()


async def _warm(orders: Channel, order: wire.Message, zygotes: Zygotes) -> None:
    name = order.body["profile"]
    try:
        await zygotes.get(name)
        await orders.send({"is": "warm", "profile": name, "why": None})
    except ZygoteFailed as failure:
        await orders.send({"is": "warm", "profile": name, "why": str(failure), "call": failure.call})


def _profiles(settings: dict[str, Any]) -> dict[str, Profile]:
    found = {}
    for name, profile in settings["profiles"].items():
        packages = {folder: tuple(entries) for folder, entries in profile["packages"].items()}
        image = Image(settings["executable"], settings["prefix"], packages)
        found[name] = Profile(image, tuple(profile["preload"]))
    return found


def _take_namespace() -> bool:
    """Whether one was needed."""
    if kernel.effective_capabilities() & _CAP_SYS_ADMIN:
        kernel.unshare(kernel.CLONE_NEWNS)
        return False
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    for name, content in {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}.items():
        with open(f"/proc/self/{name}", "w") as told:
            told.write(content)
    return True


def start() -> None:
    held = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the consumer decides; a terminal tells both
    first = wire.receive(held)
    if first is None:
        return
    settings = json.loads(wire.content_of(first.descriptors[0]))
    wire.close(first.descriptors)
    try:
        own_namespace = _take_namespace()
    except OSError as error:
        with suppress(OSError):
            wire.send(held, {"is": "unavailable", "why": str(error), "call": error.filename})
        return
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)

    async def run() -> None:
        await serve(Channel(held), settings, own_namespace)

    asyncio.run(run())
