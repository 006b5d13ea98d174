"""What a worker and its device's child say to each other, and how it crosses the socket.

A frame is a head (number of arrays, size of the pickle, size of each array), the pickle, and the arrays as they lie
in memory. Both ends are ours, so that a pickle is no risk.
"""

import pickle
import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

_HEAD = struct.Struct("<IQ")
_SIZE = struct.Struct("<Q")


@dataclass(frozen=True)
class Serve:
    """The first thing said to a child."""

    target: str
    """`package.module:Class` of what it is to serve."""
    args: tuple[Any, ...]
    log_level: str
    id: int = -1


@dataclass(frozen=True)
class Call:
    id: int
    method: str
    args: tuple[Any, ...]
    lane: str
    streams: bool = False
    """The method is given a `Stream` before its arguments, and what it tells there outlives its return."""


@dataclass(frozen=True)
class Drop:
    """Nobody listens to a stream any more; said of each, once."""

    id: int


@dataclass(frozen=True)
class Returned:
    """A method has; of a stream too, whose end is something else."""

    id: int
    value: Any = None


@dataclass(frozen=True)
class Raised:
    """Instead of an answer; a stream ends with it."""

    id: int
    error: Exception


@dataclass(frozen=True)
class Told:
    """Of a stream."""

    id: int
    event: Any


@dataclass(frozen=True)
class Ended:
    id: int
    error: Exception | None = None


Said = Returned | Raised | Told | Ended
"""What a child says of a call."""


def packed(message: object) -> list[bytes | memoryview]:
    """One frame, in pieces, so that arrays are not copied."""
    beside: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=beside.append)
    arrays = [buffer.raw() for buffer in beside]
    head = _HEAD.pack(len(arrays), len(body)) + b"".join(_SIZE.pack(array.nbytes) for array in arrays)
    return [head, body, *arrays]


def parsing() -> Generator[int, bytes | bytearray, Any]:
    """Reads one frame: yields how many bytes it wants, is sent them, and returns the message."""
    count, size = _HEAD.unpack((yield _HEAD.size))
    sizes: Sequence[int] = [each for (each,) in _SIZE.iter_unpack((yield _SIZE.size * count))] if count else ()
    body = yield size
    arrays = []
    for each in sizes:
        arrays.append((yield each) if each else b"")  # noqa: PERF401  # a comprehension cannot yield
    return pickle.loads(body, buffers=arrays)  # noqa: S301  # from our own child, or from its parent
