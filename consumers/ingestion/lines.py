"""The lines of a text of any encoding, none of them longer than the limit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from consumers.ingestion.duck import Share
from consumers.ingestion.encodings import LONGEST_LINE

_TELL_EVERY = 10_000
_UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Line:
    number: int
    text: str
    """With its end."""
    fault: str | None = None
    """Why it cannot be used: it does not decode, has a NUL, or is too long, of which this is the beginning."""


def open_text(path: Path, encoding: str) -> IO[str]:
    """Bytes that do not decode become lone surrogates, or U+FFFD in UTF-16 and UTF-32, which cannot hide them."""
    errors = "replace" if encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")) else "surrogateescape"
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    return path.open(encoding=name, errors=errors, newline="")


def lines(path: Path, encoding: str, share: Share) -> Iterator[Line]:
    size = max(1, path.stat().st_size)
    with open_text(path, encoding) as file:
        for number, line in enumerate(_pieces(file), 1):
            if number % _TELL_EVERY == 0:
                share(min(1.0, file.buffer.tell() / size))  # type: ignore[attr-defined]  # text over a file has one
            yield Line(number, line, _fault(line))


def _pieces(file: IO[str]) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        rest = line
        while len(rest) > LONGEST_LINE and not rest.endswith(("\n", "\r")):
            rest = file.readline(LONGEST_LINE + 1)


def _fault(line: str) -> str | None:
    if "\0" in line:
        return "the line has a NUL byte"
    if len(line) > LONGEST_LINE:
        return f"the line is longer than {LONGEST_LINE:,} characters"
    if not line.isascii() and (found := _UNDECODED.search(line)):
        return f"byte 0x{ord(found[0]) - 0xDC00:02x} at column {found.start() + 1} is not of the file's encoding"
    return None
