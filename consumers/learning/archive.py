"""Zip archives of parts: written the same for the same parts, and read within bounds."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 4 * 2**30
"""Of all parts together, unpacked."""
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


class ModelBroken(Exception):
    """The file is no model of ours, or was changed since it was written. `detail` says what is wrong with it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def write(parts: Mapping[str, bytes], to: Path | io.BytesIO, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """In the order of their names, and stamped with no time."""
    with zipfile.ZipFile(to, "w", compression) as file:
        for name in sorted(parts):
            file.writestr(zipfile.ZipInfo(name, _LONG_AGO), parts[name], compression)


def read(source: Path | io.BytesIO) -> dict[str, bytes]:
    """Raises ModelBroken when it is no archive, is damaged, or would unpack to more than `MOST_BYTES`."""
    try:
        with zipfile.ZipFile(source) as file:
            size = sum(info.file_size for info in file.infolist())
            if size > MOST_BYTES:
                raise ModelBroken(f"its parts are {size:,} bytes unpacked, and {MOST_BYTES:,} are the most")
            return {info.filename: file.read(info) for info in file.infolist()}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelBroken(f"it is no archive of ours: {error}") from None
