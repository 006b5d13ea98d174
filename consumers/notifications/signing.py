"""Signatures as the Standard Webhooks specification says (standardwebhooks.com, version 1 of the symmetric ones)."""

import base64
import hmac
from collections.abc import Sequence
from datetime import datetime

from producers.notifications import SECRET_PREFIX
from storage.documents import StoredSecret


def signed(event: str, at: datetime, body: bytes, secrets: Sequence[StoredSecret]) -> dict[str, str]:
    """The headers of a request: one signature for every secret that is valid at that time."""
    timestamp = str(int(at.timestamp()))
    valid = [secret.key for secret in secrets if secret.until is None or secret.until > at]
    signatures = [_signature(key, f"{event}.{timestamp}.".encode() + body) for key in valid]
    return {"webhook-id": event, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def _signature(key: str, content: bytes) -> str:
    secret = base64.b64decode(key.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
