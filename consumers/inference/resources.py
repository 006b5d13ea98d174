"""What the handlers of one process share: the resident models, and the device that computes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from consumers.devices import Device
from consumers.encoders.layout import read_layout
from consumers.encoders.sources import find_model
from consumers.inference.ports import Archive, Files
from consumers.inference.registered import Registered, Registry
from consumers.inference.remote import RemoteModel
from consumers.inference.residency import ModelCache, Plan
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_model import TextModel
from schemas.jobs.text_classify import TEXT_CLASSIFY
from schemas.jobs.text_ner import TEXT_NER
from schemas.kinds import AnyKind
from schemas.learning import LearningTask
from schemas.texts import REGISTRY_PREFIX

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
    models: ModelCache[Wanted, TextModel]
    registry: Registry
    device: Device

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
    settings: InferenceSettings, registry: Registry, engine: str = ENGINE
) -> AsyncIterator[Inference]:
    """With the device's child process started. No model is loaded until the first job asks for it."""
    async with Device(engine, settings) as device:
        await device.child()
        models = ModelCache(_Shelf(settings, registry, device).find, settings.memory_bytes)
        try:
            yield Inference(models, registry, device)
        finally:
            await models.close()


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
