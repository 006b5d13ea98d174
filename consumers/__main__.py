"""`python -m consumers <pool> [<pool> ...] --port N`: run one pool, or several light ones in one process."""

import argparse
import importlib
import pkgutil
import sys

import structlog
import uvloop

import consumers
from consumers.process import Deaf, run
from consumers.runtime.pool import Pool
from consumers.settings import ConsumerSettings
from messaging.publisher import BrokerUnavailable
from messaging.topology import TopologyDrift
from storage.database import StoreUnavailable
from telemetry import collector, logs

log = structlog.get_logger()


_SHARED = frozenset({"devices", "encoders", "learning", "runtime", "tables"})


def pool_names() -> list[str]:
    """Every package here but what they share is a pool."""
    return sorted(m.name for m in pkgutil.iter_modules(consumers.__path__) if m.ispkg and m.name not in _SHARED)


def load_pool(name: str) -> Pool:
    pool: Pool = importlib.import_module(f"consumers.{name}").pool
    return pool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m consumers", description=__doc__)
    parser.add_argument("pools", nargs="+", choices=pool_names(), metavar="pool", help=", ".join(pool_names()))
    parser.add_argument("--port", type=int, default=9100, help="where /healthz and /metrics listen (default 9100)")
    args = parser.parse_args()
    logs.configure("+".join(args.pools), ConsumerSettings().log_level)
    collector.relax()
    failure = None
    try:
        uvloop.run(run([load_pool(name) for name in args.pools], args.port))
    except* (BrokerUnavailable, StoreUnavailable, TopologyDrift, Deaf) as errors:
        failure = "; ".join(str(error) for error in errors.exceptions)
    except* Exception as errors:
        failure = "a fault of our own"
        log.error("crashed", exc_info=errors)
    if failure is not None:
        log.error("gave_up", error=failure)
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
