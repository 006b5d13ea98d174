"""The few AMQP frames that every job needs, written and read at the speed that a job allows.

pamqp builds an object per frame and looks each field up by name, which was a third of what a worker and the ledger
did. Here a publish is one run of bytes and a delivery three looks into them; whatever is rare (a float, a table in a
table) is left to pamqp, whose bytes and values these are: tests/unit/test_codec.py compares them.

https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, sections 2.3.5 (frames) and 4.2.6 (content);
https://www.rabbitmq.com/docs/amqp-0-9-1-errata for the types of a table's fields.
"""

import struct
from functools import lru_cache
from typing import Any, NamedTuple

from pamqp import decode, encode

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE
OVERHEAD = 8
"""Bytes of a frame around its payload: seven before it, one behind."""

frame_start = struct.Struct(">BHI").unpack_from
"""Kind, channel and size of the payload."""

_pack_start = struct.Struct(">BHI").pack
_pack_content = struct.Struct(">HHQH").pack
_pack_ack = struct.Struct(">BHIHHQBB").pack
_unpack_u32 = struct.Struct(">I").unpack_from
_unpack_u64 = struct.Struct(">Q").unpack_from
_unpack_i8 = struct.Struct(">b").unpack_from

_END = bytes([END])
_BASIC = 60
PUBLISH, RETURN, DELIVER, ACK, NACK = (struct.pack(">HH", _BASIC, method) for method in (40, 50, 60, 80, 120))
CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (struct.pack(">HH", 20, method) for method in (11, 40, 41))
BEAT = _pack_start(HEARTBEAT, 0, 0) + _END

# Which properties a content header carries, in the order in which they follow (4.2.6.1).
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE, _PRIORITY = (1 << bit for bit in (15, 14, 13, 12, 11))
_CORRELATION_ID, _REPLY_TO, _EXPIRATION, _MESSAGE_ID, _MORE = (1 << bit for bit in (10, 9, 8, 7, 0))
_OURS = _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
_JSON = b"\x10application/json"
_PERSISTENT = b"\x02"
_TEXT, _TINY = ord("S"), ord("b")


class Deliver(NamedTuple):
    """The broker hands over a message; its header and body follow."""

    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    routing_key: str


class Content(NamedTuple):
    """What the header of a message says."""

    body_size: int
    headers: dict[str, Any]
    message_id: str


def publish(
    channel: int,
    exchange: str,
    routing_key: str,
    headers: dict[str, Any],
    message_id: str,
    body: bytes,
    frame_max: int,
) -> bytes:
    """The frames of a mandatory, persistent publish of JSON. Raises ValueError for a name that is too long, TypeError
    for a header that AMQP cannot say."""
    table, name = encode_table(headers), message_id.encode()
    start = _pack_content(_BASIC, 0, len(body), _OURS)
    content = b"".join((start, _JSON, table, _PERSISTENT, bytes((len(name),)), name))
    parts = [_publish_method(channel, exchange, routing_key), _frame(HEADER, channel, content)]
    room = frame_max - OVERHEAD
    parts += [_frame(BODY, channel, body[at : at + room]) for at in range(0, len(body), room)]
    return b"".join(parts)


def ack(channel: int, delivery_tag: int, multiple: bool) -> bytes:
    return _pack_ack(METHOD, channel, 13, _BASIC, 80, delivery_tag, multiple, END)


def deliver(payload: bytes) -> Deliver:
    tag, at = _short_text(payload, 4)
    (number,) = _unpack_u64(payload, at)
    redelivered = bool(payload[at + 8] & 1)
    key, _ = _short_text(payload, at + 10 + payload[at + 9])  # behind the exchange
    return Deliver(tag, number, redelivered, key)


def confirm(payload: bytes) -> tuple[int, bool]:
    """Of an ack or a nack by the broker: up to which delivery tag, and whether for all before it as well."""
    return _unpack_u64(payload, 4)[0], bool(payload[12] & 1)


def content(payload: bytes) -> Content:
    """Headers that cannot be read count as none: then the message fits no contract, and its consumer gives it up. To
    raise would end the connection, and the next one would meet the same message again."""
    (body_size,) = _unpack_u64(payload, 4)
    try:
        headers, message_id = _properties(payload)
    except Exception:  # noqa: BLE001  # whatever garbage makes a decoder raise
        return Content(body_size, {}, "")
    return Content(body_size, headers, message_id)


def encode_table(headers: dict[str, Any]) -> bytes:
    """A field table. Raises TypeError."""
    parts: list[bytes] = []
    for name, value in headers.items():
        if type(value) is str:
            text = value.encode()
            parts += (_text_field(name), len(text).to_bytes(4), text)
        else:
            parts += (_text_field(name)[:-1], encode.encode_table_value(value))
    fields = b"".join(parts)
    return len(fields).to_bytes(4) + fields


def decode_table(data: bytes, at: int, end: int) -> dict[str, Any]:
    """The fields between `at` and `end`. Raises ValueError, IndexError or struct.error."""
    found: dict[str, Any] = {}
    while at < end:
        behind = at + 1 + data[at]
        name = data[at + 1 : behind].decode()
        kind = data[behind]
        if kind == _TEXT:
            start = behind + 5
            at = start + _unpack_u32(data, behind + 1)[0]
            text = data[start:at]
            try:
                found[name] = text.decode()
            except UnicodeDecodeError:
                found[name] = text
        elif kind == _TINY:
            (found[name],) = _unpack_i8(data, behind + 1)
            at = behind + 2
        else:
            size, found[name] = decode.embedded_value(data[behind:end])
            at = behind + size
    if at != end:
        raise ValueError("a field reaches beyond its table")
    return found


def _properties(payload: bytes) -> tuple[dict[str, Any], str]:
    flags, at = int.from_bytes(payload[12:14]), 14
    if flags & _MORE:
        raise ValueError("there are no properties beyond the fourteenth")
    headers: dict[str, Any] = {}
    for flag in (_CONTENT_TYPE, _CONTENT_ENCODING):
        if flags & flag:
            at += 1 + payload[at]
    if flags & _HEADERS:
        end = at + 4 + _unpack_u32(payload, at)[0]
        headers, at = decode_table(payload, at + 4, end), end
    at += bool(flags & _DELIVERY_MODE) + bool(flags & _PRIORITY)
    for flag in (_CORRELATION_ID, _REPLY_TO, _EXPIRATION):
        if flags & flag:
            at += 1 + payload[at]
    return headers, _short_text(payload, at)[0] if flags & _MESSAGE_ID else ""


def _short_text(data: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(errors="replace"), end


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _pack_start(kind, channel, len(payload)) + payload + _END


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw  # ValueError beyond 255


@lru_cache(maxsize=1024)
def _publish_method(channel: int, exchange: str, routing_key: str) -> bytes:
    mandatory = b"\x01"
    return _frame(METHOD, channel, PUBLISH + b"\x00\x00" + _short(exchange) + _short(routing_key) + mandatory)


@lru_cache(maxsize=1024)
def _text_field(name: str) -> bytes:
    return _short(name) + b"S"
