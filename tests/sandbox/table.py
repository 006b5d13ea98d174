"""The corpus as a table in docs/security.md, with each layer switched off in turn: `python -m tests.sandbox.table`.

What is written is what was seen. Which layer stopped a case is told by how the kernel refused, and by what happens
when a layer is missing: a case that stays denied without it has another one behind it.
"""

import asyncio
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consumers.execution.sandbox.ports import SandboxFault
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import ZygoticSandbox, open_zygotic
from schemas.execution import Packages
from tests.sandbox.corpus import Case, Expected, cases
from tests.sandbox.host import accepts, attempt, bait, judge

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
START, END = "<!-- corpus: made by python -m tests.sandbox.table -->", "<!-- end of the corpus -->"
LAYERS = {
    "seccomp": "filter",
    "landlock": "Landlock",
    "capabilities": "dropped capabilities",
    "network": "own network",
    "cgroup": "cgroups",
}
_AT_ONCE = 3


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="millrace-corpus-") as folder, bait(Path(folder)) as told:
        whole = await _played(frozenset(), list(cases()), told)
        without = {layer: await _played(frozenset({layer}), _telling(layer), told) for layer in LAYERS}
    lines = _lines(whole, without)
    text = PAGE.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    PAGE.write_text(f"{before}{START}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


Played = dict[Case, tuple[bool, str, str]]
"""Whether it came to what it must, what it came to, and what stopped it."""


def _telling(layer: str) -> list[Case]:
    """The cases that can tell something about a layer."""
    wanted = Expected.KILLED if layer == "cgroup" else Expected.DENIED
    return [
        case
        for case in cases()
        if case.expected is wanted or (layer == "seccomp" and case.name.startswith(("x32", "int")))
    ]


async def _played(missing: frozenset[str], chosen: Sequence[Case], told: dict[str, Any]) -> Played:
    settings = SandboxSettings(warm=(Packages.PLAIN, Packages.DATA, Packages.TORCH))
    found: Played = {}
    slots = asyncio.Semaphore(_AT_ONCE)

    async def play(sandbox: ZygoticSandbox, case: Case) -> None:
        async with slots:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    run = await attempt(sandbox, case, told, Path(folder))
                except SandboxFault as fault:
                    found[case] = (False, f"fault: {fault}", "")
                    return
            verdict = judge(run)
            got = f"{verdict.got}: {verdict.seen}" if verdict.got else "**escaped**"
            found[case] = (accepts(case, run, verdict), got, verdict.layer)

    async with open_zygotic(settings, missing) as sandbox:
        await asyncio.gather(*(play(sandbox, case) for case in chosen))
    return found


def _lines(whole: Played, without: dict[str, Played]) -> list[str]:
    held = sum(fine for fine, _, _ in whole.values())
    lines = [
        f"{held} of {len(whole)} cases came to what they must, on Linux {platform.release().split('-')[0]} "
        f"({platform.machine()}), Python {platform.python_version()}, tier A.",
        "",
        "| case | expected | got | stopped by | " + " | ".join(f"without {name}" for name in LAYERS.values()) + " |",
        "|" + "---|" * (4 + len(LAYERS)),
    ]
    for case in cases():
        fine, got, layer = whole[case]
        alone = [_cell(without[name].get(case)) for name in LAYERS]
        shown = got if fine else f"{got} (not as it must)"
        stopped = layer if case.expected is not Expected.WORKS else ""
        lines.append(f"| {case.id} | {case.expected} | {shown} | {stopped} | " + " | ".join(alone) + " |")
    return [line.replace("\\", "") for line in lines]


def _cell(played: tuple[bool, str, str] | None) -> str:
    if played is None:
        return ""
    fine, got, _ = played
    return got.partition(":")[0] if fine else got


if __name__ == "__main__":
    asyncio.run(main())
