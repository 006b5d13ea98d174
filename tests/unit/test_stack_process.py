"""One child: what stops it, what it takes along, and what dies with its parent."""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from millrace.stack.process import MARK, Child, Identity

# Ignores TERM, and has a child of its own that left the group and ignores TERM as well.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"],
                 start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def marked(child: Child) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == child.mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[Child]:
    command = [sys.executable, "-c", STUBBORN]
    child = Child("stubborn", command, log=tmp_path / "log", env={}, orphan_signal=signal.SIGKILL)
    child.start()
    until(lambda: "ready" in child.log_tail() and len(marked(child)) == 2)
    yield child
    await child.kill()


async def test_stop_takes_along_what_ignores_term_and_what_left_the_group(child: Child) -> None:
    await child.stop(grace_s=0.1)
    assert child.returncode == -signal.SIGKILL
    assert marked(child) == []


async def test_a_stopped_child_starts_again(child: Child) -> None:
    first = child.identity
    await child.kill()
    child.start()
    assert child.running
    assert child.identity != first
    with pytest.raises(RuntimeError, match="runs already"):
        child.start()


async def test_what_a_crashed_child_left_is_found(child: Child) -> None:
    child.signal_group(signal.SIGKILL)
    await child.wait()
    assert len(marked(child)) == 1
    await child.kill()
    assert marked(child) == []


async def test_a_program_that_does_not_exist_is_said_in_the_log(tmp_path: Path) -> None:
    child = Child("missing", ["/no/such/program"], log=tmp_path / "log", env={})
    child.start()
    assert await child.wait() == 1
    assert "cannot run /no/such/program" in child.log_tail()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    parent = f"""
import time
from pathlib import Path
from millrace.stack.process import Child
child = Child("sleeper", ["sleep", "60"], log=Path({log!r}), env={{"PATH": "/usr/bin:/bin"}})
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        sleeper = Identity.of(int(process.stdout.readline()))
        assert sleeper.find() is not None
        process.kill()
    until(lambda: sleeper.find() is None)


def test_an_identity_is_not_that_of_a_later_process_with_the_same_number() -> None:
    own = Identity.of(psutil.Process().pid)
    assert own.find() is not None
    assert Identity(own.pid, own.started - 60).find() is None
