"""How an attempt to tell somebody came out."""

from dataclasses import dataclass
from typing import Any, Protocol

from consumers.notifications.notice import Notice


@dataclass(frozen=True)
class Receipt:
    taken: bool
    status: int | None = None
    error: str | None = None
    response: str = ""
    duration_s: float = 0.0
    request: dict[str, Any] | None = None
    """What was sent, as the log keeps it."""
    retry_after_s: float | None = None
    refusal: str | None = None
    """A problem slug, where trying again cannot help."""
    held: bool = False
    """It waits for a digest."""


def refused(slug: str, why: str, **more: Any) -> Receipt:
    return Receipt(taken=False, error=why, refusal=slug, **more)


class Teller(Protocol):
    """One channel."""

    async def tell(self, notice: Notice, target: str, principal: str, delivery: str) -> Receipt:
        """Tell one receiver, who must be this person's. `delivery` names the attempt's entry in the log. Never raises
        for what the receiver does."""
