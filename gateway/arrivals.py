"""Files that arrived before they were named: in parts through us, or directly in the bucket."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from gateway.dependencies import Parts
from gateway.problems import ProblemError, invalid_fields
from gateway.uploads import Upload
from schemas.problems import InvalidField
from schemas.resources import Resource, Time
from storage.blob_writers import Written, blob_path
from storage.blobs import BlobMissing, NoDirectUpload, TooLarge
from storage.partial_files import Partial

_DIRECT = "direct-"
_VALID_FOR = timedelta(hours=1)


class Arrived(BaseModel):
    """An upload that shall become a dataset; the other fields are those of a form."""

    model_config = ConfigDict(extra="allow")

    upload: str
    sha256: str | None = None
    """What the bytes must have, in hex."""


class DirectUpload(Resource):
    """Where one file may be put, past the gateway."""

    id: str
    """For `POST /v1/datasets`, as `upload`, when the file is there."""
    method: str = "PUT"
    url: str
    expires_at: Time


async def direct_upload(parts: Parts, principal: str) -> DirectUpload:
    """Raises ProblemError, BlobUnavailable."""
    named = f"{_DIRECT}{uuid4().hex}"
    expires_at = datetime.now(UTC) + _VALID_FOR
    try:
        url = await parts.blobs.direct_url(_object(named, principal), _VALID_FOR)
    except NoDirectUpload:
        raise ProblemError("no-direct-upload", "the blobs of this installation lie in a directory") from None
    return DirectUpload(id=named, url=url, expires_at=expires_at)


async def arrived(parts: Parts, principal: str, asked: Arrived) -> Upload:
    """The file as a blob. Raises ProblemError, BlobUnavailable."""
    if asked.upload.startswith(_DIRECT):
        found = Upload(await _adopted(parts, principal, asked.upload), "upload")
    else:
        found = await _whole(parts, find(parts, asked.upload, principal))
    if asked.sha256 is not None and asked.sha256.lower() != found.file.sha256:
        raise _invalid("/sha256", f"the {found.file.bytes:,} bytes that arrived have {found.file.sha256}")
    return found


def find(parts: Parts, id: str, principal: str) -> Partial:
    """An upload in parts. Raises ProblemError."""
    found = parts.uploads.find(id, principal) if id.isalnum() else None
    if found is None:
        raise ProblemError("not-found", f"there is no upload {id!r}; unfinished ones are kept for a day")
    return found


async def _adopted(parts: Parts, principal: str, id: str) -> Written:
    limit = parts.settings.max_upload_bytes
    try:
        file = await parts.blobs.adopt(_object(id, principal), limit)
    except BlobMissing:
        raise ProblemError("not-found", f"nothing was put to the URL of upload {id!r}, or over a day ago") from None
    except TooLarge:
        raise ProblemError("payload-too-large", f"a file has at most {limit:,} bytes") from None
    if not file.bytes:
        raise _invalid("/upload", "the file is empty")
    return file


def _object(id: str, principal: str) -> str:
    """Nobody finds another's by its id."""
    return _DIRECT + hashlib.sha256(f"{principal}\n{id}".encode()).hexdigest()


async def _whole(parts: Parts, partial: Partial) -> Upload:
    offset = parts.uploads.offset(partial)
    if offset < partial.length:
        raise _invalid("/upload", f"{offset:,} of {partial.length:,} bytes are here: send the rest first")
    if partial.sha256 is None:
        file = await parts.blobs.put_file(parts.uploads.content(partial))
        parts.uploads.became(partial, file.sha256)
    else:
        file = Written(blob_path(partial.sha256), partial.sha256, partial.length)
    return Upload(file, partial.metadata.get("filename", "upload"))


def _invalid(pointer: str, detail: str) -> ProblemError:
    return invalid_fields([InvalidField(pointer=pointer, detail=detail)])
