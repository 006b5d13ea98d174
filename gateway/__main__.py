"""`python -m gateway`: serve the API."""

import sys

import structlog

from gateway.app import create_app
from gateway.server import Server, gateway_config
from gateway.settings import GatewaySettings
from telemetry import collector, logs

log = structlog.get_logger()


def main() -> int:
    settings = GatewaySettings()
    logs.configure("gateway", settings.log_level)
    collector.relax()
    served = {"host": settings.host, "port": settings.port, "timeout_graceful_shutdown": settings.shutdown_s}
    server = Server(gateway_config(create_app(settings), **served))
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
