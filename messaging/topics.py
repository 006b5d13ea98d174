"""Topics: what events are called on the broker, and patterns over them, as a topic exchange reads them."""

from collections.abc import Iterable
from functools import lru_cache

from messaging import names
from schemas.kinds import kinds
from schemas.lifecycle import LIFECYCLE_EVENTS
from schemas.topics import matches


class UnknownTopic(ValueError):
    """No event is called like this, so that whoever listens would listen for ever."""


def topics() -> list[str]:
    """What events may be called: every fact of every kind."""
    return [names.event_key(kind, event.fact) for kind in kinds() for event in LIFECYCLE_EVENTS]


@lru_cache(maxsize=1024)
def matching(pattern: str) -> frozenset[str]:
    """The topics that `pattern` covers: `*` stands for one word, `#` for any number of them. Raises UnknownTopic."""
    found = frozenset(topic for topic in topics() if matches(pattern, topic))
    if not found:
        raise UnknownTopic(f"no event is called {pattern!r}; topics are <kind>.<fact>, such as model.train.succeeded")
    return found


def all_matching(patterns: Iterable[str]) -> frozenset[str]:
    """Raises UnknownTopic."""
    return frozenset().union(*map(matching, patterns))
