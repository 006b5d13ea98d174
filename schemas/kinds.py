"""Job kinds: what can be asked for. Each lives in its own module under `schemas/jobs/` and is found by discovery."""

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

import schemas.jobs
from schemas.contract import Contract
from schemas.lifecycle import LIFECYCLE_EVENTS

P = TypeVar("P", bound=Contract)
R = TypeVar("R", bound=Contract)


@dataclass(frozen=True)
class JobKind(Generic[P, R]):
    """One type of work: the command that asks for it and the result that answers.

    Equal names in command and kind keep routing keys, queues and contracts in step.
    """

    command: type[P]
    result: type[R]
    max_attempts: int = 5
    """How often a failing job is tried before it becomes a dead letter."""
    backoff_s: tuple[int, ...] = ()
    """Seconds from each failed attempt to the next, the last of them from then on; when empty 1, 2, 4 and so on up to
    the longest delay tier. Longer ones wait in the store, which is for kinds that run short."""
    finishes_early: bool = False
    """Whether a running job can be asked to end with what it has found so far."""
    repeatable: bool = False
    """Whether each of `outputs` follows from its input, `model` and the other parameters alone, so that it may be
    kept and given again. Such a result is a `TextsRead`."""

    @property
    def name(self) -> str:
        return self.command.contract_name

    @property
    def module(self) -> str:
        """What the modules of its schema and of its handler are called."""
        return self.name.replace(".", "_").replace("-", "_")

    @property
    def summary(self) -> str:
        return self.command.summary()


AnyKind = JobKind[Any, Any]


class UnknownKind(LookupError):
    def __init__(self, name: str) -> None:
        super().__init__(f"unknown job kind {name!r}; known are {', '.join(sorted(kinds()))}")


@cache
def kinds() -> dict[str, AnyKind]:
    """Every job kind by name, discovered in `schemas.jobs`.

    Raises TypeError when a module does not declare exactly one kind or two share a name.
    """
    found: dict[str, AnyKind] = {}
    for module_info in pkgutil.iter_modules(schemas.jobs.__path__):
        module = importlib.import_module(f"{schemas.jobs.__name__}.{module_info.name}")
        declared = [value for value in vars(module).values() if isinstance(value, JobKind)]
        if len(declared) != 1:
            raise TypeError(f"{module.__name__} must declare exactly one JobKind, found {len(declared)}")
        kind = declared[0]
        if kind.module != module_info.name:
            raise TypeError(f"{module.__name__} declares {kind.name!r}; name the module after its kind")
        found[kind.name] = kind
    return found


def kind_named(name: str) -> AnyKind:
    """Raises UnknownKind, which lists the known ones."""
    try:
        return kinds()[name]
    except KeyError:
        raise UnknownKind(name) from None


def contracts() -> list[type[Contract]]:
    """Every version of every contract that travels or is stored: commands, results and lifecycle events."""
    newest = [contract for kind in kinds().values() for contract in (kind.command, kind.result)]
    return [version for contract in (*newest, *LIFECYCLE_EVENTS) for version in contract.lineage()]
