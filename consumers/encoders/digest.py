"""The sha256 of weights files, computed once per file as it is."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


def weights_digest(files: Sequence[Path]) -> str:
    """Of the file, or, for weights in several files, of their digests' hex lines in order."""
    digests = [_known(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _known(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
