"""A training from top to bottom: divide, search, combine, fit, measure, tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consumers.learning import spans
from consumers.learning.features import Features, choices
from consumers.learning.frame import Array, Frame
from consumers.learning.metrics import DEFAULTS
from consumers.learning.plugins import Encoding, Matrix, Metric, Problem, Trainer
from consumers.learning.registry import chosen, configured, metrics, trainers
from consumers.learning.rows import typical_row
from consumers.learning.table import Table
from consumers.runtime.handler import ChildTask
from consumers.runtime.verdicts import Reject
from consumers.training import ensemble
from consumers.training.bench import Bench, FeatureCache
from consumers.training.importance import Judge, importances
from consumers.training.logbook import Logbook
from consumers.training.members import DoesNotFit, Members
from consumers.training.proposals import BASELINE, Proposal, Proposals
from consumers.training.search import Propose, Search
from consumers.training.settings import TrainingSettings
from consumers.training.splits import Fold, Rows, divide
from consumers.training.state import TOO_LARGE, State
from schemas.jobs.model_train import MODEL_TRAIN, TrainModel
from schemas.learning import LearningTask
from schemas.model_card import Importance

_CACHE_SHARE = 0.25
"""Of the memory that the job may take."""
_JUDGES = 2
"""Of the folds, that columns are judged by: each costs a fit of every member."""


@dataclass(frozen=True)
class Evaluated:
    """What was predicted for rows that the model was not fitted on."""

    by_holdout: bool
    target: Array
    predicted: Array
    baseline: Array
    importances: list[Importance]


@dataclass(frozen=True)
class Trained:
    metric: Metric
    problem: Problem
    state: State
    weights: Mapping[int, float]
    evaluated: Evaluated
    seconds: float


def train(task: ChildTask[TrainModel], table: Table, settings: TrainingSettings, into: Path) -> Trained:
    """Writes the model to `into`. Raises Reject for parameters that do not fit, and when nothing could be fitted."""
    params, signature = task.params, table.signature
    classes = len(signature.classes or [])
    problem = Problem(signature.task, classes, params.seed, settings.threads)
    if signature.task is LearningTask.TOKEN_CLASSIFICATION and params.split.repeats > 1:
        raise Reject("/params/split/repeats: entities cannot be averaged over repeats; leave it at 1")
    metric = _metric(params, signature.task)
    chosen_features = choices(signature.inputs, params.preprocess)
    division = divide(table.target, signature.task.classifies, params.split, table.split_by, params.seed)

    def fit_features(frame: Frame, target: Array, encoding: Encoding) -> tuple[Features, Matrix]:
        return Features.fitted(frame, target, signature.inputs, chosen_features, encoding, problem)

    cache = FeatureCache(fit_features, int(params.memory_mb * 2**20 * _CACHE_SHARE))
    bench = Bench(problem, trainers(), metric, table.frame, table.target, division, cache)
    log = _logbook(task, bench, settings)
    propose, most = _proposals(params, bench)
    search = Search(bench, propose, log, most)
    if task.envelope.attempt == MODEL_TRAIN.max_attempts:
        search.drop_what_ran("the process ended in it")
    search.run()

    cache.clear()
    members = Members(bench, fit_features, signature, typical_row(table.frame, signature), log)
    while True:
        weights = _weights(bench, log.state, params)
        try:
            evaluated = _evaluated(bench, members, weights, log, settings.importances_s)
            # The model was judged without the holdout, and is fitted with it: more rows make it better rather than
            # worse, so the figures are those of a model that is no better than the one that is kept.
            members.fitted("final", weights, np.arange(table.frame.rows)).save(into)
        except DoesNotFit as error:
            search.drop(error.number, TOO_LARGE)
        else:
            return Trained(metric, problem, log.state, weights, evaluated, log.elapsed_s)


def _metric(params: TrainModel, task: LearningTask) -> Metric:
    found = chosen(metrics(), params.metric or DEFAULTS[task], "/params/metric")
    if task not in found.tasks:
        fitting = ", ".join(sorted(name for name, each in metrics().items() if task in each.tasks))
        raise Reject(f"/params/metric: {found.name!r} does not measure a {task} task; those that do are {fitting}")
    return found


def _logbook(task: ChildTask[TrainModel], bench: Bench, settings: TrainingSettings) -> Logbook:
    state = State() if task.resumed_from is None else State.load(task.resumed_from)
    return Logbook(
        state,
        bench.trainers,
        keep=task.checkpoint,
        tell=task.progress,
        finishing=task.finishing,
        budget_s=task.params.budget_s,
        every_s=settings.checkpoint_s,
        careful=task.envelope.attempt > 1,
    )


def _proposals(params: TrainModel, bench: Bench) -> tuple[Propose, int | None]:
    """What to try, and at most how much of it."""
    if params.trainer == "auto":
        if params.config:
            raise Reject("/params/config: auto chooses the settings itself; leave them out, or name a trainer")
        proposals = Proposals(bench.trainers, bench.problem, bench.frame.rows, params.seed)
        return proposals.next, params.max_trials
    trainer: Trainer[Any, Any] = chosen(bench.trainers, params.trainer, "/params/trainer")
    if bench.problem.task not in trainer.tasks:
        fitting = ", ".join(sorted(name for name, each in bench.trainers.items() if bench.problem.task in each.tasks))
        detail = f"{trainer.name!r} cannot learn a {bench.problem.task} task; those that can are auto, {fitting}"
        raise Reject(f"/params/trainer: {detail}")
    only = Proposal(trainer.name, configured(trainer, params.config, "/params/config"))
    return lambda _history: only, 1


def _weights(bench: Bench, state: State, params: TrainModel) -> dict[int, float]:
    if not state.predictions:
        failures = "; ".join(sorted({f"{trial.trainer}: {trial.failure}" for trial in state.trials}))
        raise Reject(f"/params/trainer: nothing could be fitted. {failures}")
    if bench.problem.task is LearningTask.TOKEN_CLASSIFICATION:  # between two entities there is no mean
        return {min(state.predictions, key=lambda number: (state.trials[number].loss, number)): 1.0}
    target = bench.target[bench.division.validated]
    return ensemble.select(state.predictions, target, bench.loss, params.seed)


def _evaluated(
    bench: Bench, members: Members, weights: Mapping[int, float], log: Logbook, importances_s: float
) -> Evaluated:
    """On the holdout by a model that has not seen it, else by the predictions out of fold. Which columns matter is
    asked of models that were fitted without the rows that they are asked about, in both cases."""
    division = bench.division
    by_holdout = bool(len(division.holdout))
    alone = bench.problem.task is LearningTask.TOKEN_CLASSIFICATION  # the text, without which there is nothing
    parts = [Fold(division.development, division.holdout)] if by_holdout else list(division.folds[: division.once])
    judges = [
        Judge(
            members.fitted(f"judge-{number}", weights, part.train).scores,
            bench.frame.take(part.valid),
            bench.target[part.valid],
        )
        for number, part in enumerate(parts[: _JUDGES if by_holdout or not alone else 0])
    ]
    rows = division.holdout if by_holdout else division.validated
    found = log.state.predictions
    predicted = judges[0].predict(judges[0].frame) if by_holdout else ensemble.combined(found, weights)
    log.tell(0.95, "measuring which columns matter")
    important = [] if alone else importances(judges, bench.loss, bench.problem.seed, importances_s, log.tick)
    return Evaluated(by_holdout, bench.target[rows], predicted, _baseline(bench, parts, rows), important)


def _baseline(bench: Bench, parts: list[Fold], rows: Rows) -> Array:
    """What a model says that looks at no input, of the rows that are measured."""
    if bench.problem.task is LearningTask.TOKEN_CLASSIFICATION:
        return spans.nothing(len(rows))
    trainer = bench.trainers[BASELINE]
    shape = (bench.frame.rows, bench.problem.classes) if bench.problem.classes else (bench.frame.rows,)
    said = np.zeros(shape)
    for part in parts:
        train, valid = bench.matrices(trainer.encoding, part.train, part.valid)
        state = trainer.fit(trainer.start(trainer.config(), bench.problem), train, bench.target[part.train]).state
        said[part.valid] = trainer.predict(state, valid)
    return said[rows]
