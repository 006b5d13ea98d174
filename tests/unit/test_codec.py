"""The codec against pamqp: the same bytes, the same values."""

from typing import Any

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, decode, encode
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from messaging import codec

FRAME_MAX = 4096
CHANNELS = st.integers(1, 2047)
NAMES = st.text(st.characters(codec="utf-8"), max_size=60)
EXCHANGES = st.text("abcXYZ019-_.:", max_size=60)  # all that pamqp lets pass
TAGS = st.integers(1, 2**63 - 1)
FIELD_NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.none() | st.booleans() | NUMBERS | st.text(max_size=200)
VALUES = PLAIN | st.recursive(
    PLAIN | st.binary(max_size=20).map(bytearray),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD_NAMES, inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.dictionaries(FIELD_NAMES, VALUES, max_size=16)


def payloads(frames: bytes) -> list[tuple[int, int, bytes]]:
    """Kind, channel and payload of each frame."""
    found, at = [], 0
    while at < len(frames):
        kind, channel, size = codec.frame_start(frames, at)
        assert frames[at + 7 + size] == codec.END
        found.append((kind, channel, frames[at + 7 : at + 7 + size]))
        at += size + codec.OVERHEAD
    return found


def content_payload(properties: commands.Basic.Properties, size: int = 0) -> bytes:
    return ContentHeader(body_size=size, properties=properties).marshal()


@given(CHANNELS, EXCHANGES, NAMES, HEADERS, NAMES.filter(bool), st.binary(max_size=3 * FRAME_MAX))
def test_a_publish_is_what_pamqp_makes_of_it(
    channel: int, exchange: str, key: str, headers: dict[str, Any], message_id: str, body: bytes
) -> None:
    headers = dict(sorted(headers.items()))  # pamqp sorts; AMQP does not care
    properties = commands.Basic.Properties(
        headers=headers, content_type="application/json", delivery_mode=2, message_id=message_id
    )
    room = FRAME_MAX - codec.OVERHEAD
    frames: list[Any] = [
        commands.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True),
        ContentHeader(body_size=len(body), properties=properties),
        *(ContentBody(body[at : at + room]) for at in range(0, len(body), room)),
    ]
    expected = b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)
    published = codec.publish(channel, exchange, key, headers, message_id, body, FRAME_MAX)
    if headers:
        assert published == expected
    else:  # pamqp leaves an empty table out
        assert codec.content(payloads(published)[1][2]) == codec.Content(len(body), {}, message_id)


@given(CHANNELS, TAGS, st.booleans())
def test_an_ack_is_what_pamqp_makes_of_it(channel: int, tag: int, multiple: bool) -> None:
    expected = pamqp.frame.marshal(commands.Basic.Ack(tag, multiple), channel)
    assert codec.ack(channel, tag, multiple) == expected
    assert codec.confirm(payloads(expected)[0][2]) == (tag, multiple)


@given(NAMES, TAGS, st.booleans(), EXCHANGES, NAMES)
def test_a_delivery_is_read_as_pamqp_wrote_it(
    consumer: str, tag: int, redelivered: bool, exchange: str, key: str
) -> None:
    method = commands.Basic.Deliver(consumer, tag, redelivered, exchange, key)
    ((_, _, payload),) = payloads(pamqp.frame.marshal(method, 1))
    assert payload[:4] == codec.DELIVER
    assert codec.deliver(payload) == codec.Deliver(consumer, tag, redelivered, key)


OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "content_type": NAMES,
        "content_encoding": NAMES,
        "delivery_mode": st.integers(1, 2),
        "priority": st.integers(0, 9),
        "correlation_id": NAMES,
        "reply_to": NAMES,
        "expiration": NAMES,
        "message_id": NAMES.filter(bool),
        "message_type": NAMES,
        "user_id": NAMES,
        "app_id": NAMES,
    },
)


@given(HEADERS, OTHERS, st.integers(0, 2**40))
def test_whatever_properties_there_are_headers_and_message_id_are_found(
    headers: dict[str, Any], others: dict[str, Any], size: int
) -> None:
    payload = content_payload(commands.Basic.Properties(headers=headers, **others), size)
    expected = ContentHeader()
    expected.unmarshal(payload)
    found = codec.content(payload)
    assert found.headers == (expected.properties.headers or {})
    assert found.message_id == (expected.properties.message_id or "")
    assert found.body_size == size


@given(HEADERS)
def test_a_table_survives_in_both_directions(headers: dict[str, Any]) -> None:
    table = codec.encode_table(headers)
    assert decode.field_table(table) == (len(table), decode.field_table(encode.field_table(headers))[1])
    assert codec.decode_table(table, 4, len(table)) == decode.field_table(table)[1]


def test_text_that_is_no_utf8_stays_bytes() -> None:
    table = b"\x01aS\x00\x00\x00\x02\xff\xfe"
    assert codec.decode_table(table, 0, len(table)) == {"a": b"\xff\xfe"}


@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_count_as_none(garbage: bytes) -> None:
    """Never an exception: it would end the connection, and the next one would meet the same message."""
    payload = content_payload(commands.Basic.Properties(headers={"a": "b"}))[:12]
    found = codec.content(payload + b"\x20\x00" + len(garbage).to_bytes(4) + garbage)
    assert found.body_size == 0


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="range"):
        codec.publish(1, "", "k" * 256, {}, "m", b"", FRAME_MAX)
