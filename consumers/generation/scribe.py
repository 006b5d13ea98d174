"""Texts as the handlers see them: begun in the device's child process, and heard of piece by piece."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from consumers.devices import Child, Device, DeviceLost
from consumers.generation.asking import Ask, Begun, Piece
from consumers.generation.settings import GenerationSettings
from consumers.runtime.verdicts import RetryLater
from schemas.generation import LanguageModel

_COMPUTE, _LOAD = "compute", "load"
_STEP_LIMIT_S = 120.0  # of what takes milliseconds: a long prompt, on a slow machine that does other things
_LOAD_LIMIT_S = 3600.0  # a download may be part of it


@dataclass(frozen=True)
class Text:
    """One that is being written."""

    model: LanguageModel
    begun: Begun
    heard: asyncio.Queue[Piece | Exception]

    async def pieces(self) -> AsyncIterator[Piece]:
        """Behind what was written before, until it ends. Raises RetryLater, DeviceLost."""
        last = self.begun.pieces[-1] if self.begun.pieces else None
        while last is None or last.finish is None:
            said = await self.heard.get()
            if isinstance(said, Exception):
                raise said
            last = said
            yield said


@dataclass(eq=False)
class _Desk:
    """What one life of the child process writes."""

    child: Child
    heard: dict[str, asyncio.Queue[Piece | Exception]] = field(default_factory=dict)
    more: bool = False
    stepping: asyncio.Task[None] | None = None

    def go_on(self) -> None:
        self.more = True
        if self.stepping is None or self.stepping.done():
            self.stepping = asyncio.create_task(self._step())

    async def _step(self) -> None:
        """For as long as there is something to write. One step at a time, so that calls come in between."""
        try:
            while self.more:
                self.more = False
                said = await self.child.call("step", lane=_COMPUTE, limit_s=_STEP_LIMIT_S)
                self.more = self.more or said.busy
                for text, piece in said.pieces:
                    self._tell(text, piece)
                for text, why in said.failed:
                    self._tell(text, RetryLater(why))
        except Exception as error:  # noqa: BLE001  # who waits for a piece would wait for ever
            for text in self.heard:
                self._tell(text, error)

    def _tell(self, text: str, what: Piece | Exception) -> None:
        if text in self.heard:
            self.heard[text].put_nowait(what)


class Scribe:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._desk: _Desk | None = None

    @asynccontextmanager
    async def text(self, model: str, ask: Ask) -> AsyncIterator[Text]:
        """Given up on exit, unless it has ended. Raises Reject, RetryLater, HaltConsumer."""
        child = await self._device.child()
        if self._desk is None or self._desk.child is not child:
            self._desk = _Desk(child)
        desk = self._desk
        try:
            identity = await child.call("hold", model, lane=_LOAD, limit_s=_LOAD_LIMIT_S)
            heard = desk.heard[ask.id] = asyncio.Queue()  # before it begins: a step for others may tell of it first
            try:
                begun = await child.call("begin", model, ask, lane=_COMPUTE, limit_s=_STEP_LIMIT_S)
                desk.go_on()
                yield Text(identity, begun, heard)
            finally:
                del desk.heard[ask.id]
                await _leave(child, model, ask.id)
        except DeviceLost as error:
            raise RetryLater(str(error)) from error


async def _leave(child: Child, model: str, id: str) -> None:
    with suppress(DeviceLost):
        await child.call("cancel", model, id, lane=_COMPUTE)
        await child.call("release", model, lane=_LOAD)


@asynccontextmanager
async def open_scribe(settings: GenerationSettings) -> AsyncIterator[Scribe]:
    """Its child process starts when the first text is asked for."""
    async with Device("consumers.generation.writing:Writing", settings) as device:
        yield Scribe(device)
