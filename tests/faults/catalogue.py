"""Every fault there is, and how a seed draws from them."""

import random

from tests.faults.cluster import GATEWAY, LEDGER, LETTERS, REAPER, WORKER
from tests.faults.fault import EVERYTHING, Fault
from tests.faults.message_faults import Duplicates, KillAtPoison, KillAtReplay, Poison
from tests.faults.network_faults import DropAck, DropConfirm, HalfOpen, Reset
from tests.faults.process_faults import Freeze, Kill, KillAt, KillAtLapse, RollingRestart
from tests.faults.server_faults import (
    BROKER,
    REDIS,
    STORE,
    DeleteQueue,
    DriftArguments,
    FreezeServer,
    FullQueue,
    KillServer,
    MemoryAlarm,
)

CATALOGUE: tuple[Fault, ...] = (
    Kill(GATEWAY),
    Kill(WORKER),
    Kill(LEDGER),
    Kill(LETTERS),
    Kill(REAPER),
    KillAt("gateway.before-publish", GATEWAY, latest=5),
    KillAt("gateway.after-confirm", GATEWAY, latest=5),
    KillAt("worker.before-handle", WORKER, latest=10),
    KillAt("worker.before-outcome", WORKER, latest=10),
    KillAt("worker.after-outcome", WORKER, latest=10),
    KillAt("worker.before-retry", WORKER, latest=2),
    KillAtPoison("worker.before-bury", WORKER),
    KillAt("claim.before", WORKER),
    KillAt("claim.before-ack", WORKER),
    KillAt("settle.before", WORKER),
    KillAt("settle.before-publish", WORKER),
    KillAt("settle.before-finish", WORKER),
    KillAtLapse("reaper.before-republish", REAPER),
    KillAtLapse("reaper.after-republish", REAPER),
    KillAt("ledger.before-fold", LEDGER, latest=5),
    KillAt("ledger.before-ack", LEDGER, latest=5),
    KillAtPoison("dead-letters.before-store", LETTERS),
    KillAtPoison("dead-letters.before-ack", LETTERS),
    KillAtReplay("replay.before-mark", LETTERS),
    KillAtReplay("replay.before-publish", LETTERS),
    Freeze(GATEWAY),
    Freeze(WORKER),
    Freeze(LEDGER),
    Freeze(REAPER),
    RollingRestart(),
    DropConfirm(GATEWAY),
    DropConfirm(WORKER),
    DropAck(WORKER),
    DropAck(LEDGER),
    HalfOpen(GATEWAY),
    HalfOpen(WORKER),
    HalfOpen(WORKER, publishing_only=True),
    HalfOpen(LEDGER),
    Reset(GATEWAY),
    Reset(WORKER),
    Reset(LEDGER),
    KillServer(BROKER),
    MemoryAlarm(),
    FullQueue(),
    DeleteQueue(),
    DriftArguments(),
    KillServer(STORE),
    KillServer(STORE, away_s=20.0),
    FreezeServer(STORE),
    KillServer(REDIS),
    FreezeServer(REDIS),
    Duplicates(),
    Poison(),
)

_STRIKES = 3
_TOGETHER = 0.4
"""How often a second fault strikes while the first one does."""


def draw(rng: random.Random) -> list[list[Fault]]:
    """What strikes one after the other in one seed, and what strikes together."""
    return [_together(rng) for _ in range(_STRIKES)]


def _together(rng: random.Random) -> list[Fault]:
    first = rng.choice(CATALOGUE)
    others = [fault for fault in CATALOGUE if fault.part not in (first.part, EVERYTHING)]
    alone = first.part == EVERYTHING or rng.random() >= _TOGETHER
    return [first] if alone else [first, rng.choice(others)]
