"""Users' code before and after it runs: what was noticed about it, and what it left."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from schemas.contract import Contract
from schemas.execution import Packages
from schemas.files import StoredFile
from schemas.resources import Resource

MAX_CODE = 100_000
"""Characters. Parsing so many holds up the gateway for some 50 ms."""

Code = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CODE)]


class Severity(StrEnum):
    ERROR = "error"
    """It is not run."""
    WARNING = "warning"
    """It will hardly do what was meant."""


class Diagnostic(Contract):
    severity: Severity
    message: str
    line: Annotated[int, Field(ge=1)] | None = None
    column: Annotated[int, Field(ge=1)] | None = None
    """Counted in characters, from 1."""

    @property
    def place(self) -> str:
        return "" if self.line is None else f"line {self.line}, column {self.column or 1}: "


class Produced(Contract):
    """A file that a program left."""

    name: str
    """Its path below the working directory."""
    file: StoredFile


class ValidateCode(Resource):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    code: Code
    packages: Packages = Packages.PLAIN


class CodeValidated(Resource):
    """What a look at the code tells. A help for who writes it, and no wall: the sandbox is that."""

    valid: bool
    """Whether it would be run."""
    diagnostics: list[Diagnostic]
