"""Faults under load: whoever got a 202 gets one result, whatever breaks meanwhile."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.catalogue import CATALOGUE, draw
from tests.faults.checker import Violation
from tests.faults.fault import Fault
from tests.faults.round import play
from tests.faults.table import Table
from tests.support.servers import Servers

pytestmark = pytest.mark.slow

_SHOWN = 20


async def test_drawn_faults(seed: int, fault_servers: Servers, tmp_path: Path, table: Table) -> None:
    rng = random.Random(seed)
    strikes = draw(rng)
    violations = await play(fault_servers, tmp_path, strikes, rng, table)
    assert not violations, _told(strikes, violations)


@pytest.mark.each_fault
@pytest.mark.parametrize("fault", CATALOGUE, ids=str)
async def test_one_fault(fault: Fault, fault_servers: Servers, tmp_path: Path, table: Table) -> None:
    violations = await play(fault_servers, tmp_path, [[fault]], random.Random(fault.name), table)
    assert not violations, _told([[fault]], violations)


def _told(strikes: Sequence[Sequence[Fault]], violations: list[Violation]) -> str:
    struck = ", then ".join(" with ".join(map(str, faults)) for faults in strikes)
    lines = [f"{found.wrong}: {found.subject}: {found.detail}" for found in violations[:_SHOWN]]
    return "\n".join([f"{len(violations)} violations after {struck}", *lines])
