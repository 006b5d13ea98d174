"""Fitting in chunks: as far as the validation rows say, or as far as is known."""

from collections.abc import Callable
from typing import Any

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Matrix, Problem, Trainer
from consumers.training.state import Fit, FoldScore

PATIENCE = 4
"""So many judgements in a row without a better score end a fit."""


class TrialFailed(Exception):
    """Nothing can be expected of these settings; the search goes on."""


def fit_judged(
    fit: Fit,
    trainer: Trainer[Any, Any],
    config: Config,
    problem: Problem,
    train: tuple[Matrix, Array],
    valid: tuple[Matrix, Array],
    loss: Callable[[Array, Array], float],
    between: Callable[[], bool],
) -> tuple[FoldScore, Array]:
    """Go on with `fit` until the validation loss stops falling, or `between` chunks says that it is enough. The best
    score, and what was predicted then. Raises TrialFailed."""
    _take_up(fit, trainer, config, problem)
    while not _judged_enough(fit):
        worth_judging = _chunk(fit, trainer, train)
        if worth_judging or fit.fraction >= 1:
            _judge(fit, trainer, valid, loss)
        if between():
            if not worth_judging:
                _judge(fit, trainer, valid, loss)
            break
    if fit.best is None or fit.predicted is None:
        raise TrialFailed("there is nothing to fit")
    return fit.best, fit.predicted


def _judge(
    fit: Fit, trainer: Trainer[Any, Any], valid: tuple[Matrix, Array], loss: Callable[[Array, Array], float]
) -> None:
    predicted = trainer.predict(fit.state, valid[0]).astype(np.float32)
    found = loss(valid[1], predicted) if np.isfinite(predicted).all() else np.nan
    if not np.isfinite(found):
        raise TrialFailed("it predicts what is no number")
    fit.judged += 1
    if fit.best is None or found < fit.best.loss:
        fit.best = FoldScore(loss=found, fraction=fit.fraction)
        fit.judged, fit.predicted = 0, predicted


def fit_for(
    fit: Fit,
    fraction: float,
    trainer: Trainer[Any, Any],
    config: Config,
    problem: Problem,
    train: tuple[Matrix, Array],
    between: Callable[[], None],
) -> bytes:
    """Go on with `fit` until it is as near to `fraction` as chunks allow. What its trainer dumps."""
    _take_up(fit, trainer, config, problem)
    while fit.chunks == 0 or (fit.fraction < 1 and fit.fraction * (1 + 0.5 / fit.chunks) < fraction):
        _chunk(fit, trainer, train)
        between()
    return trainer.dump(fit.state)


def _take_up(fit: Fit, trainer: Trainer[Any, Any], config: Config, problem: Problem) -> None:
    if fit.state is None:
        fit.state = trainer.start(config, problem) if fit.dump is None else trainer.load(fit.dump)


def _judged_enough(fit: Fit) -> bool:
    return fit.fraction >= 1 or fit.judged >= PATIENCE


def _chunk(fit: Fit, trainer: Trainer[Any, Any], train: tuple[Matrix, Array]) -> bool:
    """Whether it is worth judging."""
    fitted = trainer.fit(fit.state, *train)
    fit.state, fit.fraction, fit.chunks, fit.dump = fitted.state, fitted.fraction, fit.chunks + 1, None
    return fitted.worth_judging
