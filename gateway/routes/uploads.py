"""Resumable uploads by the tus protocol, version 1.0.0 (https://tus.io/protocols/resumable-upload): creation, parts,
termination, expiration. A finished upload becomes a dataset by `POST /v1/datasets` with its id."""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.arrivals import DirectUpload, direct_upload, find
from gateway.dependencies import PartsDependency, Principal
from gateway.openapi import PROBLEM_RESPONSES, problem_response
from gateway.problems import ProblemError
from storage.partial_files import KEPT_S, Busy

router = APIRouter(
    prefix="/v1/uploads", tags=["uploads"], responses={**PROBLEM_RESPONSES, 412: problem_response(412)}
)

_VERSION = "1.0.0"
_MOST_METADATA = 4_096  # characters


@router.options("", status_code=204)
async def about(parts: PartsDependency) -> Response:
    """What this server can: version, extensions, the largest file."""
    return _answer(
        204,
        **{
            "Tus-Version": _VERSION,
            "Tus-Extension": "creation,termination,expiration",
            "Tus-Max-Size": str(parts.settings.max_upload_bytes),
        },
    )


@router.post("", status_code=201)
async def create(request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Begin a file of `Upload-Length` bytes; `Location` takes its parts. `Upload-Metadata` may give a `filename`."""
    _require_version(request)
    length = _number(request, "Upload-Length")
    limit = parts.settings.max_upload_bytes
    if length > limit:
        raise ProblemError("payload-too-large", f"Upload-Length: a file has at most {limit:,} bytes")
    parts.uploads.sweep()
    partial = parts.uploads.create(principal, length, _metadata(request))
    return _answer(201, Location=f"/v1/uploads/{partial.id}", **_expiry())


@router.post("/direct", status_code=201, response_model=DirectUpload)
async def create_direct(principal: Principal, parts: PartsDependency) -> DirectUpload:
    """A URL of the bucket to which one file may be put within an hour, past the gateway. No part of tus."""
    return await direct_upload(parts, principal)


@router.head("/{id}")
async def head(id: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """How far it is: the next part begins at `Upload-Offset`."""
    _require_version(request)
    partial = find(parts, id, principal)
    offset = str(parts.uploads.offset(partial))
    return _answer(
        200, **{"Upload-Offset": offset, "Upload-Length": str(partial.length), "Cache-Control": "no-store"}
    )


@router.patch("/{id}", status_code=204)
async def append(id: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """The next part. What has arrived when a connection breaks is kept."""
    _require_version(request)
    if request.headers.get("content-type", "") != "application/offset+octet-stream":
        raise ProblemError("unsupported-media-type", "Content-Type: application/offset+octet-stream expected")
    partial = find(parts, id, principal)
    begin = _number(request, "Upload-Offset")
    try:
        async with parts.uploads.appending(partial) as file:
            if begin != file.offset:
                raise ProblemError("conflict", f"Upload-Offset: the file is at {file.offset}, not at {begin}")
            async for chunk in request.stream():
                await file.write(chunk)
            offset = file.offset
    except Busy:
        raise ProblemError("conflict", "another connection writes to this upload") from None
    except ValueError as error:
        raise ProblemError("payload-too-large", str(error), headers={"Connection": "close"}) from None
    return _answer(204, **{"Upload-Offset": str(offset)}, **_expiry())


@router.delete("/{id}", status_code=204)
async def terminate(id: str, request: Request, principal: Principal, parts: PartsDependency) -> Response:
    """Give an upload up."""
    _require_version(request)
    parts.uploads.remove(find(parts, id, principal).id)
    return _answer(204)


def _require_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != _VERSION:
        headers = {"Tus-Version": _VERSION, "Tus-Resumable": _VERSION}
        raise ProblemError("tus-version", f"Tus-Resumable: {_VERSION} expected", headers=headers)


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isdecimal() or len(text) > 18:
        raise ProblemError("invalid-header", f"{name}: a number of bytes expected, not {text!r}")
    return int(text)


def _metadata(request: Request) -> dict[str, str]:
    """`Upload-Metadata`: keys with values in base64, separated by commas."""
    text = request.headers.get("upload-metadata", "")
    if len(text) > _MOST_METADATA:
        raise ProblemError("invalid-header", f"Upload-Metadata: at most {_MOST_METADATA} characters")
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ProblemError("invalid-header", f"Upload-Metadata: {name!r} is not base64 of UTF-8") from None
    return found


def _expiry() -> dict[str, str]:
    return {"Upload-Expires": format_datetime(datetime.now(UTC) + timedelta(seconds=KEPT_S), usegmt=True)}


def _answer(status: int, **headers: str) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": _VERSION, **headers})
