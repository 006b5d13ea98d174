"""Choosing ports on the loopback interface."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range that Linux and macOS hand out to outgoing connections: a restarted server must find its port free.
_CANDIDATES = range(20_000, 32_000)


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    candidates = random.sample(_CANDIDATES, 200)  # random, so that stacks starting at once rarely meet
    return next(port for port in candidates if is_free(port))
