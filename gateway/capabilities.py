"""What a user can do while parts are away: a pure decision. `docs/degradation.md` says what each request answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from messaging import names
from messaging.inspection import QueueCount

State = Literal["ok", "degraded", "away"]


@dataclass(frozen=True)
class Surroundings:
    """What answers. `queues` is None while the broker does not."""

    store: bool
    redis: bool
    queues: Mapping[str, QueueCount] | None

    @property
    def broker(self) -> bool:
        return self.queues is not None

    @property
    def ledger(self) -> bool:
        """Whether somebody folds. Nobody can tell while the broker is away, and then there is nothing new to fold."""
        return self.queues is None or (names.LEDGER in self.queues and self.queues[names.LEDGER].consumers > 0)

    def unserved(self, kinds: Sequence[str]) -> list[str]:
        """Kinds of which jobs wait while no worker takes from their queue."""
        counts = {kind: (self.queues or {}).get(names.work_queue(kind)) for kind in kinds}
        return [kind for kind, count in counts.items() if count and count.ready and not count.consumers]


@dataclass(frozen=True)
class Capability:
    state: State
    needs: tuple[str, ...]
    how: str | None = None
    """In which way it is degraded, or why it is away."""


def capabilities(found: Surroundings, kinds: Sequence[str]) -> dict[str, Capability]:
    """By what a user does."""
    return {
        "submit": _submit(found, kinds),
        "read": _read(found),
        "live": _live(found),
        "cancel": _cancel(found),
        "dead-letters": _dead_letters(found),
        "why": _why(found),
    }


def overall(found: Mapping[str, Capability]) -> Literal["ok", "degraded", "unavailable"]:
    """Unavailable is a gateway that can neither accept nor read: one that can do either is of use to somebody."""
    if found["submit"].state == found["read"].state == "away":
        return "unavailable"
    return "ok" if all(capability.state == "ok" for capability in found.values()) else "degraded"


_BEHIND = "no ledger runs: what happens is kept by the broker and shown later"
_RECENT = "the store is away: only jobs that changed within the last minutes, from Redis"


def _submit(found: Surroundings, kinds: Sequence[str]) -> Capability:
    needs = ("broker",)
    if not found.broker:
        return Capability("away", needs, "the broker is away: nothing can be accepted")
    if unserved := found.unserved(kinds):
        return Capability("degraded", needs, f"accepted and waiting, for no worker runs {', '.join(unserved)}")
    return Capability("ok", needs)


def _read(found: Surroundings) -> Capability:
    needs = ("store", "ledger")
    if not found.store:
        state: State = "degraded" if found.redis else "away"
        return Capability(state, needs, _RECENT if found.redis else "store and Redis are away")
    return Capability("ok", needs) if found.ledger else Capability("degraded", needs, _BEHIND)


def _live(found: Surroundings) -> Capability:
    needs = ("redis", "store", "ledger")
    if not (found.redis or found.store):
        return Capability("away", needs, "store and Redis are away")
    if not found.redis:
        return Capability("degraded", needs, "Redis is away: streams and waits look at the store twice a second")
    if not found.store:
        return Capability("degraded", needs, "the store is away: nothing new is shown until it is back")
    return Capability("ok", needs) if found.ledger else Capability("degraded", needs, _BEHIND)


def _cancel(found: Surroundings) -> Capability:
    needs = ("broker", "store", "ledger")
    if not found.broker or not (found.store or found.redis):
        return Capability("away", needs, "the broker is away" if not found.broker else "store and Redis are away")
    if not found.store:
        return Capability("degraded", needs, _RECENT)
    return Capability("ok", needs) if found.ledger else Capability("degraded", needs, _BEHIND)


def _dead_letters(found: Surroundings) -> Capability:
    needs = ("store", "broker")
    if not found.store:
        return Capability("away", needs, "the store is away")
    return (
        Capability("ok", needs) if found.broker else Capability("degraded", needs, "they can be read, not replayed")
    )


def _why(found: Surroundings) -> Capability:
    needs = ("store", "broker")
    if not (found.store or found.redis):
        return Capability("away", needs, "store and Redis are away")
    if not found.store:
        return Capability("degraded", needs, "the store is away: leases, workers and position are not known")
    return Capability("ok", needs) if found.broker else Capability("degraded", needs, "queue counts are not known")
