"""Models stay loaded within a budget, and each is loaded once for all who wait."""

import asyncio
from dataclasses import dataclass

import pytest

from consumers.prediction.residency import Residency


@dataclass
class Model:
    name: str
    nbytes: int = 10


class Loads:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, name: str) -> Model:
        self.names.append(name)
        await self.gate.wait()
        if name == "broken":
            raise OSError(name)
        return Model(name, 100 if name == "huge" else 10)


async def test_all_who_wait_share_one_load_and_one_who_leaves_does_not_end_it() -> None:
    loads = Loads()
    loads.gate.clear()
    models = Residency(loads.load, 30)
    waiting = [asyncio.create_task(models.get("a")) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    loads.gate.set()
    assert [model.name for model in await asyncio.gather(*waiting[1:])] == ["a", "a"]
    assert loads.names == ["a"]
    await models.close()


async def test_the_least_recently_used_goes_first() -> None:
    loads = Loads()
    models = Residency(loads.load, 30)
    for name in ("a", "b", "c", "a", "d"):
        await models.get(name)
    assert models.resident == ["c", "a", "d"]
    await models.get("huge")
    assert models.resident == ["huge"]
    await models.get("a")
    assert models.resident == ["a"]
    assert loads.names == ["a", "b", "c", "d", "huge", "a"]


async def test_a_load_that_failed_is_tried_again() -> None:
    loads = Loads()
    models = Residency(loads.load, 30)
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            await models.get("broken")
    assert (loads.names, models.resident) == (["broken", "broken"], [])
