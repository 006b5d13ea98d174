"""One HTTP request to somebody else's server, which may be slow, broken or hostile.

The status decides, and nothing else that comes back is needed: so redirects are not followed, an answer is read to a
few kilobytes and for a moment, and nothing of it is unpacked.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpcore

from consumers.notifications.addresses import CheckedBackend, NotAllowed
from consumers.notifications.settings import NotificationSettings

_MOST_READ = 4_000  # bytes
_READING_S = 2.0
_CONNECTIONS = 200


@dataclass(frozen=True)
class Answer:
    """What came back; `status` is None when nothing did, and `error` then says why."""

    status: int | None
    duration_s: float
    error: str | None = None
    text: str = ""
    retry_after_s: float | None = None
    forbidden: bool = False
    """Whether the address may not be reached."""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Courier:
    def __init__(self, pool: httpcore.AsyncConnectionPool, settings: NotificationSettings) -> None:
        self._pool, self._settings = pool, settings

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Never raises for what the receiver does."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.connect_s + self._settings.answer_s):
                status, found, text = await self._post(url, headers, body)
        except NotAllowed as error:
            return Answer(None, _since(started), str(error), forbidden=True)
        except TimeoutError:
            return Answer(None, _since(started), "no answer in time")
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            return Answer(None, _since(started), f"{type(error).__name__}: {error}".rstrip(": "))
        unwanted = None if 200 <= status < 300 else _unwanted(status, found)
        return Answer(status, _since(started), unwanted, text, _seconds(found.get("retry-after", "")))

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], str]:
        settings = self._settings
        timeout = {"connect": settings.connect_s, "read": settings.answer_s, "write": settings.answer_s}
        async with self._pool.stream(
            "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
        ) as response:
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
            return response.status, found, await _beginning(response)


async def _beginning(response: httpcore.Response) -> str:
    """What the answer begins with, as far as it comes; without reading more than that."""
    read = bytearray()
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        async with asyncio.timeout(_READING_S):
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) >= _MOST_READ:
                    break
    return read[:_MOST_READ].decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _unwanted(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return f"{status}, and redirects are not followed: {headers.get('location', 'to nowhere')[:300]}"
    return f"answered {status}"


def _seconds(retry_after: str) -> float | None:
    return float(retry_after) if retry_after.isdecimal() and len(retry_after) < 7 else None


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 4)


@asynccontextmanager
async def open_courier(settings: NotificationSettings) -> AsyncIterator[Courier]:
    pool = httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=_CONNECTIONS,
        keepalive_expiry=15.0,
        network_backend=CheckedBackend(settings.allowed_networks),
    )
    async with pool:
        yield Courier(pool, settings)
