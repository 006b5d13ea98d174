"""Hosts that are poorer than the one that runs the tests: what holds there, and how it is told."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.execution.sandbox.inside.cgroups import V2Groups
from consumers.execution.sandbox.inside.seccomp import ALLOWED
from consumers.execution.sandbox.ports import Program
from consumers.execution.sandbox.settings import SandboxSettings
from consumers.execution.sandbox.zygotic import open_zygotic
from schemas.execution import Ending, Packages
from tests.sandbox.host import LIMITS, run

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes itself poorer than root")


PYTHON = "/usr/bin/python3.11"
for_everybody = pytest.mark.skipif(not Path(PYTHON).exists(), reason="needs a Python that everybody may execute")
SEEN_AT = Path("/mnt")
"""Where an ordinary user finds the project, which may lie in a folder that is closed to everybody else."""
AN_ORDINARY_USER = (
    *("unshare", "--mount", "--propagation=private"),
    *("sh", "-c", f'mount --bind "$0" {SEEN_AT} && exec "$@"', str(ROOT)),
    *("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"),
)


def examined(
    *wrapper: str, python: str = sys.executable, module: str = "consumers.execution.sandbox"
) -> tuple[int, str]:
    """What a process that was made poorer says, and how it ended."""
    command = [*wrapper, python, "-B", "-m", module]
    paths = [ROOT, *(Path(path) for path in sys.path if path.endswith("site-packages"))]
    if wrapper == AN_ORDINARY_USER:
        paths = [SEEN_AT / path.relative_to(ROOT) if path.is_relative_to(ROOT) else path for path in paths]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": ":".join(map(str, paths))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, cwd="/", check=False)
    return done.returncode, done.stdout + done.stderr


@as_root
def test_root_without_the_right_to_mount_takes_a_namespace_of_its_own() -> None:
    code, said = examined("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    assert code == 0, said
    assert "tier A\n" in said
    assert "NOT HELD  a user per program" in said


@as_root
@for_everybody
def test_an_ordinary_user_has_tier_a_and_is_told_what_would_raise_it() -> None:
    code, said = examined(*AN_ORDINARY_USER, python=PYTHON)
    assert code == 0, said
    assert "tier A\n" in said
    assert "NOT HELD  cgroups                  polling" in said
    assert "Delegate=yes" in said


@as_root
@for_everybody
@pytest.mark.skipif(not os.environ.get("CI") and not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_the_cold_tier_holds_for_an_ordinary_user() -> None:
    code, said = examined(*AN_ORDINARY_USER, python=PYTHON, module="tests.sandbox.cold")
    assert code == 0, said
    assert said.splitlines() == [
        "prints ok made",
        "spins timeout",
        "forks timeout",
        "floods output_limit",
        "hoards memory",
        "sees ok",
        "leaves ok",
    ]


@as_root
def test_without_user_namespaces_nothing_runs_and_the_remedy_is_told() -> None:
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    code, said = examined("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", forbid, "sh")
    assert code == 1
    assert said.startswith("sandbox: unavailable")
    assert "deploy/sandbox" in said


def test_the_tier_is_told_as_json() -> None:
    command = [sys.executable, "-m", "consumers.execution.sandbox", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)
    assert told["tier"] == "A"
    assert {layer["name"] for layer in told["layers"]} >= {"no network", "system call filter", "cgroups", "Landlock"}


@pytest.mark.parametrize(
    "code",
    [
        "held = []\nwhile True: held.append(bytearray(10**6))",
        "import mmap\nheld = []\nwhile True: held.append(mmap.mmap(-1, 10**6)); held[-1][:] = bytes(10**6)",
        "import os, time\nfor _ in range(3): os.fork()\nx = bytearray(20 * 2**20); time.sleep(9)",
        "import os\nheld = []\nwhile True: held.append(os.memfd_create('x')); os.write(held[-1], bytes(10**6))",
    ],
    ids=["list", "shared maps", "forks", "memory files"],
)
async def test_memory_is_bounded_where_no_cgroup_counts(code: str, leavings: Path) -> None:
    limits = replace(LIMITS, memory_bytes=100 * 2**20, wall_s=10)
    async with open_zygotic(SandboxSettings(), frozenset({"cgroup"})) as sandbox:
        assert sandbox.counting == "polling"
        done = await run(sandbox, Program(code, Packages.PLAIN, limits), leavings)
    assert done.ended.ending in (Ending.MEMORY, Ending.ERROR), done
    assert done.ended.usage.peak_memory_bytes < 2.5 * limits.memory_bytes


def test_groups_of_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a folder that looks like a delegated group; nothing counts there, but every file is where it should be."""
    import consumers.execution.sandbox.inside.cgroups as module

    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    (tmp_path / "cgroup.procs").write_text("")
    monkeypatch.setattr(module, "_mounted", lambda *_: tmp_path)
    monkeypatch.setattr(module, "_own_path", lambda *_: "/")
    groups = V2Groups()
    group = groups.open("job-1", {"memory_bytes": 1000, "processes": 5, "cpus": 1.5})
    group.attach(42)
    (base,) = tmp_path.glob("millrace-*")
    written = {path.name: path.read_text() for path in (base / "job-1").iterdir()}
    assert written["memory.max"] == "1000"
    assert written["memory.oom.group"] == "1"
    assert written["pids.max"] == "6"
    assert written["cgroup.procs"] == "42"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    shutil.rmtree(base)


def test_the_containers_profile_allows_what_the_sandbox_needs() -> None:
    profile = json.loads((ROOT / "deploy" / "sandbox" / "seccomp.json").read_text())
    allowed = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    needed = "clone unshare mount umount2 pivot_root open_tree move_mount mount_setattr seccomp capset prctl keyctl"
    assert allowed >= ALLOWED | set(needed.split())
    assert not allowed & {
        "bpf",
        "kexec_load",
        "init_module",
        "ptrace",
        "io_uring_setup",
        "userfaultfd",
        "perf_event_open",
    }
