"""Which processes of ours make up the stack. Data, so that a test or a small machine can bring its own."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from millrace.stack.errors import StackError


@dataclass(frozen=True)
class ProcessSpec:
    """How to start one process and where it says that it is well."""

    name: str
    arguments: tuple[str, ...]
    """What follows the Python interpreter; `{port}` stands for its HTTP port."""
    health_path: str = "/healthz"
    pools: tuple[str, ...] = ()
    """The pools that it runs; the gateway runs none."""
    start_timeout_s: float = 120.0
    grace_s: float = 25.0  # more than the 20 s that a pool gives its running handlers
    hang_after_s: float | None = None
    """Off for what computes: a pool that loads a model may be silent for long, and tells so by itself."""

    def command(self, port: int) -> list[str]:
        return [sys.executable, *(argument.format(port=port) for argument in self.arguments)]


GATEWAY = ProcessSpec("gateway", ("-m", "gateway"), health_path="/health/ready")


def pool_process(*pools: str) -> ProcessSpec:
    """One process that runs these pools."""
    return ProcessSpec("+".join(pools), ("-m", "consumers", *pools, "--port", "{port}"), pools=pools)


DEFAULT_POOLS = (
    "ledger,dead_letters+notifications+operations+reaper,diagnostics+prediction,generation+inference,"
    "ingestion+profiling+training,execution"
)
"""A process each; the light ones share one, as do those that work in child processes. Users' programs run behind one
of their own, which does nothing else."""


def layout(pools: str = DEFAULT_POOLS) -> tuple[ProcessSpec, ...]:
    """The gateway and the pool processes: processes separated by commas, pools that share one joined by `+`."""
    processes = [tuple(part.strip() for part in process.split("+")) for process in pools.split(",")]
    names = [name for process in processes for name in process]
    if not all(name.isidentifier() for name in names) or len(set(names)) < len(names):
        raise StackError(f"cannot read the pools {pools!r}: write each once, like ledger+dead_letters,inference")
    return (GATEWAY, *(pool_process(*process) for process in processes))


def setup_command() -> Sequence[str]:
    """Declares topology, collections and indexes. One process, before all others: see `storage.database.apply`."""
    return (sys.executable, "-m", "millrace", "setup")
