"""What a reader of the card should know before trusting it."""

from collections.abc import Sequence

import numpy as np

from consumers.learning.frame import Array
from consumers.training.state import TOO_LARGE, Trial
from schemas.datasets import ColumnType
from schemas.learning import Signature, Splitting
from schemas.model_card import Importance, MetricValue

_FEW_ROWS = 200
_RARE = 0.05
_SUSPICIOUS = 0.95
_ALONE = 0.8


def warnings(
    signature: Signature,
    split: Splitting,
    target: Array,
    optimised: MetricValue,
    importances: Sequence[Importance],
    trials: Sequence[Trial],
) -> list[str]:
    """`target` of the rows that were measured on."""
    return [
        text
        for text in (
            _about_gain(optimised),
            _about_leaks(optimised, importances),
            _about_rows(target),
            _about_balance(signature, target),
            _about_time(signature, split),
            _about_size(trials),
            _about_failures(trials),
        )
        if text
    ]


def _about_gain(optimised: MetricValue) -> str:
    gain = optimised.value - optimised.baseline
    if (gain if optimised.greater_is_better else -gain) > 0:
        return ""
    return "The model is no better than one that looks at no input: the columns may say nothing about the target."


def _about_leaks(optimised: MetricValue, importances: Sequence[Importance]) -> str:
    """One column that does nearly all of a nearly perfect model."""
    perfect = 1.0 if optimised.greater_is_better else 0.0
    possible, gained = abs(perfect - optimised.baseline), abs(optimised.value - optimised.baseline)
    if not importances or not possible or gained / possible < _SUSPICIOUS:
        return ""
    if importances[0].mean < _ALONE * gained:
        return ""
    return (
        f"Nearly everything follows from {importances[0].column!r} alone. If it is only known once the target is, "
        "exclude it: the model would be useless in practice."
    )


def _about_rows(target: Array) -> str:
    if len(target) >= _FEW_ROWS:
        return ""
    return f"The figures come from {len(target)} rows: look at their intervals before comparing models."


def _about_balance(signature: Signature, target: Array) -> str:
    if not signature.task.classifies or signature.classes is None:
        return ""
    shares = np.bincount(target, minlength=len(signature.classes)) / len(target)
    rarest = int(np.argmin(shares))
    if shares[rarest] >= min(_RARE, 1 / (2 * len(shares))):
        return ""
    return (
        f"Class {signature.classes[rarest]!r} has {100 * shares[rarest]:.1f} % of the rows: accuracy hardly notices "
        "it. Balanced accuracy and average precision do."
    )


def _about_time(signature: Signature, split: Splitting) -> str:
    times = [each.name for each in signature.inputs if each.type in (ColumnType.DATE, ColumnType.TIMESTAMP)]
    if not times or split.kind != "random":
        return ""
    return (
        f"Rows were divided at random although {times[0]!r} orders them. If later rows are to be predicted from "
        f'earlier ones, train with split {{"kind": "time", "column": "{times[0]}"}}: these figures are too good then.'
    )


def _about_size(trials: Sequence[Trial]) -> str:
    names = ", ".join(sorted({trial.trainer for trial in trials if trial.failure == TOO_LARGE}))
    if not names:
        return ""
    return f"A better model was given up ({names}): fitted on all rows it needs more than memory_mb. Allow more."


def _about_failures(trials: Sequence[Trial]) -> str:
    failed = [trial for trial in trials if trial.failure not in (None, TOO_LARGE)]
    if not failed:
        return ""
    names = ", ".join(sorted({trial.trainer for trial in failed}))
    return f"{len(failed)} of {len(trials)} trials failed ({names}); the first: {failed[0].failure}"
