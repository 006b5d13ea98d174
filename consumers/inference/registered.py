"""Models of the registry, as far as serving one needs them."""

from dataclasses import dataclass

from consumers.encoders.refusals import not_found
from consumers.runtime.verdicts import RetryLater
from schemas.files import StoredFile
from schemas.jobs.model_train import ModelTrained
from schemas.texts import REGISTRY_PREFIX
from storage import models
from storage.blob_writers import blob_path
from storage.blobs import BlobMissing, BlobStore, BlobUnavailable
from storage.database import Database, StoreUnavailable


@dataclass(frozen=True)
class Registered:
    name: str
    """As it is asked for, without version."""
    version: str
    file: StoredFile
    owner: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Registry:
    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database, self._blobs = database, blobs

    async def find(self, principal: str, reference: str) -> Registered:
        """Which version `registry:NAME[@VERSION]` means for a principal. Raises Reject (`model-not-found`) also for
        what is another's, RetryLater while the store is away."""
        name, _, wanted = reference.removeprefix(REGISTRY_PREFIX).partition("@")
        try:
            found = await models.named(self._database, principal, name, wanted or None)
        except StoreUnavailable as error:
            raise RetryLater(f"the registry of models does not answer: {error}") from error
        if found is None:
            raise not_found(
                reference, "is no model of yours, or has no such version or alias; GET /v1/models lists them"
            )
        trained = ModelTrained.model_validate(found["trained"])
        return Registered(REGISTRY_PREFIX + name, trained.version, trained.artifacts["model"], principal)

    async def content(self, found: Registered) -> bytes:
        """The model's file, whose digest was checked. Raises Reject (`model-not-found`), RetryLater."""
        try:
            return await self._blobs.get(blob_path(found.file.sha256), found.file.sha256)
        except BlobMissing as error:
            raise not_found(str(found), f"has lost its file: {error}; train it again") from error
        except BlobUnavailable as error:
            raise RetryLater(str(error)) from error
