"""Faults of messages: twice, out of order, or none of ours."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from messaging import names
from messaging.dead_letter import Reason
from schemas.envelope import Envelope, message_type
from schemas.jobs.dead_letters_replay import DEAD_LETTERS_REPLAY
from schemas.jobs.system_probe import SYSTEM_PROBE
from tests.faults.fault import MOMENT_S, Fault, Scene
from tests.faults.history import Accepted, Seen, Wanted
from tests.faults.process_faults import KillAt
from tests.support.waiting import eventually

_PROBE_QUEUE = names.work_queue(SYSTEM_PROBE.name)
_MANY = 20


class Duplicates(Fault):
    """What was sent so far comes again in another order: events to the ledger, commands to the workers too."""

    name, part = "duplicates, out of order", "broker"

    async def inject(self, scene: Scene) -> bool:
        await scene.messages.read()
        seen = list(scene.messages.seen)
        scene.rng.shuffle(seen)
        commands = [s for s in seen if s.envelope and s.envelope.type == message_type(s.envelope.kind)]
        await scene.messages.send(seen[: len(seen) // 2], queue=names.LEDGER)
        for command in commands[: len(commands) // 4]:
            assert command.envelope is not None
            await scene.messages.send([command], queue=names.work_queue(command.envelope.kind))
        return bool(seen)


class Poison(Fault):
    """Bytes that are no message of ours, and a command whose body fits no contract, between all the others."""

    name, part = "poison", "broker"

    async def inject(self, scene: Scene) -> bool:
        await send_poison(scene)
        return True


class KillAtPoison(KillAt):
    """A failpoint on the way of a message that is given up on."""

    async def provoke(self, scene: Scene) -> None:
        await send_poison(scene)


class KillAtReplay(KillAt):
    """A failpoint in the replay of dead letters."""

    async def provoke(self, scene: Scene) -> None:
        """A job that dies and is replayed, to die once more in its next generation."""
        job_id = await send_poison(scene)

        async def dead() -> bool:
            with suppress(httpx.TransportError):
                return bool((await scene.cluster.client.get(f"/v1/jobs/{job_id}")).json().get("status") == "dead")
            return False

        await eventually(dead, within_s=MOMENT_S)
        letters = {"kind": SYSTEM_PROBE.name, "queue": _PROBE_QUEUE, "reason": Reason.UNDECODABLE}
        replay = Wanted(DEAD_LETTERS_REPLAY.name, {"filter": letters}, "succeeded", {"stopped_by_canary": False})
        await scene.load.submit(replay)


async def send_poison(scene: Scene) -> str:
    """Returns the one job among it: its command has an envelope, and dies."""
    garbage = [Seen(None, {}, scene.rng.randbytes(64)) for _ in range(_MANY)]
    scene.poison += len(garbage)
    await scene.messages.send(garbage, queue=_PROBE_QUEUE)
    await scene.messages.send([Seen(None, {"mr-job-id": "x"}, b"{")], queue=names.LEDGER)
    envelope, body = _misfit(), b'{"delay_s": "for ever"}'
    for queue in (names.LEDGER, _PROBE_QUEUE):
        await scene.messages.send([Seen(envelope, envelope.headers(), body)], queue=queue)
    wanted = Wanted(SYSTEM_PROBE.name, {"delay_s": "for ever"}, "dead")
    scene.load.accepted.append(Accepted(envelope.job_id, wanted, asyncio.get_running_loop().time()))
    return envelope.job_id


def _misfit() -> Envelope:
    job_id = uuid4().hex
    return Envelope(
        id=uuid4().hex,
        source="faults",
        type=message_type(SYSTEM_PROBE.name),
        subject=job_id,
        time=datetime.now(UTC),
        dataschema=SYSTEM_PROBE.command.dataschema,
        job_id=job_id,
        kind=SYSTEM_PROBE.name,
        principal="operator",
    )
