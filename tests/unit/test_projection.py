"""How the projection reads a server's answers, with a collection that gives them on demand."""

from typing import Any, cast

import pytest
from pymongo.errors import BulkWriteError

from storage.database import Database, StoreUnavailable
from storage.jobs import JobPatch, JobProjection

COMMAND = JobPatch("j", 10, {"status": "queued", "updated_at": "now", "generation": 0}, birth={"dataschema": "d"})
OUTCOME = JobPatch("j", 50, {"status": "succeeded", "updated_at": "now", "generation": 0})


class Answering:
    """Answers each bulk with the next of `answers`: None for success, else the details of an error."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self._answers = list(answers)
        self.bulks: list[list[Any]] = []

    def __getitem__(self, _name: str) -> "Answering":
        return self

    async def bulk_write(self, operations: list[Any], *, ordered: bool) -> None:
        assert not ordered
        self.bulks.append(operations)
        answer = self._answers.pop(0) if self._answers else None
        if answer is not None:
            raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [], **answer})


def projection(*answers: dict[str, Any] | None) -> tuple[JobProjection, Answering]:
    collection = Answering(*answers)
    return JobProjection(cast("Database", collection)), collection


def failure(code: int) -> dict[str, Any]:
    return {"writeErrors": [{"index": 0, "code": code, "errmsg": "refused"}]}


async def test_an_upsert_that_collides_is_followed_by_an_update() -> None:
    """Two ledgers: the other one inserted the command between our look and our write."""
    fold, collection = projection(failure(11000))
    assert (await fold.fold([OUTCOME])).unfit == []
    upsert, update = collection.bulks[0][0], collection.bulks[1][0]
    assert upsert._upsert
    assert not update._upsert
    assert update._filter == {"_id": "j", "order": {"$lt": 50}}


async def test_an_insert_that_collides_updates_and_fills_in_what_only_the_command_knows() -> None:
    fold, collection = projection(failure(11000))
    await fold.fold([COMMAND])
    assert [type(bulk[0]).__name__ for bulk in collection.bulks] == ["InsertOne", "UpdateOne", "UpdateOne"]
    assert collection.bulks[2][0]._doc == {"$set": {"dataschema": "d"}}


async def test_an_unconfirmed_write_is_not_a_write() -> None:
    fold, _ = projection({"writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}]})
    with pytest.raises(StoreUnavailable, match="replication"):
        await fold.fold([COMMAND])


async def test_what_may_pass_is_tried_again_and_what_cannot_be_stored_is_told() -> None:
    fold, _ = projection(failure(14031))
    with pytest.raises(StoreUnavailable):  # out of disk space
        await fold.fold([COMMAND])
    fold, _ = projection(failure(10334))
    assert (await fold.fold([COMMAND])).unfit == [(COMMAND, "refused")]
