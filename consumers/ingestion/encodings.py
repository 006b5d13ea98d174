"""In which encoding a text is, and whether it is so plain that DuckDB reads every row of it as we would."""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from consumers.ingestion.conversion import Unreadable
from consumers.ingestion.duck import Share

LONGEST_LINE = 4 << 20
"""Bytes. A longer one is rejected."""
_CHUNK = 1 << 20
_SAMPLE = 1 << 18

# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LATIN = ["cp1252", "cp1250", "cp1254"]
# Left to choose among all, the detector takes short texts for the code pages of old terminals.
_CANDIDATES = [
    *_LATIN,
    "cp1251",
    "cp1253",
    "cp932",
    "gb18030",
    "big5",
    "cp949",
    "euc_jp",
    "koi8_r",
]
# An accented letter among plain ones. Letters of other scripts stand together, and so do the bytes of most characters
# that have two; the second may be ASCII, but then the first is seldom so high.
_ACCENTED = re.compile(rb"(?<![\x80-\xff])[\xc0-\xff](?![\x80-\xff])")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True)
class Scan:
    """Of the whole text."""

    encoding: str
    plain: bool
    """Valid UTF-8 without NUL, with one kind of line end, no line beyond the limit, and every quote closed."""


def scan(path: Path, hint: str | None, share: Share) -> Scan:
    """Raises Unreadable when the hint is no encoding, or none is likely."""
    marked = mark_of(path)
    if hint is None and marked not in (None, "utf-8"):
        return Scan(str(marked), plain=False)
    if hint is not None and known(hint) != "utf-8":
        return Scan(hint, plain=False)
    look = _Look()
    if look.over(path, share):
        return Scan("utf-8", look.plain)
    return Scan("utf-8" if hint or marked else _guessed(path), plain=False)


def mark_of(path: Path) -> str | None:
    """The encoding that a byte order mark tells."""
    with path.open("rb") as file:
        head = file.read(4)
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def known(encoding: str) -> str:
    """Its usual name."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise Unreadable(f"There is no encoding {encoding!r}: use a name such as utf-8, utf-16 or cp1252.") from None


class _Look:
    def __init__(self) -> None:
        self.newlines = self.returns = self.pairs = self.quotes = self.line = self.in_quotes = 0
        self.nul = self.long = False
        self._last = b""

    @property
    def plain(self) -> bool:
        one_kind_of_end = not self.returns or self.newlines == self.returns == self.pairs
        return one_kind_of_end and not (self.nul or self.long or self.quotes % 2)

    def over(self, path: Path, share: Share) -> bool:
        """Whether all of it is UTF-8."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        size = max(1, path.stat().st_size)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                try:
                    if not chunk.isascii() or decoder.getstate()[0]:
                        decoder.decode(chunk)
                except UnicodeDecodeError:
                    return False
                self._count(chunk)
                share(file.tell() / size)
        return not decoder.getstate()[0]

    def _count(self, chunk: bytes) -> None:
        self._count_line(chunk)
        self._count_quotes(chunk)
        self.nul = self.nul or b"\0" in chunk
        if b"\r" in chunk or self._last == b"\r":
            self.returns += chunk.count(b"\r")
            self.pairs += (self._last + chunk).count(b"\r\n")
            self.newlines += chunk.count(b"\n")
        elif b"\n" in chunk:
            self.newlines += 1  # one more than pairs is enough, and counting costs a third of the whole scan
        self._last = chunk[-1:]

    def _count_line(self, chunk: bytes) -> None:
        first = chunk.find(b"\n")
        if first < 0:
            self.line += len(chunk)
        else:
            self.long = self.long or self.line + first > LONGEST_LINE
            self.line = len(chunk) - chunk.rfind(b"\n") - 1
        self.long = self.long or self.line > LONGEST_LINE

    def _count_quotes(self, chunk: bytes) -> None:
        """A quoted field without end may swallow a parallel reader's whole buffer."""
        found = chunk.count(b'"')
        self.in_quotes = 0 if found or not self.quotes % 2 else self.in_quotes + len(chunk)
        self.quotes += found
        self.long = self.long or self.in_quotes > LONGEST_LINE


def _guessed(path: Path) -> str:
    """UTF-8 where more lines are that than are not; the others are rejected then."""
    valid, others = _beyond_ascii(path)
    if valid > len(others):
        return "utf-8"
    text = b"".join(others)
    accented = 2 * len(_ACCENTED.findall(text)) > len(_BEYOND_ASCII.findall(text))
    found = from_bytes(text, cp_isolation=_LATIN if accented else _CANDIDATES)
    best = found.best()
    if best is None:
        raise Unreadable("The encoding of the text cannot be told: save it as UTF-8, or name its encoding.")
    likely = [best]
    if accented:  # a few accents fit several languages equally well
        likely = [each for each in found if (each.chaos, each.coherence) == (best.chaos, best.coherence)]
    # Of those that read these bytes as the same text, or as likely a one, the first in our list.
    return next(name for name in _CANDIDATES if any(name in each.could_be_from_charset for each in likely))


def _beyond_ascii(path: Path) -> tuple[int, list[bytes]]:
    """How many lines with more than ASCII are UTF-8, and those that are not, of as many as make a sample."""
    valid, size, others = 0, 0, list[bytes]()
    with path.open("rb") as file:
        while size < _SAMPLE and (line := file.readline(_SAMPLE)):
            if line.isascii():
                continue
            size += len(line)
            try:
                line.decode()
                valid += 1
            except UnicodeDecodeError:
                others.append(line)
    return valid, others
