"""Opaque, signed cursors: a client can neither read nor make one, and one of another list is refused."""

import base64
import binascii
import hmac
from datetime import datetime

from gateway.problems import ProblemError
from schemas.problems import InvalidField

_MAC_BYTES = 12


def encode(secret: bytes, list_name: str, created_at: datetime, job_id: str) -> str:
    content = f"{created_at.isoformat()} {job_id}".encode()
    return base64.urlsafe_b64encode(_mac(secret, list_name, content) + content).decode()


def decode(secret: bytes, list_name: str, cursor: str) -> tuple[datetime, str]:
    """Raises ProblemError for anything that `encode` did not make for this list."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode())
    except (binascii.Error, ValueError):
        raise _refused() from None
    mac, content = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(secret, list_name, content)):
        raise _refused()
    created_at, _, job_id = content.decode().partition(" ")
    return datetime.fromisoformat(created_at), job_id


def _mac(secret: bytes, list_name: str, content: bytes) -> bytes:
    return hmac.digest(secret, list_name.encode() + b"\0" + content, "sha256")[:_MAC_BYTES]


def _refused() -> ProblemError:
    detail = "not a cursor of this list; take `next` from the page before, with the same filters"
    return ProblemError("invalid-query", f"cursor: {detail}", errors=[InvalidField(pointer="cursor", detail=detail)])
