"""What a running program writes, in Redis: gathered, cut when it has become long, and never in the way."""

import asyncio
from uuid import uuid4

import pytest

from millrace.stack.ports import free_port
from schemas.execution import Stream
from storage.feed import open_feed_reader
from storage.output import STARTED, TRUNCATED, OutputEntry, open_output_writer, written
from storage.settings import StorageSettings
from tests.support.servers import Servers


async def entries(servers: Servers, *pieces: tuple[Stream, bytes]) -> list[OutputEntry]:
    settings, job_id = StorageSettings(REDIS_URL=servers.redis.url), uuid4().hex
    async with open_output_writer(settings) as writer, open_feed_reader(settings) as feed:
        async with writer.of(job_id) as live:
            for stream, piece in pieces:
                live.write(stream, piece)
        found = await written(feed, job_id, None)
        assert await written(feed, job_id, found[0].id) == found[1:]
    return found


async def test_pieces_are_gathered_in_their_order(servers: Servers) -> None:
    found = await entries(
        servers,
        *[(Stream.STDOUT, bytes([byte])) for byte in "grüße\n".encode()],
        (Stream.STDERR, b"oh \xff"),
        (Stream.STDOUT, "€".encode()[:2]),
    )
    texts = "".join(f"{each.what}:{each.text}|" for each in found)
    assert found[0].what == STARTED
    assert texts.endswith("stderr:oh \N{REPLACEMENT CHARACTER}|stdout:\N{REPLACEMENT CHARACTER}|")
    assert "".join(each.text for each in found if each.what == "stdout") == "grüße\n\N{REPLACEMENT CHARACTER}"
    assert len(found) < 8, "not one for each piece"


async def test_what_is_written_in_the_moment_of_closing_is_there(servers: Servers) -> None:
    """Whether the sender slept, or was on its way to Redis."""
    settings = StorageSettings(REDIS_URL=servers.redis.url)
    async with asyncio.timeout(10), open_output_writer(settings) as writer, open_feed_reader(settings) as feed:
        for steps in range(12):
            job_id = uuid4().hex
            async with writer.of(job_id) as live:
                for _ in range(steps):
                    await asyncio.sleep(0)
                live.write(Stream.STDOUT, b"the last word")
            assert [each.text for each in await written(feed, job_id, None)][-1] == "the last word"


async def test_live_output_ends_when_it_is_long(servers: Servers) -> None:
    found = await entries(servers, *[(Stream.STDOUT, b"x" * 10_000)] * 40)
    assert sum(len(each.text) for each in found) == 256 * 1024
    assert [each.what for each in found].count(TRUNCATED) == 1
    assert found[-1].what == TRUNCATED


@pytest.mark.parametrize("piece", [b"", b"text"])
async def test_without_redis_nobody_waits(piece: bytes) -> None:
    settings = StorageSettings(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    async with asyncio.timeout(5), open_output_writer(settings) as writer, writer.of("0" * 32) as live:
        live.write(Stream.STDOUT, piece)
