"""Topics of events, as AMQP's topic exchanges understand them: words between dots, `*` for one, `#` for any number.

The key of an event is `<kind>.<fact>`, such as `model.train.succeeded`.
"""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from schemas.lifecycle import LIFECYCLE_EVENTS
from schemas.patterns import Pattern

ENDS = tuple(event.fact for event in LIFECYCLE_EVENTS if event.state.terminal)
"""The facts that end a job."""
FACT_OF = {event.state: event.fact for event in LIFECYCLE_EVENTS if event.state.terminal}

_WORD = r"(?:[a-z0-9_-]+|\*|#)"


def matches(topic: str, key: str) -> bool:
    return _match(topic.split("."), key.split("."))


def _match(topic: list[str], key: list[str]) -> bool:
    if not topic:
        return not key
    if topic[0] == "#":
        return any(_match(topic[1:], key[start:]) for start in range(len(key) + 1))
    return bool(key) and topic[0] in ("*", key[0]) and _match(topic[1:], key[1:])


def ending(topic: str) -> tuple[str, ...]:
    """The same topic narrowed to ends of jobs: what of it can match nothing else. Empty when none can match."""
    *before, last = topic.split(".")
    if last == "#":
        return tuple(".".join([*before, "#", fact]) for fact in ENDS)
    return tuple(".".join([*before, fact]) for fact in ENDS if last in ("*", fact))


def _of_an_end(topic: str) -> str:
    if not ending(topic):
        raise ValueError(f"no job ends so: the last word is `*`, `#` or one of {', '.join(ENDS)}")
    return topic


EndTopic = Annotated[
    str,
    StringConstraints(max_length=100),
    Pattern(
        rf"^{_WORD}(?:\.{_WORD}){{0,8}}$",
        "a topic such as 'model.train.*': up to nine words between dots, each of small letters, digits, '_' and '-', "
        "or '*' for any word, or '#' for any number of words",
    ),
    AfterValidator(_of_an_end),
]
"""A topic that the end of a job can match."""
