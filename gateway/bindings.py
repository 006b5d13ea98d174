"""What the queue of notifications gets: the topics that somebody asks for, and no others, so that events which nobody
is told of cost nothing."""

from collections.abc import Iterable

from gateway.dependencies import Parts
from messaging import names
from producers.notifications import keys_of, wanted_keys


async def follow(parts: Parts, topics: Iterable[str]) -> None:
    """From now on; the rule that wants them is stored next. Raises BrokerUnavailable."""
    await parts.bindings.bind(names.NOTIFICATIONS, names.EVENTS, sorted(keys_of(set(topics))))


async def forget(parts: Parts, topics: Iterable[str]) -> None:
    """As far as nobody else wants them; the rule that wanted them is gone already. Raises BrokerUnavailable,
    StoreUnavailable."""
    unwanted = keys_of(set(topics)) - await wanted_keys(parts.database)
    await parts.bindings.unbind(names.NOTIFICATIONS, names.EVENTS, sorted(unwanted))
