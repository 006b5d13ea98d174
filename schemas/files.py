"""Bytes in the blob store, as messages and results name them."""

from typing import Annotated

from pydantic import Field

from schemas.contract import Contract
from schemas.patterns import Sha256


class StoredFile(Contract):
    sha256: Sha256
    """Digest of the bytes, which is their name."""
    bytes: Annotated[int, Field(ge=0)]
