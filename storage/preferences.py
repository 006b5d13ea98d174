"""Operations on what people want to be told of, and where their browsers are."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from storage.database import Database
from storage.documents import Browser, PreferencesDocument, PushKeyDocument, PushSubscriptionDocument
from storage.shelves import reading

_KEY = "vapid"


async def of(database: Database, principals: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each has said, as JSON; whoever has said nothing is left out. Raises StoreUnavailable."""
    with reading():
        rows = await _preferences(database).find({"_id": {"$in": list(principals)}}).to_list()
    return {row["_id"]: row["preferences"] for row in rows}


async def keep(database: Database, principal: str, preferences: dict[str, Any], at: datetime) -> None:
    """Raises StoreUnavailable."""
    document = {"_id": principal, "schema_version": 1, "preferences": preferences, "updated_at": at}
    with reading():
        await _preferences(database).replace_one({"_id": principal}, document, upsert=True)


async def topics(database: Database) -> set[str]:
    """All that anybody asks for. Raises StoreUnavailable."""
    with reading():
        rows = await _preferences(database).find({}, {"preferences": 1}).to_list()
    return {topic for row in rows for channel in row["preferences"].values() for topic in channel["topics"]}


async def browsers(database: Database, principals: Sequence[str]) -> list[Browser]:
    """Raises StoreUnavailable."""
    with reading():
        rows = await _browsers(database).find({"principal": {"$in": list(principals)}}).to_list()
    return [Browser.model_validate(row) for row in rows]


async def browser(database: Database, subscription: str) -> Browser | None:
    """Raises StoreUnavailable."""
    with reading():
        found = await _browsers(database).find_one({"_id": subscription})
    return None if found is None else Browser.model_validate(found)


async def add_browser(database: Database, made: Browser) -> None:
    """In place of what it said before. Raises StoreUnavailable."""
    with reading():
        await _browsers(database).replace_one({"_id": made.id}, made.model_dump(by_alias=True), upsert=True)


async def remove_browser(database: Database, subscription: str) -> None:
    """Raises StoreUnavailable."""
    with reading():
        await _browsers(database).delete_one({"_id": subscription})


async def push_key(database: Database) -> tuple[str, str] | None:
    """Private as PEM, public as browsers want it. None when nobody has made one. Raises StoreUnavailable."""
    with reading():
        found = await database[PushKeyDocument.Settings.name].find_one({"_id": _KEY})
    return None if found is None else (str(found["private"]), str(found["public"]))


async def keep_push_key(database: Database, private: str, public: str) -> tuple[str, str]:
    """The key that stands: of several that are made at once, the first. Raises StoreUnavailable."""
    document = {"_id": _KEY, "schema_version": 1, "private": private, "public": public}
    with reading():
        try:
            await database[PushKeyDocument.Settings.name].insert_one(document)
        except DuplicateKeyError:
            found = await database[PushKeyDocument.Settings.name].find_one({"_id": _KEY})
            private, public = str(found and found["private"]), str(found and found["public"])
    return private, public


def _preferences(database: Database) -> Any:
    return database[PreferencesDocument.Settings.name]


def _browsers(database: Database) -> Any:
    return database[PushSubscriptionDocument.Settings.name]
