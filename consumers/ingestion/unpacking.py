"""Gzip and zip: one file comes out, of a size that is counted while it does."""

import gzip
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from consumers.ingestion.conversion import Limits, Unreadable
from consumers.ingestion.duck import Share

GZIP = b"\x1f\x8b"
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"
_CHUNK = 1 << 20
_SMALL = 16 << 20  # bytes that are too few to do harm, whatever they came out of
_ENCRYPTED = 0x1
_CLUTTER = ("__MACOSX/", ".DS_Store", "Thumbs.db")
_BOOKS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Unpacked:
    path: Path
    name: str
    compression: str | None


def unpack(source: Path, name: str, into: Path, limits: Limits, share: Share) -> Unpacked:
    """The file itself where it is not packed. A workbook, which is a zip too, stays packed."""
    with source.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP):
        return _gunzip(source, name, into, limits, share)
    if magic in (ZIP, EMPTY_ZIP):
        return _unzip(source, name, into, limits, share)
    return Unpacked(source, name, None)


def _gunzip(source: Path, name: str, into: Path, limits: Limits, share: Share) -> Unpacked:
    with source.open("rb") as packed, gzip.GzipFile(fileobj=packed) as file:
        path = _copied(file, into / "unpacked", source.stat().st_size, limits, lambda _: share(_done(packed, source)))
    inner = name[:-3] if name.lower().endswith(".gz") else name
    return Unpacked(_not_packed_again(path), inner, "gzip")


def _unzip(source: Path, name: str, into: Path, limits: Limits, share: Share) -> Unpacked:
    try:
        with zipfile.ZipFile(source) as archive:
            if any(book in archive.NameToInfo for book in _BOOKS):
                _weigh(archive, limits)
                return Unpacked(source, name, None)
            member = _only_member(archive)
            with archive.open(member) as file:
                total = max(1, member.file_size)
                path = _copied(
                    file, into / "unpacked", member.compress_size, limits, lambda size: share(size / total)
                )
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Unreadable(f"The zip archive cannot be opened ({error}): pack the file again.") from None
    return Unpacked(_not_packed_again(path), Path(member.filename).name, "zip")


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Its name is only ever shown: nothing is written where an archive says."""
    members = [info for info in archive.infolist() if not info.is_dir() and not _is_clutter(info.filename)]
    if not members:
        raise Unreadable("The zip archive holds no file: pack the one file that you want to upload.")
    if len(members) > 1:
        names = ", ".join(repr(info.filename) for info in members[:5])
        more = ", ..." if len(members) > 5 else ""
        raise Unreadable(f"The zip archive holds {len(members)} files ({names}{more}): upload each one by itself.")
    _refuse_encrypted(members[0])
    return members[0]


def _is_clutter(name: str) -> bool:
    return name.startswith(_CLUTTER[0]) or name.endswith(_CLUTTER[1:])


def _refuse_encrypted(member: zipfile.ZipInfo) -> None:
    if member.flag_bits & _ENCRYPTED:
        raise Unreadable(f"{member.filename!r} in the zip archive is encrypted: upload it without a password.")


def _weigh(archive: zipfile.ZipFile, limits: Limits) -> None:
    """Unpack a workbook into nothing: its reader, which unpacks it again, does not count."""
    for member in archive.infolist():
        _refuse_encrypted(member)
        with archive.open(member) as file:
            _copied(file, Path("/dev/null"), member.compress_size, limits, lambda _: None)


def _copied(file: _Readable, to: Path, packed: int, limits: Limits, progress: Callable[[int], None]) -> Path:
    most = min(limits.max_uncompressed_bytes, max(_SMALL, int(limits.max_ratio * packed)))
    size = 0
    try:
        with to.open("wb") as out, closing(file):
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise Unreadable(_bomb(packed, limits))
                out.write(chunk)
                progress(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"The compressed file is damaged after {size:,} bytes ({error}): pack it again.") from None
    return to


def _bomb(packed: int, limits: Limits) -> str:
    return (
        f"The {packed:,} compressed bytes unpack to more than {limits.max_ratio:g} times their size or "
        f"{limits.max_uncompressed_bytes:,} bytes, as those of a zip bomb do: upload the file uncompressed."
    )


def _not_packed_again(path: Path) -> Path:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP) or (magic in (ZIP, EMPTY_ZIP) and not _is_book(path)):
        raise Unreadable("The file is packed twice: unpack it once and upload that.")
    return path


def _is_book(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(book in archive.NameToInfo for book in _BOOKS)


def _done(packed: IO[bytes], source: Path) -> float:
    return packed.tell() / source.stat().st_size
