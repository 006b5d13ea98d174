"""Users' code, looked at before it is accepted."""

from collections.abc import Mapping

from gateway.dependencies import Parts
from gateway.problems import invalid_fields
from producers.lint import lint
from schemas.code import Severity
from schemas.execution import Packages
from schemas.problems import InvalidField


def require_clean(parts: Parts, code: Mapping[str, str], packages: Packages) -> None:
    """`code` by JSON Pointer. Raises ProblemError with the place of each error."""
    errors = [
        InvalidField(pointer=pointer, detail=f"{found.place}{found.message}")
        for pointer, text in code.items()
        for found in lint(text, packages, parts.lint)
        if found.severity is Severity.ERROR
    ]
    if errors:
        raise invalid_fields(errors)
