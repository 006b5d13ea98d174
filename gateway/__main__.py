"""`python -m gateway`: serve the API."""

import sys

import structlog
import uvicorn

from gateway.app import create_app
from gateway.server import LARGEST_SOCKET_MESSAGE, GatheringProtocol, Server
from gateway.settings import GatewaySettings
from telemetry import collector, logs

log = structlog.get_logger()


def main() -> int:
    settings = GatewaySettings()
    logs.configure("gateway", settings.log_level)
    collector.relax()
    server = Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http=GatheringProtocol,
            ws="websockets-sansio",
            ws_max_size=LARGEST_SOCKET_MESSAGE,
            ws_per_message_deflate=False,  # its windows would be most of what a socket costs
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=settings.shutdown_s,
            server_header=False,
            date_header=False,
        )
    )
    server.run()
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
