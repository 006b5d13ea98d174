"""The retry policy: a pure decision from (attempt, limits), so that it is tested without a broker."""

import random
from bisect import bisect_left

from messaging.names import RETRY_TIERS_S

# One retry in four waits one tier longer, so that jobs which failed together do not come back together.
_JITTER = 0.25


def tier_of_at_least(seconds: float) -> int:
    """The shortest delay tier that is as long as that, else the longest."""
    return RETRY_TIERS_S[min(bisect_left(RETRY_TIERS_S, seconds), len(RETRY_TIERS_S) - 1)]


def next_delay_s(attempt: int, max_attempts: int, asked_s: float | None, rng: random.Random) -> int | None:
    """The delay tier in seconds after `attempt` (from 1) failed, or None when attempts are exhausted.

    Exponential: 1, 2, 4, ... up to the longest tier. `asked_s` raises the delay to a tier of at least that long.
    """
    if attempt >= max_attempts:
        return None
    tier = min(attempt - 1, len(RETRY_TIERS_S) - 1)
    if asked_s is not None:
        tier = max(tier, bisect_left(RETRY_TIERS_S, asked_s))
    if rng.random() < _JITTER:
        tier += 1
    return RETRY_TIERS_S[min(tier, len(RETRY_TIERS_S) - 1)]
