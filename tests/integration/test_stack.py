"""The local stack with real servers, and with stand-ins where the gateway and the pools would be."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import psutil
import pytest
from aiormq.abc import FieldTable
from pymongo import AsyncMongoClient

from millrace.stack import probes
from millrace.stack.backoff import Backoff
from millrace.stack.errors import StackError
from millrace.stack.layout import ProcessSpec
from millrace.stack.ports import free_port
from millrace.stack.process import Identity
from millrace.stack.services import RabbitMQ, Redis, Store
from millrace.stack.settings import StackSettings
from millrace.stack.state import StackRecord
from millrace.stack.supervisor import Supervisor
from tests.conftest import Deployment

ROOT = Path(__file__).parents[2]
STAND_IN = """
import http.server, os, pathlib, signal, sys

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass

words = sys.argv[1:]
if "broken" in words:
    sys.exit("no model here")
if "stubborn" in words:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not words:
    (pathlib.Path(os.environ["MILLRACE_DATA_DIR"]) / "api_key").write_text("mr_key\\n")
port = int(words[-1] if words else os.environ["MILLRACE_PORT"])
print("serving", *words, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Healthy).serve_forever()
"""


def until(condition: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Workplace:
    """A directory with stand-ins for `gateway` and `consumers`, in which `millrace` is run."""

    path: Path
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        return self.path / ".millrace"

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "millrace", *arguments],
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def millrace(self, *arguments: str, status: int = 0) -> str:
        """Run it to its end; what it printed."""
        with self.popen(*arguments) as process:
            output, errors = process.communicate(timeout=120)
        assert process.returncode == status, output + errors
        return output + errors

    def status(self) -> dict[str, Any]:
        with self.popen("status", "--json") as process:
            output, _ = process.communicate(timeout=30)
        found: dict[str, Any] = json.loads(output)
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that has this directory in its command, environment or working directory."""
        return [process for process in psutil.process_iter() if self._holds(process)]

    def _holds(self, process: psutil.Process) -> bool:
        try:
            texts = [*process.cmdline(), *process.environ().values(), process.cwd()]
            return process.status() != psutil.STATUS_ZOMBIE and any(str(self.home) in text for text in texts)
        except (psutil.Error, OSError):
            return False


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    path = tmp_path / "workplace"
    for package in ("gateway", "consumers"):
        (path / package).mkdir(parents=True)
        (path / package / "__init__.py").touch()
        (path / package / "__main__.py").write_text(STAND_IN)
    ours = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}
    for variable in ("RABBITMQ_URL", "MONGODB_URL", "REDIS_URL", "BLOB_URL"):
        ours.pop(variable, None)
    workplace = Workplace(
        path,
        ours
        | {
            "PYTHONPATH": str(ROOT),
            "MILLRACE_DATA_DIR": str(path / ".millrace"),
            "MILLRACE_PORT": str(free_port()),  # stacks that start at once would all choose the default
            "MILLRACE_POOLS": "ledger,inference",
        },
    )
    yield workplace
    workplace.millrace("down")
    assert workplace.processes() == []


@pytest.fixture
def sharing(workplace: Workplace, deployment: Deployment) -> Workplace:
    """The same, using the servers of the test session instead of starting its own."""
    servers = {key: value for key, value in deployment.environment.items() if not key.startswith("MILLRACE_")}
    return Workplace(workplace.path, workplace.environment | servers)


@pytest.fixture
async def own_rabbitmq(tmp_path: Path) -> AsyncIterator[RabbitMQ]:
    async with RabbitMQ(tmp_path / "rabbitmq") as rabbitmq:
        yield rabbitmq
    assert [process for process in psutil.process_iter() if _in_directory(process, tmp_path)] == []


def _in_directory(process: psutil.Process, path: Path) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get("HOME", "").startswith(str(path))
    except (psutil.Error, OSError):
        return False


async def test_a_killed_broker_comes_back_on_its_port_with_its_messages(own_rabbitmq: RabbitMQ) -> None:
    arguments: FieldTable = {"x-queue-type": "quorum"}
    async with await aio_pika.connect(own_rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("kept", durable=True, arguments=arguments)
        message = aio_pika.Message(b"confirmed", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key="kept")
    await own_rabbitmq.settle()
    await own_rabbitmq.kill()
    assert own_rabbitmq.ended == "was killed by SIGKILL"
    await own_rabbitmq.start()
    async with await aio_pika.connect(own_rabbitmq.url) as connection:
        queue = await (await connection.channel()).declare_queue("kept", durable=True, arguments=arguments)
        assert (await queue.get(timeout=10, no_ack=True)).body == b"confirmed"


async def test_a_killed_store_comes_back_with_every_acknowledged_write(tmp_path: Path) -> None:
    async with Store(tmp_path / "store") as store:
        async with AsyncMongoClient[dict[str, Any]](store.url) as client:
            await client.get_default_database()["kept"].insert_one({"_id": 1})
        await store.kill()
        await store.start()
        async with AsyncMongoClient[dict[str, Any]](store.url) as client:
            assert await client.get_default_database()["kept"].find_one() == {"_id": 1}


async def test_a_server_whose_port_is_taken_does_not_start(tmp_path: Path) -> None:
    async with Redis(tmp_path / "first") as first:
        await probes.redis(first.url)
        second = Redis(tmp_path / "second", port=first.port)
        with pytest.raises(StackError, match=f"port {first.port} is taken"):
            await second.start()
        assert second.pid is None


def test_the_whole_stack_comes_up_survives_crashes_and_goes_down(workplace: Workplace) -> None:
    table = workplace.millrace("up", "--detach")
    before = workplace.status()
    assert (before["running"], before["phase"], before["api_key"]) == (True, "ready", "mr_key")
    assert before["api_url"] in table
    assert [pool["name"] for pool in before["pools"]] == ["ledger", "inference"]
    assert before["api_url"] in workplace.millrace("up"), "a second up finds the first"
    assert workplace.millrace("topology", "check") == ""
    assert "ledger     | serving ledger" in workplace.millrace("logs")
    assert "there is no log of 'nobody'" in workplace.millrace("logs", "nobody", status=1)

    for crashed in (before["services"][0], before["pools"][0]):
        os.kill(crashed["pid"], signal.SIGKILL)

    def both_are_back() -> bool:
        now = workplace.status()
        units = (now["services"][0], now["pools"][0])
        return all(unit["restarts"] == 1 and unit["state"] == "ready" for unit in units)

    until(both_are_back)
    after = workplace.status()
    assert [unit["url"] for unit in after["services"]] == [unit["url"] for unit in before["services"]]
    assert after["gateway"]["restarts"] == 0
    assert workplace.millrace("topology", "check") == "", "the broker came back with its data"

    assert "stopped rabbitmq, redis, store, gateway, ledger, inference" in workplace.millrace("down")
    assert workplace.processes() == []
    assert workplace.status() == {"running": False}
    assert "start it with `millrace up`" in workplace.millrace("status", status=1)


def test_ctrl_c_stops_a_stack_in_the_foreground(sharing: Workplace) -> None:
    with sharing.popen("up") as process:
        until(lambda: sharing.status().get("phase") == "ready")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "inference | serving inference" in output
    assert "external" in output
    assert sharing.processes() == []


def test_a_killed_supervisor_takes_the_stack_along_and_down_clears_the_rest(sharing: Workplace) -> None:
    sharing.environment["MILLRACE_POOLS"] = "ledger,stubborn"
    sharing.millrace("up", "--detach")
    status = sharing.status()
    ledger, stubborn = (Identity.of(pool["pid"]) for pool in status["pools"])
    os.kill(status["supervisor_pid"], signal.SIGKILL)
    until(lambda: ledger.find() is None)
    assert stubborn.find() is not None, "it ignores the signal that came with the death of its parent"
    assert sharing.status() == {"running": False}
    assert "stopped stubborn" in sharing.millrace("down")
    assert sharing.processes() == []


def test_the_next_up_clears_what_a_killed_supervisor_left(sharing: Workplace) -> None:
    sharing.environment["MILLRACE_POOLS"] = "stubborn"
    sharing.millrace("up", "--detach")
    status = sharing.status()
    stubborn = Identity.of(status["pools"][0]["pid"])
    os.kill(status["supervisor_pid"], signal.SIGKILL)
    until(lambda: not sharing.status()["running"])
    sharing.millrace("up", "--detach", "--pools", "ledger")
    assert stubborn.find() is None
    assert "stopped what an earlier run had left: stubborn" in sharing.millrace("logs", "supervisor")


def test_a_pool_that_does_not_start_fails_the_start_with_the_end_of_its_log(sharing: Workplace) -> None:
    errors = sharing.millrace("up", "--pools", "ledger,broken", status=1)
    assert "no model here" in errors
    assert "error: broken exited with status 1 while it started" in errors
    assert "Traceback" not in errors
    assert sharing.processes() == []


def test_a_server_that_does_not_answer_is_one_clear_line(sharing: Workplace) -> None:
    sharing.environment["RABBITMQ_URL"] = "amqp://guest:guest@127.0.0.1:1/"
    errors = sharing.millrace("topology", "check", status=1)
    assert errors.startswith("error: BrokerUnavailable")
    sharing.environment["MILLRACE_PORT"] = "many"
    assert sharing.millrace("up", status=1).startswith("error: ")


async def test_a_process_that_hangs_is_started_again(sharing: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(sharing.home))
    monkeypatch.syspath_prepend(str(sharing.path))
    arguments = (str(sharing.path / "consumers" / "__main__.py"), "ledger", "--port", "{port}")
    spec = ProcessSpec("ledger", arguments, hang_after_s=0.2)
    said: list[str] = []
    back = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if line == "ledger is back":
            back.set()

    supervisor = Supervisor(
        StackSettings(),
        [spec],
        setup=["true"],
        say=say,
        backoff=Backoff(first_s=0.1),
        probe_every_s=0.2,
    )
    ready: asyncio.Queue[StackRecord] = asyncio.Queue()
    stop = asyncio.Event()
    running = asyncio.create_task(supervisor.run(stop, ready.put_nowait))
    try:
        pid = (await asyncio.wait_for(ready.get(), 30)).pools[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.wait_for(back.wait(), 30)
    finally:
        stop.set()
        await running
    assert "did not answer" in said[0]
    assert sharing.processes() == []
