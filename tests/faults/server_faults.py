"""Faults of the broker, the store and Redis."""

import signal

import psutil

from messaging import names
from millrace.stack.unit import Unit
from schemas.jobs.system_probe import SYSTEM_PROBE
from tests.faults.cluster import OTHER_WORKER, WORKER
from tests.faults.fault import EVERYTHING, MOMENT_S, Fault, Scene
from tests.faults.observer import depths
from tests.support.waiting import eventually

BROKER, STORE, REDIS = "broker", "store", "redis"
_DRAIN_S = 60.0
_PROBE_QUEUE = names.work_queue(SYSTEM_PROBE.name)
_IDLE_TIER = names.retry_tier(64)
"""No job of the load waits this long, so the tier can be replaced without losing one."""


def _server(scene: Scene, part: str) -> Unit:
    servers = scene.cluster.servers
    return {BROKER: servers.rabbitmq, STORE: servers.store, REDIS: servers.redis}[part]


class KillServer(Fault):
    """SIGKILL, and a start on the same data a while later."""

    def __init__(self, part: str, *, away_s: float = 0.0) -> None:
        self.name, self.part, self.lasts_s = f"kill {part}", part, away_s
        if away_s:
            self.name = f"{part} away for {away_s:g} s"

    async def inject(self, scene: Scene) -> bool:
        server = _server(scene, self.part)
        await server.settle()
        await server.kill()
        return True

    async def heal(self, scene: Scene) -> None:
        await _server(scene, self.part).start()


class FreezeServer(Fault):
    """It accepts connections and answers nothing: SIGSTOP, then SIGCONT."""

    lasts_s = 6.0

    def __init__(self, part: str) -> None:
        self.name, self.part = f"freeze {part}", part

    async def inject(self, scene: Scene) -> bool:
        self._send(scene, signal.SIGSTOP)
        return True

    async def heal(self, scene: Scene) -> None:
        self._send(scene, signal.SIGCONT)

    def _send(self, scene: Scene, number: signal.Signals) -> None:
        pid = _server(scene, self.part).pid
        assert pid is not None
        psutil.Process(pid).send_signal(number)


class MemoryAlarm(Fault):
    """The broker blocks everybody who publishes."""

    name, part, lasts_s = "memory alarm", BROKER, 4.0

    async def inject(self, scene: Scene) -> bool:
        await scene.cluster.rabbitmqctl("set_vm_memory_high_watermark", "0")
        return True

    async def heal(self, scene: Scene) -> None:
        await scene.cluster.rabbitmqctl("set_vm_memory_high_watermark", "0.4")


class FullQueue(Fault):
    """No worker is there, and the work queue takes no more: the broker refuses to confirm."""

    name, part, lasts_s = "full queue", EVERYTHING, 4.0
    _policy = "full"

    async def inject(self, scene: Scene) -> bool:
        pattern = f"^{_PROBE_QUEUE}$".replace(".", r"\.")
        policy: dict[str, object] = {"pattern": pattern, "apply-to": "queues", "definition": {"max-length": 5}}
        await scene.cluster.set_policy(self._policy, policy)
        for worker in (WORKER, OTHER_WORKER):
            await scene.cluster.processes[worker].stop()
        return True

    async def heal(self, scene: Scene) -> None:
        for worker in (WORKER, OTHER_WORKER):
            scene.cluster.processes[worker].start()

        async def drained() -> bool:
            return not (await depths(scene.cluster.broker_url))[_PROBE_QUEUE]

        # A policy that goes while the queue is full takes the all-clear with it: channels that were refused stay so
        # until they are opened again (RabbitMQ 3.10.8).
        await eventually(drained, within_s=_DRAIN_S, every_s=0.2)
        await scene.cluster.set_policy(self._policy, None)


class DeleteQueue(Fault):
    """Somebody deletes a work queue with everything in it, while it is consumed."""

    name, part, lasts_s = "delete a queue", EVERYTHING, 2.0

    async def inject(self, scene: Scene) -> bool:
        await scene.cluster.delete_queue(_PROBE_QUEUE)
        return True

    async def heal(self, scene: Scene) -> None:
        await scene.cluster.restore_topology()
        for worker in (WORKER, OTHER_WORKER):
            await scene.cluster.processes[worker].restart()


class DriftArguments(Fault):
    """A queue comes back with other arguments: whoever starts now says so and ends, instead of looping."""

    name, part = "drifted arguments", EVERYTHING

    async def inject(self, scene: Scene) -> bool:
        worker = scene.cluster.processes[WORKER]
        await scene.cluster.delete_queue(_IDLE_TIER)
        await scene.cluster.declare_queue(_IDLE_TIER, {"x-queue-type": "quorum", "x-message-ttl": 1})
        await worker.restart()

        async def refused() -> bool:
            tail = worker.log.read_text()[-4_000:]
            return "gave_up" in tail and f"queue {_IDLE_TIER}" in tail

        await eventually(refused, within_s=MOMENT_S)
        return True

    async def heal(self, scene: Scene) -> None:
        await scene.cluster.delete_queue(_IDLE_TIER)
        await scene.cluster.restore_topology()
