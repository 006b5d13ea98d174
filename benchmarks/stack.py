"""Our contender: the local stack as a user starts it, every durability setting at its default."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
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
    submission_body,
    tree,
)
from benchmarks.environment import ROOT

DATA_DIR = ROOT / ".millrace" / "bench"
"""On the disk of the repository: on a memory file system syncing would cost nothing, and prove nothing."""
POOLS = "ledger,dead_letters,diagnostics"
"""All that a no-op job needs; the peers have no inference process to carry along either."""
CONSUMERS = ("ledger", "worker", "consumers")


@dataclass
class Stack:
    """A private broker, Redis and store, the gateway and the pools."""

    name: str = "Millrace"
    durability: str = "nothing that was accepted: confirmed on quorum queues, each result synced to the store's disk"
    waits: bool = True
    port: int = 0
    queues: tuple[str, ...] = ()
    pools: str = POOLS
    _status: dict[str, Any] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Where its servers are."""
        urls: dict[str, str] = self._status["environment"]
        return urls

    @property
    def servers(self) -> Servers:
        return Servers(self.environment["RABBITMQ_URL"], self.environment["REDIS_URL"])

    def start(self, _servers: Servers, _logs: Path, /) -> None:
        self._run("down", check=False)  # what an interrupted run has left
        shutil.rmtree(DATA_DIR, ignore_errors=True)
        self._run("up", "--detach", "--pools", self.pools)
        self._status = json.loads(self._run("status", "--json"))
        self.port = urlsplit(self._status["api_url"]).port or 80

    def stop(self) -> None:
        self._run("down", check=False)

    def submission(self, number: int, headers: Headers = NO_HEADERS) -> bytes:
        return http_request("POST", "/v1/jobs", submission_body(number), {**self.key(), **headers})

    def reading(self, job_id: str) -> bytes:
        return http_request("GET", f"/v1/jobs/{job_id}", headers=self.key())

    def processes(self) -> Processes:
        """All but the broker and Redis, which the peers use too."""
        units = [
            ("supervisor", self._status["supervisor_pid"]),
            ("gateway", self._status["gateway"]["pid"]),
            *((_role(pool["pools"]), pool["pid"]) for pool in self._status["pools"]),
            *((unit["name"], unit["pid"]) for unit in self._status["services"] if unit["name"] == "store"),
        ]
        found: dict[str, list[psutil.Process]] = {}
        for role, pid in units:
            if pid:  # an external store has none
                found.setdefault(role, []).extend([psutil.Process(pid)] if role == "supervisor" else tree(pid))
        return found

    def restart_gateway(self) -> None:
        """Its supervisor starts another one in its place."""
        pid = self._status["gateway"]["pid"]
        psutil.Process(pid).kill()
        deadline = time.monotonic() + 60
        while self._status["gateway"]["pid"] in (pid, None) or self._status["gateway"]["state"] != "ready":
            if time.monotonic() > deadline:
                raise BenchmarkError("the gateway has not come back")
            time.sleep(0.5)
            self._status = json.loads(self._run("status", "--json"))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The consumers stand still, so that what is measured is the submission alone."""
        groups = self.processes()
        consumers = [process for role in CONSUMERS for process in groups.get(role, [])]
        try:
            for process in consumers:
                process.send_signal(signal.SIGSTOP)
            yield
        finally:
            for process in consumers:
                process.send_signal(signal.SIGCONT)

    def pool(self, name: str) -> psutil.Process:
        """The process that runs this pool, as it is now: after a crash it is another."""
        status = json.loads(self._run("status", "--json"))
        return next(psutil.Process(unit["pid"]) for unit in status["pools"] if name in unit["pools"])

    def key(self) -> Headers:
        return {"x-api-key": self._status["api_key"]}

    def _run(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "millrace", *arguments],
            cwd=ROOT,
            env={**os.environ, "MILLRACE_DATA_DIR": str(DATA_DIR)},
            capture_output=True,
            text=True,
            timeout=330,
        )
        if check and done.returncode:
            raise BenchmarkError(f"millrace {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _role(pools: list[str]) -> str:
    """The ledger apart from the pools that work; all together where they share a process."""
    if "ledger" not in pools:
        return "worker"
    return "ledger" if pools == ["ledger"] else "consumers"
