"""Where a request may go whose URL somebody else has given: to the public, not into our own network.

A name is resolved here and the connection is made to an address that was looked at, so that a name which means
something else a moment later is no way in.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = IPv6Network("64:ff9b::/96")


class NotAllowed(Exception):
    """No address of the receiver may be reached."""


def may_reach(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether it is public, also where an IPv4 address hides in an IPv6 one, or allowed by name."""
    hidden = _hidden(address)
    if hidden is not None:
        return may_reach(hidden, allowed)
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast


def _hidden(address: Address) -> IPv4Address | None:
    """An IPv4 address that a router or the kernel would take this one for."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what may be reached, and to nothing else."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed, self._backend = allowed, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises NotAllowed, and what httpcore raises."""
        found = await self._resolve(host, port, timeout)
        addresses = [address for address in found if may_reach(address, self._allowed)]
        if not addresses:
            # Without the addresses: what a name means in our network is nobody's business.
            raise NotAllowed(f"{host} is not public, nor in MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS")
        failure: Exception | None = None
        for address in addresses:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # noqa: S101  # there was an address
        raise failure

    async def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise NotAllowed(f"{path} is no host")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    async def _resolve(self, host: str, port: int, limit_s: float | None) -> list[Address]:
        try:
            async with asyncio.timeout(limit_s):
                loop = asyncio.get_running_loop()
                found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
        except OSError as error:  # also of names that cannot be one
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error.strerror or error}") from error
        except UnicodeError as error:
            raise httpcore.ConnectError(f"{host} is no name: {error}") from error
        return [ip_address(str(item[4][0]).partition("%")[0]) for item in found]
