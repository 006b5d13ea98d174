"""What the handlers of one process share: the resident models, and the device that computes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from consumers.devices import Device
from consumers.encoders.folder import encoders
from consumers.encoders.layout import read_layout
from consumers.encoders.sources import find_model
from consumers.inference.answers import Answers
from consumers.inference.ports import Archive, Files
from consumers.inference.registered import Registered, Registry
from consumers.inference.remote import RemoteModel
from consumers.inference.residency import Entry, ModelCache, Plan
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_model import TextModel
from schemas.jobs.text_classify import TEXT_CLASSIFY
from schemas.jobs.text_ner import TEXT_NER
from schemas.kinds import AnyKind
from schemas.learning import LearningTask
from schemas.texts import DEFAULT_MODEL, REGISTRY_PREFIX

ENGINE = "consumers.inference.engine:Engine"

_TASKS = {
    TEXT_CLASSIFY.name: LearningTask.TEXT_CLASSIFICATION,
    TEXT_NER.name: LearningTask.TOKEN_CLASSIFICATION,
}
"""What a registered model must have learned."""


@dataclass(frozen=True)
class Wanted:
    """A model for a job kind: the same files serve each of them differently."""

    kind: str
    model: str | Registered

    def __str__(self) -> str:
        return f"{self.kind}/{self.model}"


@dataclass(frozen=True)
class Inference:
    """Implements `workers.Conditional`."""

    models: ModelCache[Wanted, TextModel]
    registry: Registry
    device: Device
    settings: InferenceSettings
    answers: Answers | None = None

    @property
    def unavailable(self) -> None:
        """Whether it can run shows with the first text."""

    def health(self) -> dict[str, object]:
        """For the roster: which models are here, and what is known of those in memory."""
        resident = [_told(wanted, entry) for wanted, entry in self.models.resident.items() if entry.loaded]
        names = [DEFAULT_MODEL, *encoders(self.settings)]
        return {"models": {"resident": resident, "present": names, "allowed": self.settings.allowed_models}}

    @asynccontextmanager
    async def model(self, kind: AnyKind, principal: str, name: str) -> AsyncIterator[TextModel]:
        """A registered model is looked up each time: aliases move, and it must be the principal's own. Raises Reject
        or RetryLater."""
        registered = name.startswith(REGISTRY_PREFIX)
        model = await self.registry.find(principal, name) if registered else name
        async with self.models.use(Wanted(kind.name, model)) as found:
            yield found


@asynccontextmanager
async def open_inference(
    settings: InferenceSettings, registry: Registry, answers: Answers | None = None, *, engine: str = ENGINE
) -> AsyncIterator[Inference]:
    """With the device's child process started. No model is loaded until the first job asks for it."""
    async with Device(engine, settings) as device:
        await device.child()
        models = ModelCache(_Shelf(settings, registry, device).find, settings.memory_bytes)
        try:
            yield Inference(models, registry, device, settings, answers)
        finally:
            await models.close()


def _told(wanted: Wanted, entry: Entry[TextModel]) -> dict[str, Any]:
    """As `schemas.residency.Resident`, with whose it is."""
    model = entry.model.result()
    facts, (pass_s, token_s) = model.facts, model.line
    return {
        "owner": wanted.model.owner if isinstance(wanted.model, Registered) else None,
        "name": facts.identity.name,
        "kind": wanted.kind,
        "sha256": facts.identity.sha256,
        "dtype": facts.identity.dtype,
        "device": facts.identity.device,
        "bytes": facts.nbytes,
        "peak_bytes": facts.peak_bytes,
        "load_s": facts.load_s,
        "uses": entry.uses.total,
        "in_use": entry.pins,
        "pass_s": pass_s,
        "token_s": token_s,
        "bfloat16": None if facts.calibration is None else vars(facts.calibration),
    }


@dataclass(frozen=True)
class _Shelf:
    settings: InferenceSettings
    registry: Registry
    device: Device

    async def find(self, wanted: Wanted) -> Plan[TextModel]:
        if isinstance(wanted.model, Registered):
            read = partial(self._archive, wanted.model, _TASKS[wanted.kind])
            return Plan(wanted.model.file.bytes, partial(self._load, wanted, read))
        source = await asyncio.to_thread(find_model, wanted.model, self.settings)
        layout = await asyncio.to_thread(read_layout, source)
        files = Files(wanted.kind, source, layout)
        return Plan(layout.weights_bytes, partial(self._load, wanted, partial(_given, files)))

    async def _load(self, wanted: Wanted, read: Callable[[], Awaitable[Files | Archive]]) -> TextModel:
        remote = RemoteModel(self.device, read, self.settings.dtype)
        await remote.place()
        return TextModel(remote, kind=wanted.kind)

    async def _archive(self, found: Registered, task: LearningTask) -> Archive:
        return Archive(found, await self.registry.content(found), task)


async def _given(files: Files) -> Files:
    return files
