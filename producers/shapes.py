"""Whether values fit the schemas of a task."""

from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator

_MOST = 5
_RELATIVE = 1e-3


class Fitting:
    """Schemas must be `Shape`s, which are applied in the time that it takes to read the value."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._validator = Draft202012Validator(schema)

    def misfits(self, value: Any) -> list[tuple[str, str]]:
        """JSON Pointer and reason, of a few places that do not fit."""
        errors = islice(self._validator.iter_errors(value), _MOST)
        return [("".join(f"/{part}" for part in error.absolute_path), _short(error.message)) for error in errors]


def alike(found: Any, expected: Any) -> bool:
    """Equal, but for the last digits of numbers: the same model differs in them from machine to machine."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(alike(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(alike, found, expected))
    if _is_number(found) and _is_number(expected):
        return bool(abs(found - expected) <= _RELATIVE * max(1.0, abs(found), abs(expected)))
    return type(found) is type(expected) and found == expected


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:197]}..."
