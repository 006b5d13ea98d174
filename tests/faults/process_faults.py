"""Faults of our own processes. Their keeper starts again what died."""

import signal
from contextlib import suppress

from tests.faults.cluster import OTHER_WORKER
from tests.faults.fault import EVERYTHING, MOMENT_S, Fault, Scene
from tests.faults.load import long_probe
from tests.support.waiting import eventually

_LONG_JOBS = 8
"""As many as the two workers run at a time, so that each has some."""


class Kill(Fault):
    """SIGKILL at any moment."""

    def __init__(self, target: str) -> None:
        self.name, self.part = f"kill {target}", target

    async def inject(self, scene: Scene) -> bool:
        await scene.cluster.processes[self.part].kill()
        return True


class KillAt(Fault):
    """SIGKILL where it hurts most: at a failpoint, the first or a later time that it is reached."""

    def __init__(self, failpoint: str, target: str, *, latest: int = 1) -> None:
        self.name, self.part = f"kill at {failpoint}", target
        self.failpoint, self._latest = failpoint, latest

    async def inject(self, scene: Scene) -> bool:
        process = scene.cluster.processes[self.part]
        before = len(process.endings)
        await process.restart(f"{self.failpoint}:{scene.rng.randint(1, self._latest)}")
        await process.ready()
        await self.provoke(scene)

        async def died() -> bool:
            return len(process.endings) > before

        with suppress(AssertionError):
            await eventually(died, within_s=MOMENT_S)
        return process.endings[before:] == [-signal.SIGKILL]

    async def provoke(self, scene: Scene) -> None:
        """The load reaches most failpoints by itself."""

    async def heal(self, scene: Scene) -> None:
        process = scene.cluster.processes[self.part]
        if process.armed:
            await process.restart()


class KillAtLapse(KillAt):
    """A failpoint on the way of a job whose worker is gone."""

    async def provoke(self, scene: Scene) -> None:
        """Long jobs, and the end of one of the two workers that may have them."""
        for _ in range(_LONG_JOBS):
            await scene.load.submit(long_probe(scene.rng, steps=20))
        await scene.cluster.processes[OTHER_WORKER].kill()


class Freeze(Fault):
    """SIGSTOP for longer than a lease, and than the broker waits for a sign of life; then SIGCONT."""

    lasts_s = 6.0

    def __init__(self, target: str) -> None:
        self.name, self.part = f"freeze {target}", target

    async def inject(self, scene: Scene) -> bool:
        scene.cluster.processes[self.part].freeze()
        return True

    async def heal(self, scene: Scene) -> None:
        scene.cluster.processes[self.part].thaw()


class RollingRestart(Fault):
    """Every process, one after the other, as a deployment does it."""

    name, part = "rolling restart", EVERYTHING

    async def inject(self, scene: Scene) -> bool:
        for process in scene.cluster.processes.values():
            await process.restart()
            await process.ready()
        return True
