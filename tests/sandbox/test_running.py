"""What a caller is told of a program, and what it leaves behind."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.execution.sandbox.inside.program import SCRIPT
from consumers.execution.sandbox.ports import Program, Sandbox, SandboxFault
from schemas.execution import Ending, Packages
from tests.sandbox.host import LIMITS, ignored, run, setting
from tests.support.waiting import eventually


def program(code: str, **changes: object) -> Program:
    return replace(Program(code, Packages.PLAIN, LIMITS), **changes)  # type: ignore[arg-type]


def folder(parent: Path) -> Path:
    """Empty, for what one program leaves."""
    return Path(mkdtemp(dir=parent))


async def test_streams_status_and_usage(sandbox: Sandbox, leavings: Path) -> None:
    done = await run(
        sandbox, program("import sys\nprint('out'); print('err', file=sys.stderr); sys.exit(3)"), leavings
    )
    assert (done.stdout, done.stderr, done.ended.ending, done.ended.exit_code) == ("out\n", "err\n", Ending.ERROR, 3)
    assert done.ended.signal is None
    assert 0 < done.ended.usage.wall_s < LIMITS.wall_s
    assert done.ended.usage.cpu_s > 0
    assert 0 < done.ended.usage.peak_memory_bytes < LIMITS.memory_bytes


async def test_a_traceback_begins_with_the_users_first_line(sandbox: Sandbox, leavings: Path) -> None:
    done = await run(sandbox, program("def f():\n    return 1 / 0\nf()"), leavings)
    assert done.stderr.startswith(f'Traceback (most recent call last):\n  File "{SCRIPT}", line 3, in <module>\n')
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


async def test_a_signal_of_its_own_doing(sandbox: Sandbox, leavings: Path) -> None:
    done = await run(sandbox, program("import ctypes; ctypes.string_at(0)"), leavings)
    assert (done.ended.ending, done.ended.signal, done.ended.exit_code) == (Ending.ERROR, signal.SIGSEGV, None)


async def test_output_comes_while_it_runs(sandbox: Sandbox, leavings: Path) -> None:
    heard = asyncio.Event()
    running = asyncio.create_task(sandbox.run(program("print('first'); input()"), leavings, setting(heard)))
    await asyncio.wait_for(heard.wait(), 10)
    await running


async def test_output_beyond_the_limit_is_cut_there(sandbox: Sandbox, leavings: Path) -> None:
    limits = replace(LIMITS, output_bytes=1000)
    done = await run(sandbox, program("print('x' * 5000)\nwhile True: pass", limits=limits), leavings)
    assert (done.ended.ending, len(done.stdout)) == (Ending.OUTPUT_LIMIT, 1000)


async def test_files_and_mounts_are_there(sandbox: Sandbox, leavings: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights").write_bytes(b"w")
    (tmp_path / "given").write_bytes(b"g" * 100_000)
    files = {f"data/{n}.bin": tmp_path / "given" for n in range(70)}
    code = """
import os
assert len(os.listdir('data')) == 70 and len(open('data/69.bin').read()) == 100_000
assert open('/mnt/models/weights').read() == 'w'
for attempt, path in ((os.unlink, '/mnt/models/weights'), (os.mkdir, '/mnt/x'), (os.truncate, '/mnt/models/weights')):
    try: attempt(path, *[0][attempt is not os.truncate:])
    except OSError: continue
    raise AssertionError
assert HERE not in open('/proc/self/mountinfo').read()
open('made', 'w').write('m')
""".replace("HERE", repr(str(tmp_path)))
    done = await run(sandbox, program(code, files=files, mounts={"models": tmp_path / "models"}), leavings)
    assert done.ended.ending is Ending.OK, done.stderr
    assert [(kept.name, kept.path.read_bytes(), kept.bytes) for kept in done.ended.artifacts] == [("made", b"m", 1)]


LEAVINGS = r"""
import os, socket
os.symlink('/etc/shadow', 'to-a-file'); os.symlink('/proc/self', 'to-proc')
os.symlink('/', 'to-a-folder'); os.symlink('loop', 'loop')
os.mkfifo('fifo')
socket.socket(socket.AF_UNIX).bind('socket')
open('original', 'w').write('x'); os.link('original', 'hard'); os.link('main.py', 'main2')
open('new\nline', 'w'); open(b'\xff\xfe', 'w'); open('n' * 255, 'w')
open('\u202egpj.exe', 'w'); open('back\\slash', 'w')
open('-rf', 'w'); open('~', 'w')
with open('sparse', 'wb') as file: file.truncate(200 * 2**20)
open('closed', 'w').write('x'); os.chmod('closed', 0)
os.mkdir('shut'); open('shut/in', 'w'); os.chmod('shut', 0)
open('good.txt', 'w').write('good'); os.makedirs('a/b'); open('a/b/c.txt', 'w').write('deep')
here = os.open('.', os.O_RDONLY)
for n in range(1500):
    os.mkdir('d', dir_fd=here); below = os.open('d', os.O_RDONLY, dir_fd=here)
    os.close(here); here = below
"""


async def test_only_what_is_harmless_is_taken(sandbox: Sandbox, leavings: Path) -> None:
    limits = replace(LIMITS, memory_bytes=512 * 2**20)
    done = await run(sandbox, program(LEAVINGS, limits=limits), leavings)
    assert done.ended.ending is Ending.OK, done.stderr
    taken = {kept.name: kept.path.read_bytes() for kept in done.ended.artifacts}
    assert taken == {"good.txt": b"good", "a/b/c.txt": b"deep"} | ({"shut/in": b""} if "shut/in" in taken else {})
    refused = "\n".join(done.ended.refused)
    for why in ("(l)", "(p)", "(s)", "2 names", "not UTF-8", "misread", "200 bytes", "room for", "deeper than"):
        assert why in refused, (why, refused)
    assert all(entry.is_file(follow_symlinks=False) for entry in os.scandir(leavings))


async def test_many_files_are_capped(sandbox: Sandbox, leavings: Path) -> None:
    code = "for n in range(20_000): open(f'f{n:05}', 'w').close()"
    limits = replace(LIMITS, files=30_000)
    done = await run(sandbox, program(code, limits=limits), leavings)
    assert done.ended.ending is Ending.OK
    assert len(done.ended.artifacts) == 256
    assert len(done.ended.refused) <= 101
    assert any("more than" in line for line in done.ended.refused)


async def test_cancelling_kills_at_once(sandbox: Sandbox, leavings: Path) -> None:
    marker = f"{os.getpid()}{time.monotonic_ns()}"
    started = asyncio.Event()
    code = f"import subprocess\nsubprocess.Popen(['/bin/sleep', '{marker[-9:]}'])\nprint('up')\nwhile True: pass"
    running = asyncio.create_task(sandbox.run(program(code), leavings, setting(started)))
    await asyncio.wait_for(started.wait(), 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not [p for p in psutil.process_iter(["cmdline"]) if marker[-9:] in (p.info["cmdline"] or [])]


async def test_cancelling_before_it_started_leaves_nothing(sandbox: Sandbox, leavings: Path) -> None:
    """Whenever that is."""
    held = {p: p.num_fds() for p in (psutil.Process(), the_daemon())}
    for moment in range(40):
        running = asyncio.create_task(sandbox.run(program("while True: pass"), leavings, ignored))
        await asyncio.sleep(moment * 0.0005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await run(sandbox, program("print(1)"), leavings)).stdout == "1\n"

    async def as_before() -> bool:
        return all(process.num_fds() <= before for process, before in held.items())

    await eventually(as_before)


def the_daemon() -> psutil.Process:
    return next(p for p in psutil.Process().children() if "inside.daemon" in " ".join(p.cmdline()))


async def test_nothing_passes_from_one_program_to_the_next(sandbox: Sandbox, leavings: Path) -> None:
    leave = """
import builtins, os, sys, random
for folder in ('/work', '/tmp', '/dev/shm'):
    open(folder + '/tenant-was-here', 'w').write('secret')
    open(folder + '/sitecustomize.py', 'w').write('print("poisoned")')
    os.makedirs(folder + '/__pycache__', exist_ok=True)
builtins.tenant_was_here = True; sys.modules['tenant_was_here'] = sys; os.environ['TENANT'] = 'here'
sys.path.insert(0, '/dev/shm')
if os.fork() == 0:
    import time; time.sleep(60)
"""
    look = """
import builtins, os, sys
assert not hasattr(builtins, 'tenant_was_here') and 'tenant_was_here' not in sys.modules
assert 'TENANT' not in os.environ
assert os.listdir('/work') == ['main.py'] and os.listdir('/tmp') == [] and os.listdir('/dev/shm') == []
assert sorted(int(n) for n in os.listdir('/proc') if n.isdigit()) == [1, os.getpid()]
import random; print(random.random(), os.urandom(4).hex(), id(object()))
"""
    await run(sandbox, program(leave), folder(leavings))
    both = [await run(sandbox, program(look), folder(leavings)) for _ in range(2)]
    assert [done.ended.ending for done in both] == [Ending.OK, Ending.OK], both[0].stderr
    drawn = [done.stdout.split()[0] for done in both]
    assert drawn[0] != drawn[1]


async def test_neighbours_do_not_see_or_starve_each_other(sandbox: Sandbox, leavings: Path, tmp_path: Path) -> None:
    greedy = """
import os, socket, time
made = socket.socket(socket.AF_UNIX); made.bind('\\0shared-name'); made.listen()
open('/dev/shm/shared-name', 'w').write('x')
while True:
    try: os.fork()
    except OSError: time.sleep(0.1)
    print('up', flush=True)
"""
    modest = """
import os, socket
try: socket.socket(socket.AF_UNIX).connect('\\0shared-name'); raise AssertionError
except ConnectionRefusedError: pass
assert os.listdir('/dev/shm') == []
for _ in range(10):
    if os.fork() == 0: os._exit(0)
"""
    up = asyncio.Event()
    other = tmp_path / "other"
    other.mkdir()
    limits = replace(LIMITS, output_bytes=2**24)
    bad = asyncio.create_task(sandbox.run(program(greedy, limits=limits), other, setting(up)))
    await asyncio.wait_for(up.wait(), 10)
    good = await run(sandbox, program(modest), leavings)
    bad.cancel()
    await asyncio.gather(bad, return_exceptions=True)
    assert good.ended.ending is Ending.OK, good.stderr


async def test_a_killed_zygote_takes_its_jobs_with_it_and_the_pool_recovers(sandbox: Sandbox, leavings: Path) -> None:
    up = asyncio.Event()
    running = asyncio.create_task(
        sandbox.run(program("print('up', flush=True)\nwhile True: pass"), leavings, setting(up))
    )
    await asyncio.wait_for(up.wait(), 10)
    for zygote in the_daemon().children():
        zygote.kill()
    with pytest.raises(SandboxFault):
        await running
    assert (await run(sandbox, program("print(1)"), leavings)).stdout == "1\n"


async def test_a_killed_daemon_takes_all_with_it_and_the_pool_recovers(sandbox: Sandbox, leavings: Path) -> None:
    up = asyncio.Event()
    running = asyncio.create_task(
        sandbox.run(program("print('up', flush=True)\nwhile True: pass"), leavings, setting(up))
    )
    await asyncio.wait_for(up.wait(), 10)
    daemon = the_daemon()
    below = daemon.children(recursive=True)
    daemon.kill()
    with pytest.raises(SandboxFault):
        await running
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    assert (await run(sandbox, program("print(1)"), leavings)).stdout == "1\n"


_ABUSE = st.lists(
    st.sampled_from(
        [
            "held.append(bytearray({n} * 10**5))",
            "held.append(os.memfd_create('x')); os.write(held[-1], bytes({n} * 10**5))",
            "os.fork()",
            "threading.Thread(target=time.sleep, args=[{n}]).start()",
            "open(str(time.time_ns()), 'wb').write(bytes({n} * 10**4))",
            "open(f'/dev/shm/{{time.time_ns()}}', 'wb').write(bytes({n} * 10**5))",
            "os.write(1, b'x' * {n} * 100)",
            "held.append(socket.socketpair())",
            "os.kill(0, signal.SIGSTOP if {n} > 98 else 0)",
            "os.setsid() if os.fork() == 0 else None",
            "os.symlink('/' + 'x' * {n}, f'/tmp/{{time.time_ns()}}')",
        ]
    ).flatmap(lambda step: st.integers(1, 100).map(lambda n: step.format(n=n))),
    min_size=1,
    max_size=6,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_ABUSE, rounds=st.sampled_from([1, 20, 10_000]))
async def test_whatever_it_uses_up_it_ends_within_its_limits(
    sandbox: Sandbox, tmp_path: Path, steps: list[str], rounds: int
) -> None:
    body = "\n".join(f"    try: {step}\n    except (OSError, RuntimeError, MemoryError): pass" for step in steps)
    code = f"import os, signal, socket, threading, time\nheld = []\nfor _ in range({rounds}):\n{body}\nos._exit(0)"
    limits = replace(LIMITS, wall_s=0.5, memory_bytes=64 * 2**20, processes=12, disk_bytes=2**20)
    began = time.monotonic()
    done = await run(sandbox, program(code, limits=limits), folder(tmp_path))
    assert time.monotonic() - began < 15
    assert done.ended.usage.peak_memory_bytes <= limits.memory_bytes
    assert len(done.stdout) <= limits.output_bytes
    assert (await run(sandbox, program("print(1)"), folder(tmp_path))).stdout == "1\n"
