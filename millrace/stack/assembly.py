"""Settings become units: which servers to start or only to use, and what every process is told about them."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from millrace.stack import probes
from millrace.stack.errors import StackError
from millrace.stack.layout import GATEWAY, ProcessSpec
from millrace.stack.ports import LOOPBACK, free_port, is_free
from millrace.stack.process import Child
from millrace.stack.services import RabbitMQ, Redis, Store
from millrace.stack.settings import StackSettings
from millrace.stack.unit import External, Serving, Unit

DEFAULT_PORT = 8000


@dataclass(frozen=True)
class Assembly:
    services: tuple[Unit, ...]
    processes: tuple[Serving, ...]
    api_url: str
    contract: dict[str, str]
    """The variables that tell a process where everything is."""


def assemble(settings: StackSettings, specs: Sequence[ProcessSpec]) -> Assembly:
    """Choose servers and ports; start nothing. Raises StackError for what is missing or taken."""
    port = _gateway_port(settings)
    services = _services(settings)
    api_url = f"http://{_reachable(settings.host)}:{port}"
    contract = _contract(settings, port, services) | {"MILLRACE_PUBLIC_URL": settings.public_url or api_url}
    processes = tuple(
        _process(spec, port if spec.name == GATEWAY.name else free_port(), settings, contract) for spec in specs
    )
    return Assembly(services, processes, api_url, contract)


def _services(settings: StackSettings) -> tuple[Unit, ...]:
    home, logs = settings.home, settings.logs
    return (
        External("rabbitmq", settings.rabbitmq_url, probes.amqp)
        if settings.rabbitmq_url
        else RabbitMQ(home / "rabbitmq", management=True, log=logs / "rabbitmq.log"),
        External("redis", settings.redis_url, probes.redis)
        if settings.redis_url
        else Redis(home / "redis", log=logs / "redis.log"),
        External("store", settings.mongodb_url, probes.mongodb)
        if settings.mongodb_url
        else Store(home / "store", log=logs / "store.log"),
    )


def _contract(settings: StackSettings, port: int, services: tuple[Unit, ...]) -> dict[str, str]:
    rabbitmq, redis, store = services
    blobs = settings.home / "blobs"
    if not settings.blob_url:
        blobs.mkdir(parents=True, exist_ok=True)
    return {
        "RABBITMQ_URL": rabbitmq.url,
        "MONGODB_URL": store.url,
        "REDIS_URL": redis.url,
        "BLOB_URL": settings.blob_url or Path(blobs).as_uri(),
        "MILLRACE_DATA_DIR": str(settings.home),
        "MILLRACE_HOST": LOOPBACK,
        "MILLRACE_PORT": str(port),
    }


def _process(spec: ProcessSpec, port: int, settings: StackSettings, contract: dict[str, str]) -> Serving:
    host = settings.host if spec.name == GATEWAY.name else LOOPBACK
    child = Child(
        spec.name,
        spec.command(port),
        log=settings.logs / f"{spec.name}.log",
        env={**environment(contract), "MILLRACE_HOST": host},
        orphan_signal=signal.SIGTERM,  # so that a pool can stop what it has started
    )
    url = f"http://{_reachable(host)}:{port}"
    serving = Serving(child, url, url + spec.health_path)
    serving.start_timeout_s, serving.grace_s = spec.start_timeout_s, spec.grace_s
    serving.hang_after_s = spec.hang_after_s
    return serving


def environment(contract: dict[str, str]) -> dict[str, str]:
    """What a process of ours gets: everything we have, and where the servers are."""
    return {**os.environ, "PYTHONUNBUFFERED": "1", **contract}


def _gateway_port(settings: StackSettings) -> int:
    if settings.port is None:
        return DEFAULT_PORT if is_free(DEFAULT_PORT, settings.host) else free_port()
    if not is_free(settings.port, settings.host):
        raise StackError(f"port {settings.port} is taken: set MILLRACE_PORT to another, or unset it for a free one")
    return settings.port


def _reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens there."""
    return LOOPBACK if host in {"0.0.0.0", "::", ""} else host  # noqa: S104  compared, not bound
