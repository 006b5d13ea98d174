"""Which trials are combined: greedy selection with replacement, by predictions out of fold.

R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.
"""

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from consumers.learning.frame import Array

_ROUNDS = 25
_MEMBERS = 5
"""Different ones: each costs its time in every prediction."""
_MOST_ROWS = 20_000
"""More tell the selection nothing, and cost a metric's time in each of its steps."""


def select(
    predictions: Mapping[int, Array], target: Array, loss: Callable[[Array, Array], float], seed: int
) -> dict[int, float]:
    """Weights by trial, adding up to 1, the largest first. `predictions` have one entry for each of `target`."""
    if len(target) > _MOST_ROWS:
        some = np.sort(np.random.default_rng([seed, 1]).choice(len(target), _MOST_ROWS, replace=False))
        predictions, target = {number: each[some] for number, each in predictions.items()}, target[some]
    chosen: list[int] = []
    total = np.zeros_like(next(iter(predictions.values())), dtype=np.float64)
    best_loss, best_size = np.inf, 0
    for size in range(1, _ROUNDS + 1):
        allowed = set(chosen) if len(set(chosen)) == _MEMBERS else set(predictions)
        losses = {number: loss(target, (total + predictions[number]) / size) for number in sorted(allowed)}
        number = min(losses, key=lambda each: losses[each])
        chosen.append(number)
        total += predictions[number]
        if losses[number] < best_loss:
            best_loss, best_size = losses[number], size
    counts = Counter(chosen[:best_size])
    return {
        number: times / best_size for number, times in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    }


def combined(predictions: Mapping[int, Array], weights: Mapping[int, float]) -> Array:
    """Their weighted mean."""
    parts = [weight * predictions[number].astype(np.float64) for number, weight in weights.items()]
    total: Array = np.sum(parts, axis=0)
    return total
