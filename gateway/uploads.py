"""Files on their way to the blob store: hashed while they are written, never in memory."""

from dataclasses import dataclass, field

from fastapi import Request
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from gateway.problems import ProblemError, invalid_fields
from schemas.problems import InvalidField
from storage.blob_writers import BlobWriter, Written
from storage.blobs import BlobStore

_LONGEST_FIELD = 4_096  # bytes
_MOST_PARTS = 20


@dataclass
class Upload:
    file: Written
    filename: str
    fields: dict[str, str] = field(default_factory=dict)
    """What a form held beside the file."""


async def receive(request: Request, blobs: BlobStore, limit: int, filename: str) -> Upload:
    """The body as it is. Raises ProblemError, BlobUnavailable."""
    _require_size(request, limit)
    async with blobs.writing() as writer:
        async for chunk in request.stream():
            await _write(writer, chunk, limit)
        _require_content(writer)
        return Upload(await writer.finish(), filename)


async def receive_form(request: Request, blobs: BlobStore, limit: int) -> Upload:
    """A form with one file, called `file`. Raises ProblemError, BlobUnavailable."""
    _require_size(request, limit)
    parser = PushMultipartParser(_boundary(request), max_segment_count=_MOST_PARTS)
    async with blobs.writing() as writer:
        form = _Form(writer, limit)
        try:
            with parser:
                async for chunk in request.stream():
                    for event in parser.parse(chunk):
                        await form.take(event)
        except MultipartError as error:
            raise ProblemError("malformed-form", f"multipart/form-data: {error}") from None
        if form.filename is None:
            raise invalid_fields(
                [InvalidField(pointer="/file", detail="missing: send the file as form field `file`")]
            )
        _require_content(writer)
        return Upload(await writer.finish(), form.filename, form.fields)


class _Form:
    """Tells the file from the fields beside it."""

    def __init__(self, writer: BlobWriter, limit: int) -> None:
        self._writer, self._limit = writer, limit
        self._part: MultipartSegment | None = None
        self._value = bytearray()
        self.filename: str | None = None
        self.fields: dict[str, str] = {}

    async def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._in_file:
            await _write(self._writer, bytes(event), self._limit)
        else:
            self._value += event
            if len(self._value) > _LONGEST_FIELD:
                name = self._part.name if self._part else ""
                detail = f"longer than {_LONGEST_FIELD:,} bytes"
                raise invalid_fields([InvalidField(pointer=f"/{name}", detail=detail)])

    @property
    def _in_file(self) -> bool:
        return self._part is not None and self._part.name == "file"

    def _begin(self, part: MultipartSegment) -> None:
        self._part, self._value = part, bytearray()
        if self._in_file:
            if self.filename is not None:
                raise invalid_fields([InvalidField(pointer="/file", detail="given twice: one file, one dataset")])
            self.filename = part.filename or "upload"

    def _end(self) -> None:
        if self._part is not None and not self._in_file:
            self.fields[self._part.name] = self._value.decode("utf-8", "replace")
        self._part = None


def _boundary(request: Request) -> str:
    media_type, options = parse_options_header(request.headers.get("content-type", ""))
    if media_type != "multipart/form-data" or not options.get("boundary"):
        detail = f"Content-Type: multipart/form-data with a boundary expected, not {media_type!r}"
        raise ProblemError("unsupported-media-type", detail)
    return str(options["boundary"])


async def _write(writer: BlobWriter, chunk: bytes, limit: int) -> None:
    if writer.bytes + len(chunk) > limit:
        raise _too_large(limit)
    await writer.write(chunk)


def _require_size(request: Request, limit: int) -> None:
    """Refuse by the declared length, before the rest is sent."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)


def _require_content(writer: BlobWriter) -> None:
    if not writer.bytes:
        raise invalid_fields([InvalidField(pointer="/file", detail="the file is empty")])


def _too_large(limit: int) -> ProblemError:
    return ProblemError("payload-too-large", f"a file has at most {limit:,} bytes", headers={"Connection": "close"})
