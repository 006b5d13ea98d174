"""Servers of the fault suite's own, its options, and the table at the end."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.table import Table
from tests.support.servers import Servers, open_servers

_DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->"
_TABLE = pytest.StashKey[Table]()
_ALL = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--seeds", type=_seeds, default=_of_today(), help="rounds of drawn faults: 50, or 7-9 (default: today's)"
    )
    group.addoption("--each-fault", action="store_true", help="also a round for each fault alone")
    group.addoption("--publish", action="store_true", help=f"write the table into {_DOCUMENT.name}")


def _of_today() -> range:
    """One round, and in 50 days all of them."""
    seed = datetime.now(UTC).toordinal() % _ALL
    return range(seed, seed + 1)


def _seeds(text: str) -> range:
    first, _, last = text.rpartition("-")
    return range(int(first), int(last) + 1) if first else range(int(last))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "each_fault: one fault alone; only with --each-fault")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        seeds = metafunc.config.getoption("--seeds", default=_of_today())
        metafunc.parametrize("seed", seeds, ids=[f"seed-{seed}" for seed in seeds])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--each-fault", default=False):
        return
    alone = [item for item in items if item.get_closest_marker("each_fault")]
    config.hook.pytest_deselected(items=alone)
    items[:] = [item for item in items if item not in alone]


@pytest.fixture(scope="package")
async def fault_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """Not the session's: no other test shall meet a server that a fault has left limping."""
    async with open_servers(tmp_path_factory.mktemp("fault-servers")) as found:
        yield found


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    return pytestconfig.stash.setdefault(_TABLE, Table())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_TABLE, None)
    if found is None or not found.lines:
        return
    terminalreporter.section("faults")
    for line in found.text():
        terminalreporter.write_line(line)
    if config.getoption("--publish", default=False):
        before, _, rest = _DOCUMENT.read_text().partition(_BEGIN)
        after = rest.partition(_END)[2]
        _DOCUMENT.write_text(f"{before}{_BEGIN}{found.markdown()}\n{_END}{after}")
