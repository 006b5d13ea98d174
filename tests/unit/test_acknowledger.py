"""The acknowledger against a channel that is as strict about tags as the broker."""

import asyncio
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from messaging.acknowledger import Acknowledger


class StrictChannel:
    def __init__(self, delivered: int) -> None:
        self.out = set(range(1, delivered + 1))
        self.frames = 0

    def ack(self, tag: int, multiple: bool) -> None:
        assert tag in self.out, "PRECONDITION_FAILED - unknown delivery tag"
        self.out -= {other for other in self.out if other <= tag} if multiple else {tag}
        self.frames += 1


def settle(delivered: int, batches: list[list[int]]) -> StrictChannel:
    async def run() -> StrictChannel:
        channel = StrictChannel(delivered)
        acknowledger = Acknowledger(channel.ack)
        asked: set[int] = set()
        for batch in batches:
            for tag in batch:
                asked.add(tag)
                acknowledger.done(tag)
            acknowledger.flush()
            assert channel.out == set(range(1, delivered + 1)) - asked, "settled exactly what was asked for"
        return channel

    return asyncio.run(run())


@given(st.randoms(use_true_random=False), st.integers(1, 40), st.integers(0, 5))
def test_exactly_what_is_done_is_settled_in_whatever_order(rng: random.Random, delivered: int, held: int) -> None:
    tags: list[Any] = list(range(1, delivered + 1))
    rng.shuffle(tags)
    tags = tags[: max(0, delivered - held)]
    batches = []
    while tags:
        size = rng.randint(1, len(tags))
        batches.append(tags[:size])
        tags = tags[size:]
    settle(delivered, batches)


def test_a_run_takes_one_frame() -> None:
    assert settle(100, [list(range(1, 101))]).frames == 1


def test_a_slow_head_does_not_hold_back_what_is_done_behind_it() -> None:
    channel = settle(5, [[2, 3], [4]])
    assert channel.out == {1, 5}
