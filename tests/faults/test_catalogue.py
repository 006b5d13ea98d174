"""The catalogue leaves nothing out, and a seed always means the same."""

import random
from collections import Counter

from telemetry import failpoints
from tests.faults.catalogue import CATALOGUE, draw
from tests.faults.process_faults import KillAt


def test_every_failpoint_is_reached_by_a_fault() -> None:
    assert {fault.failpoint for fault in CATALOGUE if isinstance(fault, KillAt)} == failpoints.NAMES


def test_names_tell_faults_apart() -> None:
    assert [name for name, times in Counter(fault.name for fault in CATALOGUE).items() if times > 1] == []


def test_a_seed_draws_the_same_faults_again() -> None:
    assert draw(random.Random(7)) == draw(random.Random(7))


def test_fifty_seeds_draw_nearly_everything_and_nothing_that_undoes_another() -> None:
    drawn = [together for seed in range(50) for together in draw(random.Random(seed))]
    assert len({fault.name for faults in drawn for fault in faults}) > 0.9 * len(CATALOGUE)
    assert all(len({fault.part for fault in faults}) == len(faults) for faults in drawn)
