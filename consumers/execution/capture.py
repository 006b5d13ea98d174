"""What a program wrote, kept for its result."""

from consumers.execution.sandbox.ports import Ended
from schemas.execution import Ending, Stream
from schemas.files import StoredFile
from storage.blobs import BlobStore

MOST_SHOWN = 48 * 1024
"""Bytes of a stream as JSON in a result, which must not become so long that it travels by reference: then nothing
would name the files in it."""


class Capture:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._written = {stream: bytearray() for stream in Stream}

    def add(self, stream: Stream, piece: bytes) -> None:
        kept = self._written[stream]
        kept += piece[: self._limit - len(kept)]

    def text(self, stream: Stream) -> str:
        return self._written[stream].decode("utf-8", "replace")

    def shown(self, stream: Stream, most: int = MOST_SHOWN) -> str:
        return head(self.text(stream), most)

    def truncated(self, stream: Stream, ended: Ended) -> bool:
        """Whether more was written than is shown."""
        cut = ended.ending is Ending.OUTPUT_LIMIT and len(self._written[stream]) >= self._limit
        return cut or len(self.shown(stream)) < len(self.text(stream))

    async def file(self, stream: Stream, blobs: BlobStore) -> StoredFile | None:
        """All that was kept, where it is too long to be shown. Raises BlobUnavailable."""
        if len(self.shown(stream)) == len(self.text(stream)):
            return None
        written = bytes(self._written[stream])
        _, sha256 = await blobs.put(written)
        return StoredFile(sha256=sha256, bytes=len(written))


def head(text: str, most: int) -> str:
    """As much of the beginning as fits when it is written as JSON."""
    if len(text) * 6 <= most:  # `\\u0000` is the longest that a character becomes
        return text
    size = 0
    for at, character in enumerate(text):
        size += 2 if character in '"\\\n\r\t\b\f' else 6 if character < " " else len(character.encode())
        if size > most:
            return text[:at]
    return text
