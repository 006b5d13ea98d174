"""A sandbox for tests of what is around it: it keeps nobody out of anything."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from consumers.execution.sandbox.ports import Artifact, Ended, Program, Sandbox, Tier
from schemas.execution import Ending, Stream, Usage


class OpenDoor:
    """Runs a program as a plain child process, in a directory of its own."""

    tier = Tier.B

    async def run(self, program: Program, artifacts: Path, output: Callable[[Stream, bytes], None]) -> Ended:
        with TemporaryDirectory() as scratch:
            work = Path(scratch)
            for name, path in program.files.items():
                (work / name).parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, work / name)
            code = program.code.replace("/mnt/model", str(program.mounts.get("model", "/mnt/model")))
            (work / "main.py").write_text(code)
            started = time.perf_counter()
            pipe = asyncio.subprocess.PIPE
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "main.py", *program.argv), cwd=work, stdin=pipe, stdout=pipe, stderr=pipe
            )
            try:
                async with asyncio.timeout(program.limits.wall_s):
                    out, err = await child.communicate(program.stdin)
            except TimeoutError:
                return Ended(
                    Ending.TIMEOUT, None, 9, Usage(wall_s=program.limits.wall_s, cpu_s=0, peak_memory_bytes=0)
                )
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
            for stream, text in ((Stream.STDOUT, out), (Stream.STDERR, err)):
                output(stream, text)
            kept = _kept(work, {"main.py", *program.files}, artifacts)
            ending = Ending.ERROR if child.returncode else Ending.OK
            return Ended(ending, child.returncode, None, _usage(time.perf_counter() - started), tuple(kept))


def _usage(wall_s: float) -> Usage:
    return Usage(wall_s=wall_s, cpu_s=0, peak_memory_bytes=0)


def _kept(work: Path, given: set[str], artifacts: Path) -> Iterator[Artifact]:
    for number, path in enumerate(sorted(work.rglob("*"))):
        name = str(path.relative_to(work))
        if path.is_file() and name not in given and "__pycache__" not in path.parts:
            copyfile(path, artifacts / str(number))
            yield Artifact(name, artifacts / str(number), path.stat().st_size)


@asynccontextmanager
async def open_door() -> AsyncIterator[Sandbox]:
    yield OpenDoor()
