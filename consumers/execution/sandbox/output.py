"""The two streams of a program, as they come, up to a limit each."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from schemas.execution import Stream

_PIECE = 2**16


class Outputs:
    """Owns the pipes' read ends. The write ends are the caller's to hand over and to close."""

    def __init__(self, most_bytes: int, tell: Callable[[Stream, bytes], None]) -> None:
        self._left = dict.fromkeys(Stream, most_bytes)
        self._tell = tell
        self._ends: dict[Stream, int] = {}
        self.write_ends: list[int] = []
        self.over = False
        """Whether more was written than may be."""
        for stream in Stream:
            self._ends[stream], write_end = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._ends[stream], False)
            self.write_ends.append(write_end)

    def follow(self, stop: Callable[[], object]) -> None:
        """`stop` is called once, when a stream has said too much."""
        loop = asyncio.get_running_loop()
        for stream, end in self._ends.items():
            loop.add_reader(end, self._readable, stream, stop)

    def _readable(self, stream: Stream, stop: Callable[[], object]) -> None:
        piece = self._read(stream)
        if piece is not None and len(piece) > self._left[stream] and not self.over:
            self.over = True
            stop()
        if not piece or self.over:
            asyncio.get_running_loop().remove_reader(self._ends[stream])
        self._pass_on(stream, piece or b"")

    def drain(self) -> None:
        """What is left in the pipes when all writers are dead."""
        for stream in Stream:
            while piece := self._read(stream):
                self.over = self.over or len(piece) > self._left[stream]
                self._pass_on(stream, piece)

    def _read(self, stream: Stream) -> bytes | None:
        """None when there is nothing now, nothing at all when there never will be."""
        try:
            return os.read(self._ends[stream], _PIECE)
        except BlockingIOError:
            return None

    def _pass_on(self, stream: Stream, piece: bytes) -> None:
        within = piece[: self._left[stream]]
        self._left[stream] -= len(within)
        if within:
            self._tell(stream, within)

    def close(self) -> None:
        loop = asyncio.get_running_loop()
        for end in self._ends.values():
            with suppress(ValueError, OSError):
                loop.remove_reader(end)
            os.close(end)
