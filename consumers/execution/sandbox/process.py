"""The daemon's process, from outside: starting it, asking it for something, stopping it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumers.execution.sandbox.inside import wire
from consumers.execution.sandbox.inside.channel import Channel
from consumers.execution.sandbox.packages import entries, missing
from consumers.execution.sandbox.ports import SandboxUnavailable
from consumers.execution.sandbox.remedies import remedy
from consumers.execution.sandbox.settings import MODELS, SandboxSettings
from schemas.execution import Packages

_START_S = 60.0
_STOP_S = 5.0
_BOOT = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from inside.daemon import start; start()"


@dataclass(frozen=True)
class Daemon:
    process: asyncio.subprocess.Process
    orders: Channel
    counting: str
    own_identities: bool


async def start(settings: SandboxSettings, without: frozenset[str]) -> Daemon:
    """Raises SandboxUnavailable when it cannot do its work here."""
    orders, theirs = Channel.pair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(interpreter(), "-I", "-S", "-B", "-c", _BOOT, str(Path(__file__).parent), str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env={"LANG": "C.UTF-8"},
            cwd="/",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        made = wire.memory_file(json.dumps(_configuration(settings, without)).encode(), "settings")
        await orders.send({"is": "settings"}, [made])
        os.close(made)
        async with asyncio.timeout(_START_S):
            up = await _expect(orders)
            for profile in settings.warm:
                await orders.send({"is": "warm", "profile": profile.value})
                await _expect(orders)
    except BaseException:
        await _end(process, orders)
        raise
    return Daemon(process, orders, up["counting"], not up["single"])


async def stop(daemon: Daemon) -> None:
    """With everything that runs."""
    await _end(daemon.process, daemon.orders)


async def _expect(orders: Channel) -> Mapping[str, Any]:
    message = await orders.receive()
    if message is None:
        raise SandboxUnavailable("the sandbox's daemon ended at its start; its log says why")
    if why := message.body.get("why"):
        raise SandboxUnavailable(f"{why}. {remedy(message.body.get('call'))}")
    return message.body


async def _end(process: asyncio.subprocess.Process, orders: Channel) -> None:
    orders.close()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        await process.wait()


def _configuration(settings: SandboxSettings, without: frozenset[str]) -> dict[str, Any]:
    executable = Path(interpreter()).resolve()
    profiles: dict[str, dict[str, Any]] = {}
    for packages in Packages:
        if missing(settings.needed(packages)):
            continue
        profiles[packages.value] = {
            "packages": entries(settings.distributions[packages]),
            "preload": settings.preload[packages],
        }
    if torch := profiles.get(Packages.TORCH.value):
        profiles[MODELS] = {**torch, "preload": (*torch["preload"], *settings.preload_models)}
    return {
        "executable": str(executable),
        "prefix": str(Path(sys.base_prefix).resolve()),
        "profiles": profiles,
        "jobs_per_zygote": settings.jobs_per_zygote,
        "cpus": settings.cpus,
        "without": sorted(without),
    }


def interpreter() -> str:
    """The one below the virtual environment."""
    return str(getattr(sys, "_base_executable", sys.executable))
