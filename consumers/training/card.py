"""What is told of a training: its card."""

from datetime import UTC, datetime

from consumers.learning import spans
from consumers.learning.frame import Array
from consumers.learning.registry import metrics
from consumers.training import evaluation
from consumers.training.advice import warnings
from consumers.training.run import Trained
from consumers.training.state import Trial
from schemas import model_card
from schemas.jobs.model_train import TrainModel
from schemas.learning import LearningTask, Lineage, Signature
from schemas.model_card import ModelCard


def model_card_of(
    trained: Trained,
    params: TrainModel,
    signature: Signature,
    origin: Lineage,
    *,
    model_id: str,
    version: str,
    noticed: list[str],
) -> ModelCard:
    """`noticed` are the warnings that came before."""
    measured = trained.evaluated
    target, predicted, problem = measured.target, measured.predicted, trained.problem
    if signature.task is LearningTask.TOKEN_CLASSIFICATION:
        predicted = spans.trimmed(predicted)
    values = evaluation.measured(metrics(), trained.metric.name, problem, target, predicted, measured.baseline)
    judged = warnings(signature, params.split, target, values[0], measured.importances, trained.state.trials)
    card = ModelCard(
        model_id=model_id,
        name=params.name,
        version=version,
        created_at=datetime.now(UTC),
        seconds=trained.seconds,
        task=signature.task,
        metric=trained.metric.name,
        estimated_by="holdout" if measured.by_holdout else "cross-validation",
        evaluated_rows=len(target),
        metrics=values,
        signature=signature,
        origin=origin,
        params=params.model_dump(mode="json"),
        trials=_trials(trained),
        importances=measured.importances,
        warnings=[*noticed, *judged],
    )
    return card.model_copy(update=_drawn(signature, target, predicted, problem.seed))


def _drawn(signature: Signature, target: Array, predicted: Array, seed: int) -> dict[str, object]:
    if signature.classes is None:
        return {"residuals": evaluation.residuals(target, predicted, seed)}
    names = [str(each) for each in signature.classes]
    if signature.task is LearningTask.TOKEN_CLASSIFICATION:
        return {"entities": evaluation.entities(names, target, predicted)}
    return {
        "confusion": evaluation.confusion(names, target, predicted),
        "roc": evaluation.roc(names, target, predicted),
        "precision_recall": evaluation.precision_recall(names, target, predicted),
        "calibration": evaluation.calibration(names, target, predicted),
    }


def _trials(trained: Trained) -> list[model_card.Trial]:
    """Best first; then those that were given up, and those that failed."""
    ranked = sorted(
        trained.state.trials,
        key=lambda each: (each.failure is not None, each.pruned, each.loss if each.folds else 0.0, each.number),
    )
    return [_told(trial, trained) for trial in ranked]


def _told(trial: Trial, trained: Trained) -> model_card.Trial:
    sign = -1.0 if trained.metric.greater_is_better else 1.0
    failed = trial.failure is not None
    return model_card.Trial(
        number=trial.number,
        trainer=trial.trainer,
        config=trial.config,
        score=None if failed else sign * trial.loss,
        std=trial.std if len(trial.folds) > 1 and not failed else None,
        seconds=trial.seconds,
        weight=trained.weights.get(trial.number, 0.0),
        failure="given up after the first folds: clearly worse than the best" if trial.pruned else trial.failure,
    )
