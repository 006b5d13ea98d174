"""The contenders: how each is started, spoken to and accounted for."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import psutil

from benchmarks.environment import BIN, ROOT

Processes = Mapping[str, list[psutil.Process]]
"""Processes by role: CPU and memory are reported for each."""

Headers = Mapping[str, str]
NO_HEADERS: Headers = MappingProxyType({})


class BenchmarkError(Exception):
    """Something happened that makes the numbers worthless."""


@dataclass(frozen=True)
class Servers:
    """The broker and the Redis that all contenders share, so that no one has a faster one."""

    rabbitmq_url: str
    redis_url: str

    def redis_database(self, number: int) -> str:
        return f"{self.redis_url.rstrip('/').removesuffix('/0')}/{number}"


class Contender(Protocol):
    """What the load generator and the accountant need to know."""

    name: str
    durability: str
    """What is lost when a process is killed with SIGKILL."""
    waits: bool
    """Whether a submission may wait for the end of its job; others are polled."""
    port: int
    queues: tuple[str, ...]
    """What to delete from the broker before and after."""

    def start(self, servers: Servers, logs: Path, /) -> None: ...

    def stop(self) -> None: ...

    def submission(self, number: int, headers: Headers = NO_HEADERS) -> bytes: ...

    def reading(self, job_id: str) -> bytes: ...

    def processes(self) -> Processes: ...


def submission_body(number: int) -> bytes:
    """The same input for every contender; the number must come back in the result."""
    return json.dumps({"kind": "system.probe", "params": {"payload": {"n": number}}}).encode()


def http_request(method: str, path: str, body: bytes = b"", headers: Headers = NO_HEADERS) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"nothing listens on port {port} after {timeout_s:.0f} s") from None
            time.sleep(0.1)


def listener(port: int) -> list[psutil.Process]:
    """The process that listens on a port; none when it belongs to a user that we may not look at."""
    pids = {
        entry.pid
        for entry in psutil.net_connections("tcp")
        if entry.status == psutil.CONN_LISTEN and entry.laddr[1:] == (port,) and entry.pid
    }
    return [psutil.Process(pid) for pid in sorted(pids)]


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


@dataclass
class Peer:
    """A FastAPI gateway and the workers of a task library, both from one module of `benchmarks/peers`."""

    name: str
    module: str
    durability: str
    redis_database: int
    worker: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    port: int = 0
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, servers: Servers, logs: Path) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "RABBITMQ_URL": servers.rabbitmq_url,
            "REDIS_URL": servers.redis_database(self.redis_database),
            **self.environment,
        }
        commands = {"gateway": self._gateway(), "worker": self.worker}
        for role, command in commands.items():
            if command:
                self._running[role] = self._spawn(command, environment, logs / f"{self.name}-{role}.log")
        wait_for_port(self.port)

    def _gateway(self) -> tuple[str, ...]:
        application = f"benchmarks.peers.{self.module}:app"
        server = ("uvicorn", application, "--host", "127.0.0.1", "--port", str(self.port))
        return (
            *server,
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            "--no-access-log",
            "--log-level",
            "warning",
        )

    def _spawn(self, command: tuple[str, ...], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            return subprocess.Popen(
                [BIN / command[0], *command[1:]],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # one group to signal, and no Ctrl-C of ours reaches it
            )

    def stop(self) -> None:
        for process in self._running.values():
            _end(process)
        self._running = {}

    def submission(self, number: int, headers: Headers = NO_HEADERS) -> bytes:
        return http_request("POST", "/jobs", submission_body(number), headers)

    def reading(self, job_id: str) -> bytes:
        return http_request("GET", f"/jobs/{job_id}")

    def processes(self) -> Processes:
        return {role: tree(process.pid) for role, process in self._running.items()}


def _end(process: subprocess.Popen[bytes]) -> None:
    """TERM to the leader, which ends its children in order; KILL to the whole group for what is left."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


_IN_REDIS = "results live in Redis memory and go with it; a killed worker's job is delivered again"


def celery() -> Peer:
    worker = "celery -A benchmarks.peers.celery_peer:worker worker --pool prefork --concurrency 2 --loglevel WARNING"
    return Peer(
        name="Celery",
        module="celery_peer",
        durability=f"an accepted job, when the broker dies (no confirm, classic queue); {_IN_REDIS}",
        redis_database=11,
        # Gossip, mingle and heartbeats are for clusters and monitors; they would only cost it CPU.
        worker=(*worker.split(), "--without-gossip", "--without-mingle", "--without-heartbeat"),
        queues=("bench.celery",),
    )


def dramatiq() -> Peer:
    return Peer(
        name="Dramatiq",
        module="dramatiq_peer",
        durability=f"an accepted job, when the broker dies (no confirm, classic queue); {_IN_REDIS}",
        redis_database=12,
        worker=("dramatiq", "benchmarks.peers.dramatiq_peer", "--processes", "2", "--threads", "8"),
        queues=("bench.dramatiq", "bench.dramatiq.DQ", "bench.dramatiq.XQ"),
    )


def taskiq() -> Peer:
    worker = "taskiq worker benchmarks.peers.taskiq_peer:broker --workers 2 --ack-type when_saved --log-level WARNING"
    return Peer(
        name="Taskiq",
        module="taskiq_peer",
        durability=f"no accepted job (confirmed, quorum queue); {_IN_REDIS}",
        redis_database=13,
        worker=tuple(worker.split()),
        queues=("bench.taskiq", "bench.taskiq.dead"),
    )


def bare() -> Peer:
    return Peer(
        name="bare route",
        module="bare_peer",
        durability="no accepted message (confirmed, one quorum queue); there is no job to read",
        redis_database=14,
        queues=("bench.bare",),
    )
