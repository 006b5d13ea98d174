"""Names with numbered versions, such as datasets and models. Versions follow from results of jobs, so adding twice
changes nothing."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from beanie import Document
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from storage.database import Database, StoreUnavailable
from storage.jobs import NO_BSON, UNFIT

N = TypeVar("N", bound=Document)
V = TypeVar("V", bound=Document)


class Unfit(ValueError):
    """The store can never take this: it is too large, or holds what no document can."""


@dataclass(frozen=True)
class Shelf(Generic[N, V]):
    """The two collections of one kind of thing."""

    named: type[N]
    versioned: type[V]
    key: str
    """Which field of a version, and of what made it, holds the id of its name."""

    async def add(
        self,
        database: Database,
        made: Mapping[str, Any],
        fields: Mapping[str, Any],
        *,
        principal: str,
        at: datetime,
        born: Mapping[str, Any] | None = None,
    ) -> None:
        """Add the version that `made` names, with `fields`, under the next number; `born` is for a new name. Raises
        Unfit, StoreUnavailable."""
        owner, version = made[self.key], made["version"]
        document = {"schema_version": 1, self.key: owner, "version": version, "created_at": at, **fields}
        new = {"name": made["name"], "principal": principal, "created_at": at, "schema_version": 1, **(born or {})}
        names = self._names(database)
        with writing():
            if await names.find_one({"_id": owner, "forgotten_at": {"$gte": at}}):
                return  # it was deleted since
            await self._number(database, {"_id": f"{owner}.{version}", **document})
            newest = {"latest": version, "updated_at": at, "deleted_at": None}
            await names.update_one({"_id": owner}, {"$setOnInsert": new | newest}, upsert=True)
            await names.update_one({"_id": owner, "updated_at": {"$lt": at}}, {"$set": newest})

    async def page(self, principal: str, limit: int, after: tuple[datetime, str] | None) -> list[N]:
        """Last changed first. Raises StoreUnavailable."""
        query: dict[str, Any] = {"principal": principal, "deleted_at": None}
        if after is not None:
            changed_at, owner = after
            query["$or"] = [{"updated_at": {"$lt": changed_at}}, {"updated_at": changed_at, "_id": {"$lt": owner}}]
        with reading():
            return await self.named.find(query).sort("-updated_at", "-_id").limit(limit).to_list()

    async def find(self, owner: str) -> N | None:
        """By id. Raises StoreUnavailable."""
        with reading():
            return await self.named.find_one({"_id": owner, "deleted_at": None})

    async def versions(self, owner: str) -> list[V]:
        """Newest first. Raises StoreUnavailable."""
        with reading():
            return await self.versioned.find({self.key: owner, "deleted_at": None}).sort("-number").to_list()

    async def delete(self, database: Database, owner: str, at: datetime) -> None:
        """The name and its versions. Raises StoreUnavailable."""
        with reading():
            await self._names(database).update_one(
                {"_id": owner, "deleted_at": None},
                {"$set": {"deleted_at": at, "forgotten_at": at, "updated_at": at}},
            )
            await self._versions(database).delete_many({self.key: owner})

    async def _number(self, database: Database, document: dict[str, Any]) -> None:
        """Insert a version that is not there yet, under the next number of its name."""
        versions = self._versions(database)
        while await versions.find_one({"_id": document["_id"]}, {"_id": 1}) is None:
            last = await versions.find_one({self.key: document[self.key]}, sort=[("number", -1)])
            try:
                await versions.insert_one({**document, "number": 1 + int(last["number"] if last else 0)})
            except DuplicateKeyError:  # another ledger took the number, or was here with the same version
                continue

    def _names(self, database: Database) -> Any:
        return database[_collection(self.named)]

    def _versions(self, database: Database) -> Any:
        return database[_collection(self.versioned)]


def _collection(document: type[Document]) -> str:
    """Past Beanie's own way to tell, which works only where documents were prepared."""
    name: str = vars(document)["Settings"].name
    return name


@contextmanager
def reading() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StoreUnavailable(str(error)) from error


@contextmanager
def writing() -> Iterator[None]:
    """Raises Unfit for what can never be stored, StoreUnavailable for what may pass."""
    try:
        yield
    except NO_BSON as error:
        raise Unfit(str(error)) from error
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code in UNFIT:
            raise Unfit(str(error)) from error
        raise StoreUnavailable(str(error)) from error
