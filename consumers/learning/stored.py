"""Objects of scikit-learn as bytes: skops in a form in which equal objects are equal bytes, read by a closed list.

skops keys everything by its address in memory, and stamps its archive with the time. Here arrays are named by their
content and objects by their place, so that a model that is stored, loaded and stored again has the digest it had.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import skops.io

from consumers.learning.archive import MOST_BYTES, ModelBroken, write

_SCHEMA = "schema.json"
_SHARED = frozenset({"ObjectNode", "RandomGeneratorNode", "RandomStateNode"})
"""What can be changed in place: two references to one object stay references to one object."""


def dumped(value: Any) -> bytes:
    """A tree of dicts, lists, arrays and estimators. The same bytes for equal ones."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(value))) as file:
        schema = json.loads(file.read(_SCHEMA))
        arrays = {name: _without_gaps(file.read(name)) for name in file.namelist() if name != _SCHEMA}
    names = {name: f"{hashlib.sha256(array).hexdigest()}.npy" for name, array in arrays.items()}
    stable = json.dumps(_stable(schema, names, {}), separators=(",", ":")).encode()
    archive = io.BytesIO()
    parts = {_SCHEMA: stable, **{names[name]: array for name, array in arrays.items()}}
    write(parts, archive, zipfile.ZIP_STORED)
    return archive.getvalue()


def loaded(content: bytes, trusted: Sequence[str | type] = ()) -> Any:
    """What `dumped` gave, of types that skops trusts by itself or that the caller names: never those that a file
    asks for. Raises ModelBroken."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            # `dumped` compresses nothing, so no part can be larger than the whole.
            if sum(info.file_size for info in file.infolist()) > min(len(content), MOST_BYTES):
                raise ModelBroken("a part claims to be larger than its bytes")
        return skops.io.loads(content, trusted=list(trusted))
    except ModelBroken:
        raise
    except Exception as error:  # whatever skops, NumPy and the objects themselves make of wrong bytes
        raise ModelBroken(f"it does not load: {error}") from error


def _without_gaps(content: bytes) -> bytes:
    """Records have gaps between their fields (a tree's nodes: 7 bytes each), in which lies whatever was there."""
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.dtype.names is None:
        return content
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = array[name]
    written = io.BytesIO()
    np.save(written, clean, allow_pickle=False)
    return written.getvalue()


def _stable(node: Any, files: Mapping[str, str], numbers: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_stable(each, files, numbers) for each in node]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key == "__id__" and isinstance(value, int):
            if node.get("__loader__") in _SHARED:
                kept[key] = numbers.setdefault(value, len(numbers) + 1)
        elif key == "file" and isinstance(value, str):
            kept[key] = files[value]
        else:
            kept[key] = _stable(value, files, numbers)
    return kept
