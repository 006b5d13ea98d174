"""Numbers: what is asked of DuckDB in two scans, and the profile made of the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumers.profiling import histograms
from consumers.profiling.moments import Frame, Moments, frame, moments, sums
from consumers.profiling.sample import Floats
from consumers.profiling.source import Field
from schemas.datasets import ColumnType
from schemas.profile import Measured, NumberProfile, Outliers

_FENCE = 1.5
"""Interquartile ranges from the quartiles."""


def first_scan(field: Field) -> dict[str, str]:
    value = field.finite
    asked = {
        "finite": f"count({value})",
        "min": f"min({value})",
        "max": f"max({value})",
        "zeros": f"count_if(({value}) = 0)",
        "negative": f"count_if(({value}) < 0)",
    }
    # Of integers the sum is exact, in 128 bits.
    return asked | {"sum": f"sum({value})"} if field.type is ColumnType.INTEGER else asked


@dataclass(frozen=True)
class Plan:
    """What the second scan needs to know of the first, for a column that has finite values."""

    field: Field
    first: Mapping[str, Any]
    quantiles: dict[str, Measured]
    frame: Frame
    edges: list[float]

    @property
    def fences(self) -> tuple[float, float] | None:
        """None where half of the values are the same, which would call all others outliers."""
        low, high = self.quantiles["0.25"].value, self.quantiles["0.75"].value
        reach = _FENCE * (high - low)
        fences = low - reach, high + reach
        return fences if reach > 0 and np.isfinite(fences).all() else None

    def second_scan(self) -> dict[str, str]:
        value = self.field.finite if self.first["finite"] < self.first["count"] else self.field.key
        asked = {**sums(value, self.frame), "histogram": histograms.counting(value, self.edges)}
        if self.fences is None:
            return asked
        low, high = self.fences
        return asked | {"outliers": f"count_if(({value}) < {low!r}::DOUBLE OR ({value}) > {high!r}::DOUBLE)"}

    def profile(self, second: Mapping[str, Any]) -> NumberProfile:
        first = self.first
        found = self._moments(second)
        fences = self.fences
        return NumberProfile(
            min=first["min"],
            max=first["max"],
            mean=found.mean,
            std=found.std,
            skewness=found.skewness,
            kurtosis=found.kurtosis,
            quantiles=self.quantiles,
            zeros=first["zeros"],
            negative=first["negative"],
            infinite=first["count"] - first["finite"],
            outliers=Outliers(low=fences[0], high=fences[1], count=second["outliers"]) if fences else None,
            histogram=histograms.bins(self.edges, second["histogram"]),
        )

    def _moments(self, second: Mapping[str, Any]) -> Moments:
        count, low, high = self.first["finite"], self.first["min"], self.first["max"]
        found = moments(count, self.frame, second)
        mean = self.first["sum"] / count if "sum" in self.first else min(max(found.mean, low), high)
        return Moments(mean, found.std, found.skewness, found.kurtosis)


def plan(field: Field, first: Mapping[str, Any], quantiles: dict[str, Measured], sample: Floats) -> Plan:
    low, high = first["min"], first["max"]
    whole = field.type is ColumnType.INTEGER
    present = sample[~np.isnan(sample)]
    near_mean = float(np.mean(present / len(present)) * len(present)) if len(present) else float(low)
    middle = quantiles["0.01"].value, quantiles["0.99"].value
    at = frame(low, high, near_mean, whole)
    return Plan(field, first, quantiles, at, histograms.edges(low, high, middle, whole))
