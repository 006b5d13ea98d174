"""The profiles of a few columns at a time: what is asked in two scans, counted for each, and put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.profiling import counting, numbers, semantics, texts, times
from consumers.profiling.counting import Counts
from consumers.profiling.duck import Duck
from consumers.profiling.order import Order, orders
from consumers.profiling.quantiles import quantiles
from consumers.profiling.sample import Sample
from consumers.profiling.source import Field
from schemas.datasets import ColumnType
from schemas.profile import ColumnProfile, Measured, NumberProfile, TextProfile, TimeProfile

First = Mapping[str, Any]
Plan = numbers.Plan | times.Plan | texts.Plan

_CATEGORY_DISTINCT = 1_000
_CATEGORY_SHARE = 0.25
"""Undeclared text with no more distinct values, and no more of them among its values, is a category."""


@dataclass(frozen=True)
class Part:
    """Columns that are profiled together."""

    duck: Duck
    relation: str
    fields: Sequence[Field]
    rows: int
    sample: Sample
    now: datetime

    def profiles(self, done: Callable[[Field], None]) -> list[ColumnProfile]:
        exact = self.rows <= self.duck.limits.exact_rows
        first = self._asked({field.index: _first_scan(field, self.now, exact) for field in self.fields})
        plans = self._plans(first)
        second = self._asked({index: plan.second_scan() for index, plan in plans.items()})
        ordered = orders(self.duck, self.relation, self.fields, self.sample)
        found = []
        for field in self.fields:
            at = field.index
            counts = self._counts(field, first[at], ordered.get(at))
            details = plans[at].profile(second[at]) if at in plans else None
            found.append(self._profile(field, first[at], counts, ordered.get(at), details))
            done(field)
        return found

    def _asked(self, wanted: Mapping[int, Mapping[str, str]]) -> dict[int, dict[str, Any]]:
        """One scan, or few, for the aggregates of all columns."""
        flat = {(at, name): sql for at, asked in wanted.items() for name, sql in asked.items()}
        found = self.duck.gather(self.relation, flat)
        return {at: {name: found[at, name] for name in asked} for at, asked in wanted.items()}

    def _plans(self, first: Mapping[int, First]) -> dict[int, Plan]:
        measured = [field for field in self.fields if field.is_number and first[field.index]["finite"]]
        known = quantiles(self.duck, self.relation, measured, self.rows, self.sample)
        plans: dict[int, Plan] = {}
        for field in measured:
            at = field.index
            plans[at] = numbers.plan(field, first[at], known[at], self.sample.numbers(field))
        for field in (field for field in self.fields if first[field.index]["count"]):
            if field.tick_s is not None:
                plans[field.index] = times.plan(field, first[field.index])
            elif field.is_text:
                values = self.sample.present(field, texts.PATTERN_VALUES)
                plans[field.index] = texts.Plan(field, first[field.index], values)
        return plans

    def _counts(self, field: Field, first: First, order: Order | None) -> Counts:
        """What rises or falls in every row is distinct without being counted, and no value is more frequent."""
        if order is not None and order.startswith("strictly"):
            return Counts(Measured(value=first["count"]), unique=True, top=[])
        return counting.count(self.duck, self.relation, field, first, self.sample)

    def _profile(
        self,
        field: Field,
        first: First,
        counts: Counts,
        order: Order | None,
        details: NumberProfile | TimeProfile | TextProfile | None,
    ) -> ColumnProfile:
        column = ColumnProfile(
            name=field.name,
            type=_type(field, first["count"], counts.distinct.value),
            count=first["count"],
            missing=self.rows - first["count"],
            distinct=counts.distinct,
            constant=counts.distinct.value == 1,
            unique=counts.unique,
            monotonic=order,
            top=counts.top,
            numbers=details if isinstance(details, NumberProfile) else None,
            times=details if isinstance(details, TimeProfile) else None,
            text=details if isinstance(details, TextProfile) else None,
        )
        values = self.sample.present(field, semantics.LOOKED_AT)
        return column.model_copy(update={"semantic": semantics.match(column, values)})


def _first_scan(field: Field, now: datetime, exact: bool) -> dict[str, str]:
    asked = counting.first_scan(field, exact)
    if field.is_number:
        return asked | numbers.first_scan(field)
    if field.tick_s is not None:
        return asked | times.first_scan(field, now)
    return asked | texts.first_scan(field) if field.is_text else asked


def _type(field: Field, count: int, distinct: float) -> ColumnType:
    few = 0 < distinct <= min(_CATEGORY_DISTINCT, _CATEGORY_SHARE * count)
    return ColumnType.CATEGORY if field.type is ColumnType.TEXT and not field.declared and few else field.type
