"""Dates and timestamps, which are whole numbers of days or microseconds since 1970 here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from consumers.profiling import histograms
from consumers.profiling.source import Field
from schemas.profile import TimeProfile

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BINS = 40
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 31_556_952
_STEPS_S = (
    *(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 5, 15, 30),
    *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, _YEAR / 4),
    *(_YEAR * step * 10**power for power in range(6) for step in (1, 2, 5)),
)


def first_scan(field: Field, now: datetime) -> dict[str, str]:
    present_tick = math.floor((now - EPOCH).total_seconds() / _tick_s(field))
    return {
        "min": f"min({field.key})",
        "max": f"max({field.key})",
        "future": f"count_if({field.key} > {present_tick})",
    }


@dataclass(frozen=True)
class Plan:
    """What the second scan needs to know of the first, for a column that has values."""

    field: Field
    first: Mapping[str, Any]
    edges: Sequence[float]
    """In the column's own unit."""

    def second_scan(self) -> dict[str, str]:
        return {"histogram": histograms.counting(self.field.key, self.edges)}

    def profile(self, second: Mapping[str, Any]) -> TimeProfile:
        tick = _tick_s(self.field)
        found = histograms.bins(self.edges, second["histogram"])
        return TimeProfile(
            min=moment(self.field, self.first["min"]),
            max=moment(self.field, self.first["max"]),
            future=self.first["future"],
            histogram=[part.model_copy(update={"low": part.low * tick, "high": part.high * tick}) for part in found],
        )


def plan(field: Field, first: Mapping[str, Any]) -> Plan:
    tick = _tick_s(field)
    return Plan(field, first, [edge / tick for edge in _edges(first["min"] * tick, first["max"] * tick, tick)])


def moment(field: Field, value: int) -> datetime:
    """Years before 1 and after 9999, which Python does not have, become its first or last."""
    try:
        return EPOCH + (timedelta(days=value) if _tick_s(field) == _DAY else timedelta(microseconds=value))
    except OverflowError:
        return datetime(1, 1, 1, tzinfo=UTC) if value < 0 else datetime(9999, 12, 31, tzinfo=UTC)


def _tick_s(field: Field) -> float:
    if field.tick_s is None:
        raise ValueError(f"{field.type} is no time")
    return field.tick_s


def _edges(low: float, high: float, tick: float) -> list[float]:
    """Multiples of a step that is round on a clock or in a calendar."""
    if low == high:
        return [low, high]
    step = next((step for step in _STEPS_S if step >= tick and (high - low) / step <= _BINS), _STEPS_S[-1])
    return [number * step for number in range(math.floor(low / step), math.floor(high / step) + 2)]
