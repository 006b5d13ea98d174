"""Decoding: what must be true of a message before anything else looks at it."""

from typing import Any, TypeVar

from pydantic import ValidationError

from messaging.message import claim_in
from schemas.contract import Contract, UnknownContract
from schemas.envelope import Envelope
from storage.blobs import BlobMissing, BlobStore

C = TypeVar("C", bound=Contract)


class Undecodable(Exception):
    """Headers or body fit no contract we know: no retry can help."""


def read_envelope(headers: dict[str, Any]) -> Envelope:
    try:
        return Envelope.from_headers(headers)
    except ValidationError as error:
        raise Undecodable(f"envelope: {_summary(error)}") from error


async def read_body(
    contract: type[Contract], envelope: Envelope, headers: dict[str, Any], body: bytes, blobs: BlobStore
) -> Any:
    """The body as the newest version of `contract`, fetched from the blob store when it is claim-checked.

    Raises Undecodable, or BlobUnavailable when the store may answer later.
    """
    claim = claim_in(headers)
    try:
        if claim is not None:
            body = await blobs.get(claim.path, claim.sha256)
        return contract.read(envelope.dataschema, body)
    except ValidationError as error:
        raise Undecodable(f"{envelope.dataschema}: {_summary(error)}") from error
    except (UnknownContract, BlobMissing) as error:
        raise Undecodable(str(error)) from error


def _summary(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in problems[:5])
