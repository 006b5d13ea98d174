"""Our contender: the local stack as a user starts it, every durability setting at its default."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from benchmarks.contenders import (
    NO_HEADERS,
    BenchmarkError,
    Headers,
    Processes,
    Servers,
    http_request,
    listener,
    submission_body,
)
from benchmarks.environment import ROOT

DATA_DIR = ROOT / ".millrace" / "bench"
"""On the disk of the repository: on a memory file system syncing would cost nothing, and prove nothing."""
MILLRACE = Path(sys.executable).with_name("millrace")
ENVIRONMENT = {"MILLRACE_DATA_DIR": str(DATA_DIR)}


@dataclass
class Stack:
    """A private broker, Redis and store, the gateway and all pools."""

    name: str = "Millrace"
    durability: str = "nothing that was accepted: confirmed on quorum queues, results synced to the store's disk"
    waits: bool = True
    port: int = 0
    queues: tuple[str, ...] = ()
    _status: dict[str, Any] = field(default_factory=dict)

    @property
    def servers(self) -> Servers:
        return Servers(self._url("amqp"), self._url("redis"))

    def start(self, _servers: Servers, _logs: Path, /) -> None:
        self._run("down", check=False)  # what an interrupted run has left
        shutil.rmtree(DATA_DIR, ignore_errors=True)
        self._run("up", "--detach")
        self._status = json.loads(self._run("status", "--json"))
        self.port = urlsplit(self._status["api_url"]).port or 80

    def stop(self) -> None:
        self._run("down", check=False)

    def submission(self, number: int, headers: Headers = NO_HEADERS) -> bytes:
        return http_request("POST", "/v1/jobs", submission_body(number), {**self._key(), **headers})

    def reading(self, job_id: str) -> bytes:
        return http_request("GET", f"/v1/jobs/{job_id}", headers=self._key())

    def processes(self) -> Processes:
        """By what they listen on and by what they were started as; all of them carry our data directory."""
        servers = {
            "store": listener(urlsplit(self._url("mongodb")).port or 27017),
            "broker": listener(urlsplit(self._url("amqp")).port or 5672),
            "redis": listener(urlsplit(self._url("redis")).port or 6379),
        }
        known = {process.pid for group in servers.values() for process in group}
        found: dict[str, list[psutil.Process]] = {}
        for process in psutil.process_iter():
            if process.pid not in known and _belongs(process):
                found.setdefault(_role(process.cmdline()), []).append(process)
        return {**found, "store": servers["store"]}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The consumers stand still, so that what is measured is the submission alone."""
        consumers = [p for role in ("ledger", "worker", "consumers") for p in self.processes().get(role, [])]
        try:
            for process in consumers:
                process.send_signal(signal.SIGSTOP)
            yield
        finally:
            for process in consumers:
                process.send_signal(signal.SIGCONT)

    def _key(self) -> dict[str, str]:
        return {"x-api-key": self._status["api_key"]}

    def _url(self, scheme: str) -> str:
        urls = [url for url in _strings(self._status) if url.startswith(f"{scheme}://")]
        if not urls:
            raise BenchmarkError(f"`millrace status --json` names no {scheme}:// service")
        return urls[0]

    def _run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [MILLRACE, *arguments],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            capture_output=True,
            text=True,
            timeout=180,
        )
        if check and done.returncode:
            raise BenchmarkError(f"millrace {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _belongs(process: psutil.Process) -> bool:
    try:
        return process.environ().get("MILLRACE_DATA_DIR") == str(DATA_DIR)
    except psutil.Error:
        return False


def _role(command: list[str]) -> str:
    if "consumers" in command:
        pools = set(command[command.index("consumers") + 1 :])
        return "ledger" if pools == {"ledger"} else "consumers" if "ledger" in pools else "worker"
    if any("gateway" in word for word in command):
        return "gateway"
    return "supervisor"
