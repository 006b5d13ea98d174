"""What to try next: the default settings of every trainer first, then settings that Optuna's TPE draws.

The n-th proposal is a function of the seed, of n, and of the trials before it: for each there is a study of its own,
with the history put in. So a search that was resumed goes on exactly as it would have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution

from consumers.learning.plugins import Config, Problem, Trainer
from consumers.training.state import Trial

BASELINE = "dummy"
# The baseline costs nothing and is what everything is measured by; then those that are good on most texts and tables,
# so that a short budget has seen them; then those that are slower, or good on few. Others follow by name.
_ORDER = (
    BASELINE,
    "tfidf-linear",
    "transformer",
    "hist-gradient-boosting",
    "lightgbm",
    "linear",
    "extra-trees",
    "random-forest",
    "mlp",
    "neighbors",
)
_STARTUP = 4
"""Trials of a trainer that are drawn at random before TPE has something to go by."""
_DRAWS = 20
"""So many draws in a row that were all tried before: there is nothing left to try."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Proposal:
    trainer: str
    config: Config
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, str] = field(default_factory=dict)


class Proposals:
    def __init__(self, trainers: Mapping[str, Trainer[Any, Any]], problem: Problem, rows: int, seed: int) -> None:
        self._trainers, self._problem, self._rows, self._seed = trainers, problem, rows, seed
        fitting = [name for name, each in trainers.items() if problem.task in each.tasks]
        self._searched = sorted(filter(self._takes_part, fitting), key=_rank)
        self.portfolio = [name for name in sorted(fitting, key=_rank) if name == BASELINE or name in self._searched]

    def next(self, history: Sequence[Trial]) -> Proposal | None:
        """None when everything was tried."""
        number = len(history)
        if number < len(self.portfolio):
            name = self.portfolio[number]
            return Proposal(name, self._trainers[name].config())
        chances = self._chances(history)
        for draw in range(_DRAWS if chances else 0):
            rng = np.random.default_rng([self._seed, number, draw])
            name = str(rng.choice(list(chances), p=list(chances.values())))
            proposal = self._drawn(name, history, int(rng.integers(2**32)))
            if proposal is not None and not _tried(proposal, history):
                return proposal
        return None

    def _chances(self, history: Sequence[Trial]) -> dict[str, float]:
        """The trainer with the best trial has half of the chances, the next half of the rest, and so on: where one
        kind of model is better, most time goes there, and none is given up."""
        best: dict[str, float] = {}
        for trial in history:
            if trial.trainer in self._searched and trial.folds and trial.failure is None:
                best[trial.trainer] = min(best.get(trial.trainer, np.inf), trial.loss)
        weights = {name: 2.0**-rank for rank, name in enumerate(sorted(best, key=lambda name: best[name]))}
        return {name: weight / sum(weights.values()) for name, weight in weights.items()}

    def _drawn(self, name: str, history: Sequence[Trial], seed: int) -> Proposal | None:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True)
        study = optuna.create_study(sampler=sampler)
        study.add_trials([_frozen(trial) for trial in history if trial.trainer == name and trial.params])
        trial = study.ask()
        config = self._trainers[name].suggest(trial, self._problem, self._rows)
        if config is None:
            return None
        distributions = {key: distribution_to_json(each) for key, each in trial.distributions.items()}
        return Proposal(name, config, trial.params, distributions)

    def _takes_part(self, name: str) -> bool:
        return self._drawn(name, [], seed=0) is not None


def _rank(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _tried(proposal: Proposal, history: Sequence[Trial]) -> bool:
    config = proposal.config.model_dump(mode="json")
    return any(trial.trainer == proposal.trainer and trial.config == config for trial in history)


def _frozen(trial: Trial) -> optuna.trial.FrozenTrial:
    distributions: dict[str, BaseDistribution] = {
        key: json_to_distribution(each) for key, each in trial.distributions.items()
    }
    failed = trial.failure is not None
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
        value=None if failed else trial.loss,
        params=trial.params,
        distributions=distributions,
    )
