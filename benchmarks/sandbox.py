"""What the sandbox costs over `python -c`, how many programs it runs in a second, how fast it kills, what it leaks.

Both sides run the same code to its result, one after the other: the sandbox from `run` to what it returns, a plain
Python from its start to its end. Overhead is the difference of the medians. The plain interpreter has to import NumPy
and torch each time; the sandbox has them loaded, so for those the difference is to one that only prints, as the goal
has it: print at most 15 ms, NumPy 40, torch 60; 60 programs a second; 50 ms from the deadline to the result.

    make bench NAME=sandbox ARGS="--rounds 50"
    make bench NAME=sandbox ARGS="--only soak --jobs 100000"
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from consumers.execution.sandbox import SandboxSettings, open_sandbox
from consumers.execution.sandbox.ports import Ended, Limits, Program, Sandbox
from schemas.execution import Ending, Packages, Stream

LIMITS = Limits(wall_s=30, memory_bytes=2**30, processes=64, output_bytes=2**20, disk_bytes=64 * 2**20, files=10_000)
PROGRAMS = {
    "print": (Packages.PLAIN, "print(1)"),
    "numpy": (Packages.DATA, "import numpy; print(numpy.arange(10).sum())"),
    "torch": (Packages.TORCH, "import torch; print(torch.ones(10).sum())"),
}
GOALS_MS = {"print": 15, "numpy": 40, "torch": 60}
ENDLESS = {
    "spinning": "while True: pass",
    "sleeping, signals ignored": (
        "import signal, time\nfor n in range(1, 65):\n    try: signal.signal(n, 1)\n"
        "    except (OSError, ValueError): pass\ntime.sleep(60)"
    ),
    "stopped": "import os, signal, time; os.kill(os.getpid(), signal.SIGSTOP); time.sleep(60)",
    "a large integer": "7 ** 10**8",
    "a fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads": "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=[60]).start()",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=500, help="of the soak")
    parser.add_argument("--only", choices=["overhead", "rate", "kill", "soak"])
    given = parser.parse_args(arguments)
    asyncio.run(_all(given))


async def _all(given: argparse.Namespace) -> None:
    settings = SandboxSettings(warm=())
    parts: dict[str, Callable[[Sandbox], Awaitable[None]]] = {
        "overhead": lambda sandbox: _overhead(sandbox, given.rounds),
        "rate": lambda sandbox: _rate(sandbox, 10 * given.rounds),
        "kill": _kill,
        "soak": lambda sandbox: _soak(sandbox, given.jobs),
    }
    async with open_sandbox(settings) as sandbox:
        print(f"tier {sandbox.tier}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        for name, part in parts.items():
            if given.only in (None, name):
                await part(sandbox)


async def _overhead(sandbox: Sandbox, rounds: int) -> None:
    plain_ms = statistics.median([_plain_ms("print(1)") for _ in range(rounds)])
    print(f"plain python -c 'print(1)': {plain_ms:.1f} ms")
    for name, (packages, code) in PROGRAMS.items():
        cold_ms = await _took_ms(sandbox, packages, code)
        warm = [await _took_ms(sandbox, packages, code) for _ in range(rounds)]
        warm_ms, same_ms = statistics.median(warm), _plain_ms(code)
        print(
            f"{name:6} warm {warm_ms:6.1f} ms (p95 {_p95(warm):6.1f}), over plain {warm_ms - plain_ms:6.1f} ms "
            f"(goal {GOALS_MS[name]}), cold {cold_ms:8.1f} ms; the same in a plain python {same_ms:.0f} ms"
        )


async def _rate(sandbox: Sandbox, jobs: int) -> None:
    for at_once in (1, 2, 4):
        slots = asyncio.Semaphore(at_once)

        async def one(slots: asyncio.Semaphore = slots) -> None:
            async with slots:
                await _took_ms(sandbox, Packages.PLAIN, "print(1)")

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(jobs)))
        print(f"{jobs / (time.perf_counter() - began):6.1f} programs/s, {at_once} at once (goal 60)")


async def _kill(sandbox: Sandbox) -> None:
    for name, code in ENDLESS.items():
        late = []
        for _ in range(5):
            ended, _ = await _run(sandbox, Packages.PLAIN, code, replace(LIMITS, wall_s=0.3))
            assert ended.ending is Ending.TIMEOUT, ended
            late.append((ended.usage.wall_s - 0.3) * 1e3)
        print(
            f"dead after the deadline: {statistics.median(late):6.1f} ms, at most {max(late):6.1f} (goal 50): {name}"
        )


async def _soak(sandbox: Sandbox, jobs: int) -> None:
    """Every tenth program is killed, every fifth leaves children behind."""
    codes = (
        ["print(1)"] * 7
        + ["import os\nos.fork(); os.fork()"] * 2
        + ["open('/dev/shm/x', 'wb').write(bytes(10**6)); 1/0"]
    )
    for number in range(50):
        await _took_ms(sandbox, Packages.PLAIN, codes[number % 10])
    before = _held()
    began = time.perf_counter()
    for number in range(jobs):
        await _took_ms(sandbox, Packages.PLAIN, codes[number % 10])
    after = _held()
    print(f"soak of {jobs:,}: {jobs / (time.perf_counter() - began):.1f} programs/s, one after the other")
    for what, count in before.items():
        print(f"  {what:20} {count:>12,} -> {after[what]:>12,}")


def _held() -> dict[str, int]:
    ours = [psutil.Process(), *psutil.Process().children(recursive=True)]
    groups = sum(1 for base in Path("/sys/fs/cgroup").glob("**/millrace-*") for _ in base.iterdir() if _.is_dir())
    return {
        "processes": len(ours),
        "zombies": sum(process.status() == psutil.STATUS_ZOMBIE for process in ours),
        "descriptors": sum(process.num_fds() for process in ours),
        "resident bytes": sum(process.memory_info().rss for process in ours),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "cgroups": groups,
    }


async def _took_ms(sandbox: Sandbox, packages: Packages, code: str) -> float:
    return (await _run(sandbox, packages, code, LIMITS))[1]


async def _run(sandbox: Sandbox, packages: Packages, code: str, limits: Limits) -> tuple[Ended, float]:
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        began = time.perf_counter()
        ended = await sandbox.run(Program(code, packages, limits), Path(folder), _ignore)
        return ended, (time.perf_counter() - began) * 1e3


def _plain_ms(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return (time.perf_counter() - began) * 1e3


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def _ignore(_stream: Stream, _piece: bytes) -> None:
    """Nothing is done with it."""


if __name__ == "__main__":
    main()
