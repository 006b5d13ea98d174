"""Which blobs are named by a document: the one place that decides what may be removed.

Every digest counts that stands anywhere in a document of any collection, be it in a claim, in a result, or within the
body of a message that waits. So a collection that is added is safe before anybody thinks of it. Only what is known to
be named elsewhere for as long as it is wanted may be left out here: once a job has ended whose result the catalog
keeps, it is the catalog that names the files, and forgetting a dataset frees them.
"""

import re
from collections.abc import AsyncIterator, Collection
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import PyMongoError

from schemas.lifecycle import JobState
from storage.database import Database, StoreUnavailable
from storage.documents import DOCUMENTS, JobDocument

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
_OVER = [state.value for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.ABORTED)]
_CLAIMS = {"params_claim": 1, "result_claim": 1}

Look = tuple[dict[str, Any], dict[str, int] | None]
"""A query and what is read of its documents, all where it is None."""


async def named(database: Database, cataloged: Collection[str]) -> AsyncIterator[set[str]]:
    """The digests in hex, document by document. `cataloged` are the kinds of job whose results the catalog keeps.
    Raises StoreUnavailable."""
    for document in DOCUMENTS:
        name = document.Settings.name
        collection: Any = database[name].with_options(codec_options=_RAW)
        for query, fields in _looks(name, cataloged):
            try:
                async for row in collection.find(query, fields):
                    yield {digest.decode() for digest in _DIGEST.findall(row.raw)}
            except PyMongoError as error:
                raise StoreUnavailable(str(error)) from error


def _looks(collection: str, cataloged: Collection[str]) -> list[Look]:
    """Of jobs those come first that may still run: one that ends meanwhile has been seen."""
    if collection != JobDocument.Settings.name:
        return [({}, None)]
    kinds = list(cataloged)
    wanted = {"$or": [{"status": {"$nin": _OVER}}, {"kind": {"$nin": kinds}}]}
    return [(wanted, None), ({"status": {"$in": _OVER}, "kind": {"$in": kinds}}, _CLAIMS)]
