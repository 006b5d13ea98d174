from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumers.execution.sandbox import SandboxSettings, open_sandbox
from consumers.execution.sandbox.ports import Sandbox
from tests.sandbox.host import bait


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with bait(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(scope="session")
async def sandbox(told: dict[str, Any]) -> AsyncIterator[Sandbox]:
    """Opened with the bait lying about already, so that it could be inherited."""
    async with open_sandbox(SandboxSettings()) as opened:
        yield opened


@pytest.fixture
def leavings(tmp_path: Path) -> Path:
    found = tmp_path / "leavings"
    found.mkdir()
    return found
