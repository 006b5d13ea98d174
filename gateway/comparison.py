"""How two versions of a model differ, by their cards. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from schemas.learning import InputColumn
from schemas.model_card import ModelCard
from schemas.registry import Difference, MetricComparison, ModelComparison

_NO_SETTINGS = frozenset({"name", "dataset_id", "version", "target"})
"""Parameters of a training that say what was learned from, which stands in the lineage."""


def compare(a: ModelCard, b: ModelCard) -> ModelComparison:
    return ModelComparison(
        a=a.version,
        b=b.version,
        comparable=_judged_by(a) == _judged_by(b),
        metrics=_metrics(a, b),
        settings=_differences(_settings(a), _settings(b)),
        signature=_differences(_signature(a), _signature(b)),
        data=_differences(a.origin.model_dump(mode="json"), b.origin.model_dump(mode="json")),
    )


def _judged_by(card: ModelCard) -> tuple[object, ...]:
    """Rows are drawn for judging by the seed and the way of splitting."""
    origin = card.origin
    how = (card.estimated_by, card.evaluated_rows, origin.seed, str(card.params.get("split")))
    return (origin.table_sha256, card.signature.target, card.task, *how)


def _metrics(a: ModelCard, b: ModelCard) -> list[MetricComparison]:
    mine, theirs = ({metric.name: metric for metric in card.metrics} for card in (a, b))
    found = []
    for name in {**mine, **theirs}:
        one, other = mine.get(name), theirs.get(name)
        better: Literal["a", "b"] | None = None
        if one is not None and other is not None and one.value != other.value:
            better = "a" if (one.value > other.value) == one.greater_is_better else "b"
        values = [metric and metric.value for metric in (one, other)]
        found.append(MetricComparison(name=name, a=values[0], b=values[1], better=better))
    return found


def _settings(card: ModelCard) -> dict[str, Any]:
    best = card.trials[0] if card.trials else None
    chosen = {f"best {name}": getattr(best, name) for name in ("trainer", "config")} if best else {}
    return {name: value for name, value in card.params.items() if name not in _NO_SETTINGS} | chosen


def _signature(card: ModelCard) -> dict[str, Any]:
    signature = card.signature
    inputs = {f"input {column.name}": _column(column) for column in signature.inputs}
    return {"target": signature.target, "task": signature.task, "classes": signature.classes} | inputs


def _column(column: InputColumn) -> dict[str, Any]:
    return column.model_dump(mode="json", exclude={"name"}, exclude_none=True)


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    names: Iterable[str] = {**a, **b}
    return [Difference(what=n, a=a.get(n), b=b.get(n)) for n in names if a.get(n) != b.get(n)]
