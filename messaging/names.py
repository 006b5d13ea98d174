"""Every name on the broker is made here and nowhere else."""

from uuid import uuid4

PREFIX = "mr."

COMMANDS = PREFIX + "commands"
EVENTS = PREFIX + "events"
LEDGER = PREFIX + "ledger"
NOTIFICATIONS = PREFIX + "notifications"
DEAD = PREFIX + "dead"
CONTROL = PREFIX + "control"
SUBSCRIPTIONS = PREFIX + "sub."
DEFAULT_EXCHANGE = ""

RETRY_TIERS_S = (1, 2, 4, 8, 16, 32, 64)
"""Delays of the retry tiers in seconds."""


def work_queue(kind: str) -> str:
    return f"{PREFIX}work.{kind}"


def subscription(name: str) -> str:
    """The queue of a subscriber, and the user who may read it."""
    return f"{SUBSCRIPTIONS}{name}"


def control_queue() -> str:
    """A name for one process' ear on the control exchange."""
    return f"{CONTROL}.{uuid4().hex}"


def retry_tier(delay_s: int) -> str:
    """Exchange and queue of one delay share this name."""
    return f"{PREFIX}retry.{delay_s}s"


def event_key(kind: str, fact: str) -> str:
    """Routing key of an event. Ids never go in here: metrics are labelled by it."""
    return f"{kind}.{fact}"
