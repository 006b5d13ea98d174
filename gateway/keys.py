"""The operator's API key: prefix, 160 random bits, checksum. Kept as a digest and compared in constant time.

The checksum tells a mistyped or cut-off key, and a key found in a public place, from any other text.
"""

import hashlib
import hmac
import os
import secrets
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from gateway.settings import GatewaySettings

_PREFIX = "mr_"
_OPERATOR = "operator"


def new_key() -> str:
    secret = secrets.token_hex(20)
    return f"{_PREFIX}{secret}{_checksum(secret)}"


def well_formed(key: str) -> bool:
    secret, checksum = key.removeprefix(_PREFIX)[:-8], key[-8:]
    return key.startswith(_PREFIX) and hmac.compare_digest(_checksum(secret).encode(), checksum.encode())


def _checksum(secret: str) -> str:
    return f"{zlib.crc32(secret.encode()):08x}"


def scope_of(principal: str) -> str | None:
    """Whose jobs this principal may hear of; None for everybody's."""
    return None if principal == _OPERATOR else principal


class KeyRing:
    """Knows who a key belongs to. One operator for now."""

    def __init__(self, key: str) -> None:
        self._digest = hashlib.sha256(key.encode()).digest()
        self.cursor_secret = hashlib.sha256(b"cursor" + self._digest).digest()

    def principal(self, key: str) -> str | None:
        matches = hmac.compare_digest(hashlib.sha256(key.encode()).digest(), self._digest)
        return _OPERATOR if matches else None


def open_key_ring(settings: GatewaySettings) -> KeyRing:
    """The configured key, else the one generated at first start, readable by its owner only."""
    if settings.api_key is not None:
        return KeyRing(settings.api_key.get_secret_value())
    return KeyRing(_stored_key(settings.data_dir / "api_key"))


def _stored_key(path: Path) -> str:
    """Written apart and linked into place, so that of two gateways starting at once both read the same whole key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # readable by its owner only
            draft.write(new_key() + "\n")
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, path)
    return path.read_text().strip()
