"""Which labels of a model of natural language inference say that a text entails or contradicts a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

_CONTRADICTS = ("contra", "not_entail", "not entail", "not-entail", "non_entail", "non-entail")


@dataclass(frozen=True)
class Entailment:
    entails: int
    contradicts: int | None
    """Of two labels the other one, whatever its name; None when no label of several says so."""


def entailment(names: Sequence[JsonValue]) -> Entailment:
    """By the names that a model gives its labels. Raises LookupError when none of them is for entailment."""
    lowered = [str(name).lower() for name in names]
    entails = next((at for at, name in enumerate(lowered) if name.startswith("entail")), None)
    if entails is None:
        raise LookupError(f"has no label for entailment, only {', '.join(map(str, names))}")
    against = (at for at, name in enumerate(lowered) if name.startswith(_CONTRADICTS))
    return Entailment(entails, next(against, 1 - entails if len(names) == 2 else None))
