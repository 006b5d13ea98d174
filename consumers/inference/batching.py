"""Which waiting inputs form the next batch, and what to do when a batch fails. No clock, no event loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from consumers.inference.ports import Forwarded, Input, Vectors

Outcome = Vectors | Exception
"""What the model says of one input, or why there is nothing."""


class NotFinite(ValueError):
    """The model answered with NaN or infinity, which JSON cannot carry."""


def choose(lengths: Sequence[int], budget: int, *, padded: bool) -> list[int]:
    """The positions of the inputs that go next, `lengths` being in order of arrival.

    The oldest input always goes, also alone and over the budget. Without padding the others follow in order of
    arrival. With padding those nearest in length to the oldest go first, so an input may be overtaken, but only until
    it is the oldest.
    """
    return _nearest(lengths, budget) if padded else _oldest(lengths, budget)


def _oldest(lengths: Sequence[int], budget: int) -> list[int]:
    total = 0
    for position, length in enumerate(lengths):
        total += length
        if total > budget and position:
            return list(range(position))
    return list(range(len(lengths)))


def _nearest(lengths: Sequence[int], budget: int) -> list[int]:
    by_distance = sorted(range(len(lengths)), key=lambda position: abs(lengths[position] - lengths[0]))
    chosen: list[int] = []
    longest = 0
    for position in by_distance:
        width = max(longest, lengths[position])
        if chosen and width * (len(chosen) + 1) > budget:
            break
        chosen.append(position)
        longest = width
    return sorted(chosen)


@dataclass(frozen=True)
class Isolated:
    outcomes: list[Outcome]
    computed: int
    """Tokens that went through the network, padding included."""
    out_of_memory: bool = False
    """The batch as a whole was too large for the device."""
    run_s: float = 0.0


def forward_isolating(forward: Callable[[Sequence[Input]], Forwarded], batch: Sequence[Input]) -> Isolated:
    """One outcome per input. A batch that raises is halved until what fails stands alone."""
    try:
        done = forward(batch)
        if len(done.vectors) != len(batch):
            raise ValueError(f"{len(batch)} inputs gave {len(done.vectors)} vectors")
    except Exception as error:  # noqa: BLE001  whatever one input provokes must not reach the others' jobs
        if len(batch) == 1:
            return Isolated([error], 0)
        middle = len(batch) // 2
        left, right = forward_isolating(forward, batch[:middle]), forward_isolating(forward, batch[middle:])
        too_large = isinstance(error, MemoryError)
        return Isolated(left.outcomes + right.outcomes, left.computed + right.computed, too_large)
    return Isolated(list(done.vectors), done.computed)


def checked(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Exception) or np.isfinite(outcome).all():
        return outcome
    return NotFinite("the model's answer is not finite")
