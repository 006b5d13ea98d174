"""A device's child process: what is asked and told, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import psutil
import pytest

from consumers.devices import Child, Device, DeviceLost
from consumers.runtime.fingerprint import ChildFailed
from consumers.runtime.verdicts import HaltConsumer, Reject

PATIENCE_S = 30
TOY = "tests.support.devices:Toy"


@pytest.fixture(scope="session")
async def child() -> AsyncIterator[Child]:
    """For all tests here that neither kill it nor leave something in it."""
    async with Device(TOY, "Hello") as device:
        yield await device.child()


async def test_calls_are_answered(child: Child) -> None:
    names = [f"caller {number}" for number in range(100)]
    said = await asyncio.gather(*(child.call("greet", name, lane=name[-1]) for name in names))
    assert said == [f"Hello, {name}" for name in names]


async def test_arrays_travel_beside_the_pickle(child: Child) -> None:
    large, empty = np.arange(3_000_000, dtype=np.float32), np.empty((0, 7))
    np.testing.assert_array_equal(await child.call("twice", large, lane="a"), large * 2)
    assert (await child.call("twice", empty, lane="a")).shape == (0, 7)


async def test_streams_tell_in_their_order_beside_each_other(child: Child) -> None:
    async def count(most: int) -> list[int]:
        return [number async for number in child.stream("count", range(most), lane="a", silence_s=PATIENCE_S)]

    counts = [0, 1, 1_000, 50]
    assert await asyncio.gather(*map(count, counts)) == [list(range(most)) for most in counts]


async def test_leaving_a_stream_drops_it() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        async with aclosing(child.stream("count", range(1_000_000), lane="a")) as counting:
            assert await anext(counting) == 0
        assert await child.call("dropped", lane="a") == [True]


async def test_errors_are_told(child: Child) -> None:
    with pytest.raises(Reject, match="/inputs/0: no") as refused:
        await child.call("refuse", lane="a")
    assert refused.value.type == "input-unusable"
    with pytest.raises(LookupError, match="known") as known:
        await child.call("fail", "known", lane="a")
    assert "support/devices.py" in "".join(known.value.__notes__)
    with pytest.raises(ChildFailed) as foreign:
        await child.call("fail", "foreign", lane="a")
    assert foreign.value.failure.error_type == "ForeignError"
    with pytest.raises(TypeError, match="pickle"):
        await child.call("give_a_lock", lane="a")
    stream = aiter(child.stream("fail_stream", lane="a"))
    assert await anext(stream) == "so far so good"
    with pytest.raises(LookupError, match="nothing more"):
        await anext(stream)


async def test_an_object_that_cannot_be_made_halts_the_consumer() -> None:
    for target, why in ((TOY, "say something"), ("tests.support.nowhere:Toy", "nowhere")):
        with pytest.raises(HaltConsumer, match=why):
            await Device(target, "").child()


async def test_what_runs_when_the_child_dies_is_lost_and_the_next_one_is_another() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        with pytest.raises(DeviceLost, match="SIGKILL"):
            await asyncio.gather(child.call("die", lane="a"), child.call("wait", lane="b"))
        with pytest.raises(DeviceLost):
            await child.call("greet", "me", lane="a")
        with pytest.raises(DeviceLost):
            await anext(aiter(child.stream("mute", lane="a")))
        assert await (await device.child()).call("greet", "me", lane="a") == "Hello, me"


async def test_a_call_that_hangs_costs_the_child_its_life() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        with pytest.raises(DeviceLost, match="ran for more than"):
            await asyncio.gather(
                child.call("wait", lane="a", limit_s=0.01), child.call("greet", "me", lane="a", limit_s=PATIENCE_S)
            )


async def test_a_lane_that_waits_holds_up_itself_alone_and_what_waits_there_has_no_limit_yet() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        waiting = asyncio.create_task(child.call("wait", lane="slow"))
        behind = asyncio.create_task(child.call("greet", "you", lane="slow", limit_s=PATIENCE_S))
        assert await child.call("greet", "me", lane="quick") == "Hello, me"
        assert not waiting.done()
        assert not behind.done()
        assert child._lanes["slow"].alarm is None
        await child.call("open", lane="quick")
        assert [await waiting, await behind] == ["waited", "Hello, you"]


async def test_a_silent_stream_costs_the_child_its_life() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        with pytest.raises(DeviceLost, match="silent"):
            await anext(aiter(child.stream("mute", lane="a", silence_s=0.01)))


async def test_a_cancelled_caller_leaves_the_others_alone() -> None:
    async with Device(TOY, "Hello") as device:
        child = await device.child()
        leaving = asyncio.create_task(child.call("wait", lane="a"))
        staying = asyncio.create_task(child.call("wait", lane="a"))
        assert await child.call("greet", "me", lane="b") == "Hello, me"
        leaving.cancel()
        await child.call("open", lane="b")
        assert await staying == "waited"


async def test_signals_for_the_worker_do_not_reach_the_child(child: Child) -> None:
    assert await child.call("group", lane="a") == child.pid
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, number)
    assert await child.call("greet", "me", lane="a") == "Hello, me"


_WORKER = f"""
import asyncio, sys
from consumers.devices import Device

async def main():
    child = await Device({TOY!r}, "Hello").child()
    print(child.pid, file=sys.stderr)
    await child.call("wait", lane="a")

asyncio.run(main())
"""


def test_the_child_dies_with_its_worker() -> None:
    worker = subprocess.Popen([sys.executable, "-c", _WORKER], stderr=subprocess.PIPE, text=True)
    assert worker.stderr is not None
    try:
        with worker.stderr as said:
            child = psutil.Process(int(said.readline()))
    finally:
        worker.kill()
        worker.wait()
    child.wait(PATIENCE_S)
