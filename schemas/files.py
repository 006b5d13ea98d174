"""Bytes in the blob store, as messages and results name them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from schemas.contract import Contract

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class StoredFile(Contract):
    sha256: Sha256
    """Digest of the bytes, which is their name."""
    bytes: Annotated[int, Field(ge=0)]
