"""What the device's child process serves: resident language models that write. No method runs beside another of its
lane: `hold` and `release` are one lane, the others are the one that computes."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import structlog
import torch

from consumers.encoders.layout import read_layout
from consumers.encoders.reading import best_device
from consumers.encoders.refusals import unsupported
from consumers.encoders.sources import find_model
from consumers.generation.asking import Ask, Begun, Piece, Said
from consumers.generation.loading import load_writer
from consumers.generation.settings import GenerationSettings
from consumers.generation.writer import Writer
from consumers.runtime.verdicts import RetryLater
from schemas.generation import LanguageModel

log = structlog.get_logger()

_TELL_AFTER_S = 0.03  # passes go on for so long before what they said is told


@dataclass(eq=False)
class _Held:
    writer: Writer
    holders: int = 0


class Writing:
    def __init__(self, settings: GenerationSettings) -> None:
        self._settings = settings
        self._models: OrderedDict[str, _Held] = OrderedDict()  # least recently used first
        self._guard = threading.Lock()  # of the names; each writer belongs to the lane that computes

    def hold(self, name: str) -> LanguageModel:
        """Load it when it is not there; it stays until it is released as often. Raises Reject, RetryLater."""
        with self._guard:
            if (found := self._models.get(name)) is not None:
                found.holders += 1
                self._models.move_to_end(name)
                return found.writer.identity
        writer = self._loaded(name)
        with self._guard:
            self._models[name] = _Held(writer, holders=1)
        return writer.identity

    def release(self, name: str) -> None:
        with self._guard:
            self._models[name].holders -= 1

    def begin(self, name: str, ask: Ask) -> Begun:
        """Of a model that is held. Raises Reject."""
        self._limit_threads()
        return self._models[name].writer.begin(ask)

    def cancel(self, name: str, id: str) -> None:
        self._models[name].writer.cancel(id)

    def step(self) -> Said:
        """Some passes of every model that has something to write."""
        pieces: list[tuple[str, Piece]] = []
        failed: list[tuple[str, str]] = []
        until = time.monotonic() + _TELL_AFTER_S
        while (busy := self._busy()) and time.monotonic() < until:
            for writer in busy:
                try:
                    pieces += writer.step()
                except Exception as error:  # noqa: BLE001  # out of memory, mostly; other models write on
                    log.error("writing.failed", model=writer.identity.name, error=str(error))
                    failed += [(text, f"{type(error).__name__}: {error}"[:500]) for text in writer.fail()]
        return Said(pieces, failed, bool(busy))

    def _busy(self) -> list[Writer]:
        with self._guard:
            return [held.writer for held in self._models.values() if held.writer.busy]

    def _loaded(self, name: str) -> Writer:
        source = find_model(name, self._settings)
        needed = read_layout(source).weights_bytes
        if needed > self._settings.memory_bytes:
            raise unsupported(
                name,
                f"takes {needed:,} bytes of at most {self._settings.memory_bytes:,}; "
                "the operator can raise MILLRACE_GENERATION_MEMORY_BYTES",
            )
        self._make_room(needed)
        self._limit_threads()
        started = time.monotonic()
        try:
            writer = load_writer(source, self._settings, self._device)
        except MemoryError as error:
            raise RetryLater(f"no memory for {name} on {self._device}: {error}") from error
        log.info("model.loaded", model=name, bytes=writer.nbytes, seconds=round(time.monotonic() - started, 2))
        return writer

    def _make_room(self, needed: int) -> None:
        with self._guard:
            while needed + sum(held.writer.nbytes for held in self._models.values()) > self._settings.memory_bytes:
                idle = next((name for name, held in self._models.items() if not held.holders), None)
                if idle is None:
                    raise RetryLater("every resident model is writing, and there is no room beside them")
                del self._models[idle]
                log.info("model.evicted", model=idle)

    def _limit_threads(self) -> None:
        """PyTorch counts them for each thread that calls."""
        if self._settings.threads is not None:
            torch.set_num_threads(self._settings.threads)

    @property
    def _device(self) -> torch.device:
        return best_device() if self._settings.device == "auto" else torch.device(self._settings.device)
