"""A local stack, started the way the README says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from millrace.stack.ports import free_port

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stack:
    url: str
    key: str
    environment: dict[str, str]
    """Points commands and examples at this stack."""

    def run(self, *command: str, within_s: float = 60) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=within_s, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ours = ("RABBITMQ_URL", "MONGODB_URL", "REDIS_URL", "BLOB_URL")
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    bin_folder = str(Path(sys.executable).parent)
    environment = inherited | {
        "MILLRACE_DATA_DIR": str(tmp_path_factory.mktemp("stack")),
        "MILLRACE_NOTIFICATIONS_ALLOWED_NETWORKS": "127.0.0.0/8",  # receivers of the examples run here
        "MILLRACE_PORT": str(free_port()),  # the default may be wanted by another stack that starts just now
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    starting = Stack("", "", environment)
    try:
        starting.run("millrace", "up", "--detach", within_s=180)
        status = json.loads(starting.run("millrace", "status", "--json"))
        addresses = {
            "MILLRACE_URL": status["api_url"],
            "MILLRACE_API_KEY": status["api_key"],
            "RABBITMQ_URL": status["environment"]["RABBITMQ_URL"],
        }
        yield Stack(status["api_url"], status["api_key"], environment | addresses)
    finally:
        starting.run("millrace", "down", within_s=90)
