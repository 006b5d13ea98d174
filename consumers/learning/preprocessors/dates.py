"""Dates and timestamps."""

from typing import Any, Self

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config, Encoding, Preprocessor, Problem
from consumers.learning.preprocessors.numbers import Scaled
from consumers.learning.transformer import Transformer
from schemas.datasets import ColumnType
from schemas.learning import InputColumn

_DAY_S = 86_400.0
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
"""The years 1 to 9999: what ingestion can read."""
_MONTHS, _WEEKDAYS, _HOURS = 12, 7, 24


class DateParts(Transformer):
    """Days since 1970, year, month, day of the month, day of the week (Monday is 0) and, with `clock`, the hour."""

    def __init__(self, clock: bool = False) -> None:
        self.clock = clock

    def transform(self, values: Array) -> Array:
        return np.where(np.isnan(values), np.nan, np.column_stack(_parts(values[:, 0], self.clock)))


class DateCycles(Transformer):
    """The time, scaled, and month, day of the week and hour as points on a circle: December is next to January."""

    def __init__(self, clock: bool = False) -> None:
        self.clock = clock

    def fit(self, values: Array, target: Array) -> Self:
        self.time_ = Scaled().fit(values, target)
        return self

    def transform(self, values: Array) -> Array:
        _days, _year, month, _day, weekday, *hour = _parts(values[:, 0], self.clock)
        turns = [month / _MONTHS, weekday / _WEEKDAYS, *(each / _HOURS for each in hour)]
        angles = 2 * np.pi * np.column_stack(turns)
        circles = np.hstack([np.sin(angles), np.cos(angles)])
        return np.hstack([self.time_.transform(values), np.where(np.isnan(values), 0.0, circles)])


def _parts(seconds: Array, clock: bool) -> list[Array]:
    days = np.clip(np.floor(np.nan_to_num(seconds) / _DAY_S), _FIRST_DAY, _LAST_DAY)
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    since = months.astype(np.int64)
    of_month = (dates - months).astype(np.int64) + 1
    found = [days, since // 12 + 1970, since % 12 + 1, of_month, (days + 3) % 7]
    return [*found, np.floor(np.nan_to_num(seconds) % _DAY_S / 3600)] if clock else found


class Dates(Preprocessor[Config]):
    """Calendar parts of a date or timestamp, in UTC; for others than trees as points on circles."""

    name = "dates"
    stores = (DateParts, DateCycles, Scaled)

    def takes(self, column: InputColumn) -> bool:
        return column.type in (ColumnType.DATE, ColumnType.TIMESTAMP)

    def transformer(self, config: Config, column: InputColumn, encoding: Encoding, problem: Problem) -> Any:
        clock = column.type is ColumnType.TIMESTAMP
        return DateParts(clock) if encoding is Encoding.TREES else DateCycles(clock)


DATES = Dates()
