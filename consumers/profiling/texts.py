"""Text: lengths and blanks in two scans, shapes from the sample."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consumers.profiling import histograms
from consumers.profiling.source import Field
from schemas.profile import TextProfile, ValueCount

PATTERN_VALUES = 2_000
_PATTERNS = 10
_PATTERN_CHARACTERS = 60
"""What is longer is told by its beginning and an ellipsis."""
_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")


def first_scan(field: Field) -> dict[str, str]:
    length = f"length({field.key})"
    blank = f"NOT regexp_matches({field.key}, '[^\\s\\p{{Z}}]')"
    return {
        "min": f"min({length})",
        "max": f"max({length})",
        "sum": f"sum({length})",
        # Comparing with what is no white space of ASCII spares most values the search.
        "blank": f"count_if(CASE WHEN {field.key} < '!' OR {field.key} > '~' THEN {blank} ELSE false END)",
    }


@dataclass(frozen=True)
class Plan:
    field: Field
    first: Mapping[str, Any]
    values: Sequence[str]
    """The first present ones of the sample."""

    @property
    def edges(self) -> list[float]:
        low, high = self.first["min"], self.first["max"]
        return histograms.edges(low, high, (low, high), whole=True)

    def second_scan(self) -> dict[str, str]:
        return {"lengths": histograms.counting(f"length({self.field.key})", self.edges)}

    def profile(self, second: Mapping[str, Any]) -> TextProfile:
        first = self.first
        return TextProfile(
            min_length=first["min"],
            max_length=first["max"],
            mean_length=first["sum"] / first["count"],
            blank=first["blank"],
            lengths=histograms.bins(self.edges, second["lengths"]),
            patterns=patterns(self.values),
            patterns_sampled=len(self.values) if len(self.values) < first["count"] else None,
        )


def patterns(values: Sequence[str]) -> list[ValueCount]:
    counts = Counter(map(shape, values))
    return [ValueCount(value=value, count=count) for value, count in counts.most_common(_PATTERNS)]


def shape(value: str) -> str:
    start = _DIGIT.sub("9", _LETTER.sub("A", value[:_PATTERN_CHARACTERS]))
    return start + "…" if len(value) > _PATTERN_CHARACTERS else start
