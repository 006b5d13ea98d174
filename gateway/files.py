"""Blobs as answers."""

import re
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from schemas.files import StoredFile
from storage.blob_writers import blob_path
from storage.blobs import BlobStore

_FOREIGN = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}


async def file_response(
    request: Request,
    blobs: BlobStore,
    stored: StoredFile,
    media_type: str,
    filename: str | None = None,
    *,
    foreign: bool = False,
) -> Response:
    """Streamed, with the digest as `ETag`; 304 for whoever has it. Of bytes that are `foreign`, since a program of a
    user made them, no browser guesses another type, and none runs what is in them. Raises BlobMissing,
    BlobUnavailable."""
    headers = {"ETag": f'"{stored.sha256}"', "Cache-Control": "no-cache", **(_FOREIGN if foreign else {})}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(stored.bytes)
    if filename is not None:
        headers["Content-Disposition"] = attachment(filename)
    content = await blobs.stream(blob_path(stored.sha256))
    return StreamingResponse(content, media_type=media_type, headers=headers)


def attachment(filename: str) -> str:
    """`Content-Disposition` for a name that may hold anything (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", filename)
    exact = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{exact}'
