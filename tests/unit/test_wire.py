"""The wire without a socket: what it takes out of a broker's bytes, what it lets pass, what becomes of publishes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from messaging import codec
from messaging.confirms import Confirms, Fate
from messaging.wire import OnMessage, Wire, WireChannel

FRAME_MAX = 131_072


class Socket(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return False


OPENED = pamqp.frame.marshal(commands.Channel.OpenOk(), 3)


def wire_of(consumers: dict[str, OnMessage]) -> tuple[Wire, Socket, asyncio.StreamReader]:
    reader, socket = asyncio.StreamReader(), Socket()
    wire = Wire(reader, consumers)
    wire.connection_made(socket)
    wire.data_received(OPENED)
    return wire, socket, reader


def frames(*found: Any, channel: int = 3) -> bytes:
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in found)


def message(consumer: str, tag: int, body: bytes, headers: dict[str, Any], *, split: int = 10) -> bytes:
    properties = commands.Basic.Properties(headers=headers, message_id=f"m-{tag}")
    pieces = [ContentBody(body[at : at + split]) for at in range(0, len(body), split)]
    deliver = commands.Basic.Deliver(consumer, tag, False, "mr.commands", "kind")
    return frames(deliver, ContentHeader(body_size=len(body), properties=properties), *pieces)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=8), st.lists(st.integers(1, 60)))
def test_messages_of_known_consumers_are_taken_and_the_rest_passes_however_the_bytes_are_cut(
    sent: list[tuple[bool, bytes]], cuts: list[int]
) -> None:
    async def run() -> None:
        taken: list[tuple[int, bytes, str, Any]] = []

        def take(channel: WireChannel, deliver: codec.Deliver, content: codec.Content, body: bytes) -> None:
            taken.append((deliver.delivery_tag, body, content.message_id, content.headers["n"]))

        wire, _, reader = wire_of({"ours": take})
        stream, others = b"", b""
        for number, (ours, body) in enumerate(sent, 1):
            raw = message("ours" if ours else "theirs", number, body, {"n": str(number)})
            stream += raw
            others += b"" if ours else raw
        for cut in cuts:
            wire.data_received(stream[:cut])
            stream = stream[cut:]
        wire.data_received(stream)
        reader.feed_eof()
        passed = (await reader.read()).removeprefix(OPENED).replace(codec.BEAT, b"")
        assert taken == [(n, body, f"m-{n}", str(n)) for n, (ours, body) in enumerate(sent, 1) if ours]
        assert passed == others

    asyncio.run(run())


async def test_what_is_no_amqp_passes_as_it_is() -> None:
    wire, _, reader = wire_of({})
    wire.data_received(b"AMQP\x00\x00\x09\x01")
    wire.data_received(b"more")
    await reader.readexactly(len(OPENED))
    assert await reader.readexactly(12) == b"AMQP\x00\x00\x09\x01more"


async def test_a_busy_connection_is_told_to_be_alive() -> None:
    wire, _, reader = wire_of({"ours": lambda *_: None})
    await reader.readexactly(len(OPENED))
    wire.told_alive_at -= 2
    wire.data_received(message("ours", 1, b"{}", {}))
    assert await reader.readexactly(len(codec.BEAT)) == codec.BEAT


async def test_what_is_written_in_one_turn_leaves_at_once() -> None:
    wire, socket, _ = wire_of({})
    wire.write(b"a")
    wire.channel(3).ack(7, True)
    assert socket.writes == []
    await asyncio.sleep(0)
    assert socket.writes == [b"a" + codec.ack(3, 7, True)]


def close_by_broker(wire: Wire) -> None:
    wire.data_received(frames(commands.Channel.Close(406, "PRECONDITION_FAILED", 60, 80)))


def lose(wire: Wire) -> None:
    wire.connection_lost(None)


@pytest.mark.parametrize("end", [close_by_broker, lose])
async def test_the_end_of_a_channel_ends_what_it_runs_and_its_tags(end: Callable[[Wire], None]) -> None:
    wire, socket, _ = wire_of({})
    channel = wire.channel(3)
    running: list[str] = []

    async def run() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            running.append("cancelled")
            raise

    channel.spawn(run())
    await asyncio.sleep(0)
    end(wire)
    await wire.idle()
    assert running == ["cancelled"]
    channel.ack(1, False)
    await asyncio.sleep(0)
    assert socket.writes == []
    assert not wire.channel(3).is_open
    wire.data_received(OPENED)
    assert wire.channel(3).is_open
    assert wire.channel(3) is not channel


def publishing(deadline_s: float = 5) -> tuple[Wire, Confirms, list[asyncio.Future[Fate]]]:
    """Four messages, sent and not confirmed."""
    wire, _, _ = wire_of({})
    confirms = Confirms(wire.channel(3), FRAME_MAX, deadline_s)
    return wire, confirms, [confirms.publish("x", "k", {}, b"{}") for _ in range(4)]


def message_ids(stream: bytes) -> list[str]:
    """Of all that was published."""
    found, at = [], 0
    while at < len(stream):
        kind, _, size = codec.frame_start(stream, at)
        if kind == codec.HEADER:
            found.append(codec.content(stream[at + 7 : at + 7 + size]).message_id)
        at += size + codec.OVERHEAD
    return found


async def test_each_message_has_its_own_fate() -> None:
    wire, socket, _ = wire_of({})
    confirms = Confirms(wire.channel(3), FRAME_MAX, 5)
    sent = [confirms.publish("x", "k", {}, b"{}") for _ in range(4)]
    wire.flush()
    returned = commands.Basic.Properties(message_id=message_ids(b"".join(socket.writes))[2])
    wire.data_received(
        frames(commands.Basic.Ack(2, True), commands.Basic.Return(312, "NO_ROUTE", "x", "k"))
        + frames(ContentHeader(body_size=0, properties=returned), commands.Basic.Ack(3), commands.Basic.Nack(4))
    )
    assert [future.result() for future in sent] == [Fate.TAKEN, Fate.TAKEN, Fate.RETURNED, Fate.REFUSED]


async def test_an_end_of_the_channel_is_no_confirm() -> None:
    wire, _, sent = publishing()
    wire.data_received(frames(commands.Basic.Ack(1)))
    close_by_broker(wire)
    assert [future.result() for future in sent] == [Fate.TAKEN, Fate.LOST, Fate.LOST, Fate.LOST]


async def test_silence_is_no_confirm_and_a_late_one_hurts_nobody() -> None:
    wire, confirms, sent = publishing(deadline_s=0.01)
    wire.data_received(frames(commands.Basic.Ack(2)))
    fates = await asyncio.gather(*sent)
    assert fates == [Fate.OVERDUE, Fate.TAKEN, Fate.OVERDUE, Fate.OVERDUE]
    later = confirms.publish("x", "k", {}, b"{}")
    wire.data_received(frames(commands.Basic.Ack(5, True)))
    assert await later is Fate.TAKEN
    lose(wire)


async def test_what_cannot_be_said_takes_no_number() -> None:
    wire, confirms, _ = publishing()
    with pytest.raises(TypeError):
        confirms.publish("x", "k", {"a": object()}, b"{}")
    fifth = confirms.publish("x", "k", {}, b"{}")
    wire.data_received(frames(commands.Basic.Ack(5)))
    assert await fifth is Fate.TAKEN
    lose(wire)
