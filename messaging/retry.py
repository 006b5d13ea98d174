"""The retry policy: a pure decision from (attempt, limits), so that it is tested without a broker."""

import random
from bisect import bisect_left
from collections.abc import Sequence

from messaging.names import RETRY_TIERS_S

# One retry in four waits one tier longer, so that jobs which failed together do not come back together.
_JITTER = 0.25


def tier_of_at_least(seconds: float) -> int:
    """The shortest delay tier that is as long as that, else the longest."""
    return RETRY_TIERS_S[min(bisect_left(RETRY_TIERS_S, seconds), len(RETRY_TIERS_S) - 1)]


def next_delay_s(
    attempt: int, max_attempts: int, asked_s: float | None, rng: random.Random, backoff_s: Sequence[int] = ()
) -> int | None:
    """The delay in seconds after `attempt` (from 1) failed, or None when attempts are exhausted.

    A delay tier: exponential, 1, 2, 4, ... up to the longest. `asked_s` raises the delay to a tier of at least that
    long. With a `backoff_s` of its own a kind may also wait longer than any tier: see `beyond_tiers`.
    """
    if attempt >= max_attempts:
        return None
    if backoff_s:
        wanted_s = max(backoff_s[min(attempt, len(backoff_s)) - 1], asked_s or 0)
        if beyond_tiers(wanted_s):
            return round(wanted_s * (1 + _JITTER * rng.random()))
        asked_s, attempt = wanted_s, 1
    tier = min(attempt - 1, len(RETRY_TIERS_S) - 1)
    if asked_s is not None:
        tier = max(tier, bisect_left(RETRY_TIERS_S, asked_s))
    if rng.random() < _JITTER:
        tier += 1
    return RETRY_TIERS_S[min(tier, len(RETRY_TIERS_S) - 1)]


def beyond_tiers(delay_s: float) -> bool:
    """Whether no delay tier is as long, so that the attempt waits in the store."""
    return delay_s > RETRY_TIERS_S[-1]
