"""Which walls stand on this host, and what would raise those that do not."""

from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from consumers.execution.sandbox import canary
from consumers.execution.sandbox.bubblewrap import BubblewrapSandbox
from consumers.execution.sandbox.inside import landlock
from consumers.execution.sandbox.opening import enter_best
from consumers.execution.sandbox.packages import missing
from consumers.execution.sandbox.ports import SandboxUnavailable, Tier
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import ZygoticSandbox
from schemas.execution import Packages


@dataclass(frozen=True)
class Layer:
    name: str
    held: bool
    found: str
    remedy: str | None = None


@dataclass(frozen=True)
class Examination:
    tier: Tier | None
    """None: no program is run here."""
    why: str | None
    layers: tuple[Layer, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def examine(settings: SandboxSettings) -> Examination:
    try:
        async with AsyncExitStack() as stack:
            sandbox = await enter_best(settings, stack)
            could = await canary.sing(sandbox)
            layers = (*_walls(could), _landlock(), _counting(sandbox), _identities(sandbox), *_profiles(settings))
    except SandboxUnavailable as unavailable:
        return Examination(None, str(unavailable), (_landlock(), *_profiles(settings)))
    return Examination(sandbox.tier, None, layers)


def _walls(could: dict[str, bool]) -> list[Layer]:
    """What the canary promised not to be able to do, and tried."""
    return [
        Layer(
            name,
            held=not could[what],
            found="refused" if not could[what] else what,
            remedy=None if not could[what] else remedy,
        )
        for what, (name, remedy) in canary.PROMISES.items()
    ]


def _landlock() -> Layer:
    version = landlock.abi()
    remedy = (
        None if version >= 6 else "Linux 6.12 or newer with `landlock` among its security modules (lsm=landlock,...)"
    )
    return Layer("Landlock", version > 0, f"version {version}" if version else "none", remedy)


def _counting(sandbox: ZygoticSandbox | BubblewrapSandbox) -> Layer:
    held = sandbox.counting.startswith("cgroup")
    remedy = (
        "Memory is looked at, not bounded by the kernel. On a host: a systemd unit with Delegate=yes, or root. "
        "In a container: a writable cgroup namespace (Docker: --cgroupns=private and a writable /sys/fs/cgroup)"
    )
    return Layer("cgroups", held, sandbox.counting, None if held else remedy)


def _identities(sandbox: ZygoticSandbox | BubblewrapSandbox) -> Layer:
    held = sandbox.own_identities
    remedy = (
        "Programs run as the worker's own user. As root, also inside a container's user namespace, each has its own"
    )
    return Layer("a user per program", held, "a range" if held else "one for all", None if held else remedy)


def _profiles(settings: SandboxSettings) -> list[Layer]:
    found = []
    for packages in Packages:
        absent = missing(settings.needed(packages))
        shown = f"{', '.join(sorted(absent))} not installed" if absent else "installed"
        remedy = f"pip install {' '.join(sorted(absent))}" if absent else None
        found.append(Layer(f"profile {packages.value}", not absent, shown, remedy))
    return found
