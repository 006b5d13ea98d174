"""`python -m gateway`: serve the API."""

import resource
import sys

import structlog

from gateway.app import create_app
from gateway.server import Server, gateway_config
from gateway.settings import GatewaySettings
from telemetry import collector, logs

_FILES = 65_536

log = structlog.get_logger()


def main() -> int:
    settings = GatewaySettings()
    logs.configure("gateway", settings.log_level)
    collector.relax()
    _allow_connections()
    served = {"host": settings.host, "port": settings.port, "timeout_graceful_shutdown": settings.shutdown_s}
    server = Server(gateway_config(create_app(settings), **served))
    server.run()
    return 0 if server.started else 1


def _allow_connections() -> None:
    """Each subscriber is an open file, and the soft limit is 1,024 almost everywhere."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
