"""Where bytes lie that are too large for a document."""

from pydantic import BaseModel


class StoredClaim(BaseModel):
    """Where the bytes of a large value lie in the blob store."""

    path: str
    sha256: str
