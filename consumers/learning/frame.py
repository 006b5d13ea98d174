"""Columns of a table as arrays: what preprocessors and trainers are given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """Input columns by name, all of one length, in the order of the signature.

    Numbers and booleans are float64 with NaN for missing; dates and timestamps float64, in seconds since 1970 UTC,
    with NaN; categories and texts object arrays of `str` with None.
    """

    columns: Mapping[str, Array]
    rows: int

    def take(self, rows: NDArray[np.intp]) -> "Frame":
        return Frame({name: values[rows] for name, values in self.columns.items()}, len(rows))
