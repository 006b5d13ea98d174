"""How many deliveries a consumer holds, and when it holds none."""

import asyncio
from types import TracebackType


class InFlight:
    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    def add(self, number: int = 1) -> None:
        self.count += number
        if self.count:
            self._none.clear()
        else:
            self._none.set()

    async def none(self) -> None:
        """Return when nothing is in flight."""
        await self._none.wait()

    def __enter__(self) -> None:
        self.add()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.add(-1)
