"""Answering from what was answered before: inputs whose output is kept skip the model, the others go on as a smaller
job. One place for every task, around its handler."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from pydantic_core import to_json

from consumers.inference.batcher import InputFailed
from consumers.inference.registered import Registry
from consumers.runtime.handler import Task
from consumers.runtime.verdicts import Reject
from schemas.kinds import AnyKind, kind_named
from schemas.texts import REGISTRY_PREFIX
from storage.answers import Answering, Kept, KeptAnswers, keys_of, result_of
from telemetry.metrics import ANSWERS

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

R = TypeVar("R")
_Handle = Callable[[Task[Any], "Inference"], Awaitable[R]]
_Run = Callable[[Task[Any]], Awaitable[Any]]

_WINDOW = 512  # inputs looked for between two decisions
_LEAST_SHARE = 0.05  # on two cores looking and keeping took 75 us of each input, the fastest forward pass 2 ms
_SAMPLE = 32
_MOST_REMEMBERED = 1_000  # models, by who asked them


def remembered(run: _Handle[R]) -> _Handle[R]:
    """Give kept answers, and keep new ones, unless the command forbids it. Under `handles`, for repeatable kinds."""

    @wraps(run)
    async def answer(task: Task[Any], resources: "Inference") -> R:
        if resources.answers is None or task.envelope.cache_control == "no-store":
            return await run(task, resources)
        result: R = await resources.answers.answer(task, lambda left: run(left, resources))
        return result

    return answer


class Worth:
    """Whether looking pays. While next to nothing is found, only a thirty-second of all that could be asked is looked
    for and kept: always the same part, so that it shows when inputs begin to come again."""

    def __init__(self) -> None:
        self._all, self._looked, self._found = True, 0, 0

    def choose(self, inputs: Sequence[Any]) -> Sequence[int]:
        """Which inputs to look for and to keep."""
        if self._all:
            return range(len(inputs))
        return [index for index, asked in enumerate(inputs) if crc32(to_json(asked)) % _SAMPLE == 0]

    def learn(self, looked: int, found: int) -> None:
        self._looked += looked
        self._found += found
        if self._looked >= _WINDOW:
            self._all = self._found >= self._looked * _LEAST_SHARE
            self._looked = self._found = 0


@dataclass
class _Known:
    """A model as it answered last."""

    name: str = ""
    """With its version, of a registered one."""
    model: Mapping[str, Any] = field(default_factory=dict)
    worth: Worth = field(default_factory=Worth)


class Answers:
    def __init__(self, kept: KeptAnswers, registry: Registry) -> None:
        self._kept, self._registry = kept, registry
        self._known: OrderedDict[Answering, _Known] = OrderedDict()  # by the name that was asked for

    async def answer(self, task: Task[Any], run: _Run) -> Any:
        """What `run` makes of the task, but for `cached`. Raises what it raises."""
        kind, principal, params = kind_named(task.envelope.kind), task.envelope.principal, task.params
        asked = Answering(kind.name, principal, params.model)
        known = self._known.get(asked, _Known())
        chosen = known.worth.choose(params.inputs)
        found: dict[int, Kept] = {}
        looked = len(chosen) if known.name and task.envelope.cache_control is None else 0
        if looked:
            found = await self._find(kind, task, known, chosen)
            known.worth.learn(looked, len(found))
        _count(kind.name, len(found), looked, len(params.inputs))
        if len(found) == len(params.inputs):
            return result_of(kind, known.model, [found[index] for index in range(len(found))])
        result = await _completed(kind, task, run, found, known.model)
        self._remember(asked, known, result.model.model_dump(mode="json"))
        self._keep(kind, task, known, result, [at for at in chosen if not result.cached or at not in found])
        return result

    async def _find(self, kind: AnyKind, task: Task[Any], known: _Known, chosen: Sequence[int]) -> dict[int, Kept]:
        if known.name != await self._name(task.envelope.principal, task.params.model):
            return {}
        found = await self._kept.find(_keys(kind, task, known, chosen))
        return {index: kept for index, kept in zip(chosen, found, strict=True) if kept is not None}

    async def _name(self, principal: str, model: str) -> str:
        """Exactly which model is asked, who must be the principal's own. Raises Reject, RetryLater."""
        return str(await self._registry.find(principal, model)) if model.startswith(REGISTRY_PREFIX) else model

    def _remember(self, asked: Answering, known: _Known, model: Mapping[str, Any]) -> None:
        known.name, known.model = model["name"], model
        self._known[asked] = known
        self._known.move_to_end(asked)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)

    def _keep(self, kind: AnyKind, task: Task[Any], known: _Known, result: Any, new: Sequence[int]) -> None:
        if not new:
            return
        truncated = set(result.truncated_inputs)
        kept = [Kept(result.outputs[index], index in truncated) for index in new]
        answers = dict(zip(_keys(kind, task, known, new), kept, strict=True))
        self._kept.keep(Answering(kind.name, task.envelope.principal, known.name), known.model, answers)


def _keys(kind: AnyKind, task: Task[Any], known: _Known, chosen: Sequence[int]) -> list[bytes]:
    inputs = task.params.inputs
    return keys_of(kind, task.envelope.principal, known.model, task.params, (inputs[index] for index in chosen))


async def _completed(
    kind: AnyKind, task: Task[Any], run: _Run, found: Mapping[int, Kept], model: Mapping[str, Any]
) -> Any:
    """The result of a job of which some answers were found, and some are left."""
    if not found:
        return await run(task)
    left = [index for index in range(len(task.params.inputs)) if index not in found]
    inputs = [task.params.inputs[index] for index in left]
    try:
        result = await run(replace(task, params=task.params.model_copy(update={"inputs": inputs})))
    except (Reject, InputFailed):
        return await run(task)  # which names the input by its place among all
    if result.model.model_dump(mode="json") != model:
        return await run(task)  # somebody has exchanged the model meanwhile
    return _merged(kind, found, left, result)


def _merged(kind: AnyKind, found: Mapping[int, Kept], left: Sequence[int], result: Any) -> Any:
    kept: Any = result_of(kind, result.model.model_dump(), list(found.values()))
    outputs = dict(zip((*found, *left), (*kept.outputs, *result.outputs), strict=True))
    truncated = [index for index, one in found.items() if one.truncated]
    truncated += [left[index] for index in result.truncated_inputs]
    return result.model_copy(
        update={
            "outputs": [outputs[index] for index in range(len(outputs))],
            "truncated": len(truncated),
            "truncated_inputs": sorted(truncated),
            "cached": len(found),
        }
    )


def _count(kind: str, found: int, looked: int, asked: int) -> None:
    for fate, count in (("hit", found), ("miss", looked - found), ("skipped", asked - looked)):
        if count:
            ANSWERS.labels(kind, fate).inc(count)
