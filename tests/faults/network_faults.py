"""Faults between one process and the broker, done by the proxy that stands there."""

from tests.faults.fault import MOMENT_S, Fault, Scene
from tests.faults.proxy import Direction
from tests.support.waiting import eventually


class LoseAck(Fault):
    """The next acknowledgement in one direction never arrives."""

    direction: Direction

    async def inject(self, scene: Scene) -> bool:
        proxy = scene.cluster.processes[self.part].proxy
        before = proxy.lost
        proxy.lose_acks(self.direction)

        async def lost() -> bool:
            return proxy.lost > before

        try:
            await eventually(lost, within_s=MOMENT_S)
        except AssertionError:
            return False
        finally:
            proxy.lose_no_more()
        return True


class DropConfirm(LoseAck):
    """The broker has the message, and its publisher is never told."""

    direction = Direction.TO_CLIENT

    def __init__(self, target: str) -> None:
        self.name, self.part = f"drop a confirm to {target}", target


class DropAck(LoseAck):
    """The consumer is done with a message and the broker never learns it: it delivers again after the connection."""

    direction = Direction.TO_SERVER
    lasts_s = 1.0

    def __init__(self, target: str) -> None:
        self.name, self.part = f"drop an ack of {target}", target

    async def heal(self, scene: Scene) -> None:
        scene.cluster.processes[self.part].proxy.cut()


class HalfOpen(Fault):
    """Today's connections carry nothing any more and neither end is told; or only the one that publishes."""

    def __init__(self, target: str, *, publishing_only: bool = False) -> None:
        which = "publishing connection" if publishing_only else "connections"
        self.name, self.part, self._publishing_only = f"half-open {which} of {target}", target, publishing_only

    async def inject(self, scene: Scene) -> bool:
        proxy = scene.cluster.processes[self.part].proxy
        return proxy.go_silent(publishing_only=self._publishing_only) > 0


class Reset(Fault):
    """Today's connections are reset."""

    def __init__(self, target: str) -> None:
        self.name, self.part = f"reset connections of {target}", target

    async def inject(self, scene: Scene) -> bool:
        return scene.cluster.processes[self.part].proxy.cut() > 0
