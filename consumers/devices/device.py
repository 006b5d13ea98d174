"""A device whose child process is started when it is needed, and again after its death."""

import asyncio
from typing import Any, Self

import structlog

from consumers.devices.child import Child, DeviceLost
from consumers.runtime.verdicts import HaltConsumer, Verdict

log = structlog.get_logger()

_START_S = 180.0  # a loaded machine takes long to import torch


class Device:
    """`target` is `package.module:Class` of what the child serves, made there with `args`. The child ends with the
    device's block."""

    def __init__(self, target: str, *args: Any) -> None:
        self._target, self._args = target, args
        self._current: Child | None = None
        self._starting = asyncio.Lock()

    async def child(self) -> Child:
        """The one that lives now. Whoever has left something in it, such as a model, goes on asking that one.

        Raises HaltConsumer when none can be started, or the verdict with which its object refuses to be made.
        """
        async with self._starting:
            if self._current is None or not self._current.alive:
                if self._current is not None:
                    await self._current.close()
                self._current = await self._started()
            return self._current

    @property
    def pid(self) -> int | None:
        """Of the living child."""
        return self._current.pid if self._current is not None and self._current.alive else None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the child, whatever runs there."""
        async with self._starting:
            if self._current is not None:
                await self._current.close()

    async def _started(self) -> Child:
        try:
            child = await Child.start(self._target, self._args, _START_S)
        except Verdict:
            raise
        except DeviceLost as error:
            raise HaltConsumer(f"the device's process does not start: {error}") from error
        except Exception as error:
            raise HaltConsumer(f"the device does not serve: {type(error).__name__}: {error}") from error
        log.info("device.started", pid=child.pid)
        return child
