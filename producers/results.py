"""What an ended job was asked and made, wherever the bytes lie."""

from typing import Any

from pydantic_core import to_json

from schemas.lifecycle import JobSucceeded
from storage.blobs import BlobStore
from storage.census import EndedJob


async def made(job: EndedJob, blobs: BlobStore) -> dict[str, Any]:
    """Raises BlobMissing, BlobUnavailable."""
    if job.result_claim is None:
        return job.result or {}
    body = await blobs.get(job.result_claim.path, job.result_claim.sha256)
    return JobSucceeded.model_validate_json(body).result


async def asked(job: EndedJob, blobs: BlobStore) -> bytes:
    """The parameters as JSON. Raises BlobMissing, BlobUnavailable."""
    if job.params_claim is None:
        return to_json(job.params or {})
    return await blobs.get(job.params_claim.path, job.params_claim.sha256)
