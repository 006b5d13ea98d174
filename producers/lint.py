"""A look at users' code before it runs: what cannot work, and what the operator does not want.

A help, and no wall. `__import__("o" + "s")` passes, as does what a program imports by other names: what the code may
reach is decided by the sandbox alone.
"""

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.code import Diagnostic, Severity
from schemas.execution import Packages

_MOST, _MESSAGE_CHARACTERS = 20, 200
_WITHOUT_NETWORK = ("requests", "httpx", "aiohttp", "urllib3", "urllib.request", "http.client", "ftplib", "smtplib")
_DATA, _TORCH = ("numpy", "pandas"), ("torch", "transformers")
_MISSING = {Packages.PLAIN: (*_DATA, *_TORCH), Packages.DATA: _TORCH, Packages.TORCH: ()}


@dataclass(frozen=True)
class _Import:
    module: str
    line: int
    column: int


class LintSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_CODE_", env_ignore_empty=True, extra="ignore")

    disallowed_imports: Annotated[list[str], NoDecode] = []
    """Modules or globs, separated by commas, such as `ctypes,multiprocessing*`: code that imports one is refused."""

    @field_validator("disallowed_imports", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def lint(code: str, packages: Packages, settings: LintSettings) -> list[Diagnostic]:
    """In the order of the lines. Not for threads: Python's warnings are one for all of them."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
            compile(tree, "main.py", "exec", dont_inherit=True)  # what no parser sees, such as a stray `return`
    except SyntaxError as error:
        return [_found(Severity.ERROR, error.msg, error.lineno, error.offset)]
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; too deep for the compiler
        return [_found(Severity.ERROR, f"cannot be compiled: {error or type(error).__name__}")]
    lines = code.splitlines()
    found = [item for each in _imports(tree, lines) if (item := _judged(each, packages, settings))]
    return sorted(found, key=lambda item: (item.line or 0, item.column or 0))[:_MOST]


def defined(code: str) -> set[str]:
    """The functions that code which compiles defines at its top level."""
    return {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}


def _imports(tree: ast.AST, lines: list[str]) -> Iterator[_Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_import(alias.name, alias, lines) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (_import(f"{node.module}.{alias.name}", alias, lines) for alias in node.names)


def _import(module: str, alias: ast.alias, lines: list[str]) -> _Import:
    before = lines[alias.lineno - 1].encode()[: alias.col_offset]  # the parser counts bytes
    return _Import(module, alias.lineno, len(before.decode()) + 1)


def _judged(each: _Import, packages: Packages, settings: LintSettings) -> Diagnostic | None:
    if module := _among(each.module, settings.disallowed_imports):
        return _found(Severity.ERROR, f"{module} may not be imported here", each.line, each.column)
    if module := _among(each.module, _MISSING[packages]):
        wanted = Packages.DATA if module in _DATA else Packages.TORCH
        message = f"{module} is not among the packages {packages.value!r}: ask for {wanted.value!r}"
        return _found(Severity.WARNING, message, each.line, each.column)
    if module := _among(each.module, _WITHOUT_NETWORK):
        return _found(Severity.WARNING, f"{module} has no network to use here", each.line, each.column)
    return None


def _among(module: str, globs: Sequence[str]) -> str | None:
    """The module, or the package that it is in, that is meant by one of `globs`."""
    parts = module.split(".")
    names = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return next((name for name in names for glob in globs if fnmatchcase(name, glob)), None)


def _found(severity: Severity, message: str, line: int | None = None, column: int | None = None) -> Diagnostic:
    place = {"line": line, "column": max(column or 1, 1)} if line else {}
    return Diagnostic.model_validate({"severity": severity, "message": message[:_MESSAGE_CHARACTERS], **place})
