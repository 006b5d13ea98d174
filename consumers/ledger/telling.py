"""From an event to what those are told who listen over HTTP: written once here, and passed on unread by everybody."""

from pydantic_core import to_json

from messaging import names
from schemas.envelope import Envelope
from schemas.lifecycle import LifecycleEvent
from storage.event_log import Told

LARGEST_DATA = 16 * 1024
"""Bytes of a body that are told along; what is larger can be read from the job."""


def tell(envelope: Envelope, event: LifecycleEvent, body: bytes, order: int) -> Told:
    """`body` is that of the event's message, which has been read as JSON: so a line break in it stands between
    tokens, and need not be there."""
    topic = names.event_key(envelope.kind, event.fact)
    head = {
        "id": envelope.id,
        "topic": topic,
        "type": envelope.type,
        "time": envelope.time,
        "dataschema": envelope.dataschema,
        "job": envelope.job_id,
        "kind": envelope.kind,
        "principal": envelope.principal,
        "generation": envelope.generation,
        "attempt": envelope.attempt,
        "order": order,
    }
    data = body.translate(_SPACES) if 0 < len(body) <= LARGEST_DATA else b"null"
    return Told(topic, envelope.principal, to_json(head)[:-1] + b',"data":' + data + b"}")


_SPACES = bytes.maketrans(b"\r\n", b"  ")
