"""JSON values that every part can hold: what JSON can say goes further than what MongoDB stores."""

from math import isfinite
from typing import Annotated

from pydantic import AfterValidator, JsonValue

_MAX_DEPTH = 64  # MongoDB takes 100 levels, of which the projection needs some
_INT64 = range(-(2**63), 2**63)


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    _check(value, _MAX_DEPTH)
    return value


def _check(value: JsonValue, depth: int) -> None:
    if not depth:
        raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, dict):
        for name, item in value.items():
            if "\0" in name:
                raise ValueError("a name must not hold U+0000")
            _check(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth - 1)
    elif isinstance(value, int) and value not in _INT64:
        raise ValueError("an integer beyond 64 bits; send it as a string")
    elif isinstance(value, float) and not isfinite(value):  # what 1e400 is read as
        raise ValueError("a number beyond the range of a double; send it as a string")


def _any_storable(value: JsonValue) -> JsonValue:
    _check(value, _MAX_DEPTH)
    return value


StorableJson = Annotated[JsonValue, AfterValidator(_any_storable)]
"""Any value in a contract."""

JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
"""A free-form object in a contract."""
