"""Blobs as answers."""

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from schemas.files import StoredFile
from storage.blob_writers import blob_path
from storage.blobs import BlobStore


async def file_response(
    request: Request, blobs: BlobStore, stored: StoredFile, media_type: str, filename: str | None = None
) -> Response:
    """Streamed, with the digest as `ETag`; 304 for whoever has it. Raises BlobMissing, BlobUnavailable."""
    headers = {"ETag": f'"{stored.sha256}"', "Cache-Control": "no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(stored.bytes)
    if filename is not None:
        headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    content = await blobs.stream(blob_path(stored.sha256))
    return StreamingResponse(content, media_type=media_type, headers=headers)
