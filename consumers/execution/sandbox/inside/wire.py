"""Messages between consumer, daemon, zygote and a job's own processes: JSON on sockets that keep their bounds, with
descriptors beside it and, when asked for, who sent it as the kernel knows."""

import array
import fcntl
import json
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

MOST = 160 * 1024
"""Bytes of a message. What may be larger goes by a memory file."""
MOST_DESCRIPTORS = 64
_BESIDE = socket.CMSG_SPACE(4 * MOST_DESCRIPTORS) + socket.CMSG_SPACE(12)


@dataclass(frozen=True)
class Message:
    body: dict[str, Any]
    descriptors: tuple[int, ...]
    pid: int
    """Of the sender, in the receiver's namespace; 0 when the socket does not ask."""


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(to: socket.socket, body: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    held = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    to.sendmsg([json.dumps(body).encode()], held)


def receive(source: socket.socket) -> Message | None:
    """The next message; None when the other side is gone."""
    try:
        content, ancillary, _, _ = source.recvmsg(MOST, _BESIDE, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    descriptors: array.array[int] = array.array("i")
    pid = 0
    for level, kind, value in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(value[: len(value) - len(value) % 4])
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid = struct.unpack("iii", value)[0]
    if not content:
        close(descriptors)
        return None
    return Message(json.loads(content), tuple(descriptors), pid)


def identify(source: socket.socket) -> None:
    """From now on messages on it say who sent them."""
    source.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)


def close(descriptors: Iterable[int]) -> None:
    for held in descriptors:
        os.close(held)


def memory_file(content: bytes, name: str) -> int:
    """Bytes behind a descriptor, from their start. Sealed: nobody who is handed it can change them."""
    made = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(made), "wb") as writing:
        writing.write(content)
    os.lseek(made, 0, os.SEEK_SET)
    fcntl.fcntl(
        made, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return made


def content_of(held: int) -> bytes:
    size = os.fstat(held).st_size
    return os.pread(held, size, 0)
