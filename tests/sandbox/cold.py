"""The cold tier by itself, as whoever runs this. Prints what became of a few programs."""

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path

from consumers.execution.sandbox import canary
from consumers.execution.sandbox.bubblewrap import open_bubblewrap
from consumers.execution.sandbox.ports import Program
from consumers.execution.sandbox.settings import SandboxSettings
from schemas.execution import Packages
from tests.sandbox.host import LIMITS, run

PROGRAMS = {
    "prints": "print(1); open('made', 'w').write('x')",
    "spins": "while True: pass",
    "forks": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "floods": "import os\nwhile True: os.write(1, b'x' * 1000)",
    "hoards": "import mmap\nheld = []\nwhile True: held.append(mmap.mmap(-1, 10**6)); held[-1][:] = bytes(10**6)",
    "sees": "import os\nfor p in ('/etc/passwd', '/proc/1', '/root', '/home'): assert not os.path.exists(p), p",
    "leaves": "import os, time\nif os.fork() == 0: time.sleep(60)",
}


async def main() -> None:
    async with open_bubblewrap(SandboxSettings()) as sandbox:
        await canary.prove(sandbox)
        for name, code in PROGRAMS.items():
            with tempfile.TemporaryDirectory() as folder:
                program = Program(code, Packages.PLAIN, replace(LIMITS, wall_s=2))
                done = await run(sandbox, program, Path(folder))
                print(name, done.ended.ending.value, *(kept.name for kept in done.ended.artifacts))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
