"""A program that tries what no program may, run before anybody else's: what a tier promises is seen, not believed."""

import json
import re
import socket
import tempfile
from pathlib import Path

from consumers.execution.sandbox.ports import Ended, Limits, Program, Sandbox, SandboxFault, SandboxUnavailable
from consumers.execution.sandbox.remedies import remedy
from schemas.execution import Ending, Packages, Stream

_LIMITS = Limits(wall_s=20, memory_bytes=256 * 2**20, processes=16, output_bytes=2**16, disk_bytes=2**20, files=100)
_PROGRAM = """
import json, os, socket, sys

def tried(call, *arguments):
    try:
        call(*arguments)
    except OSError:
        return False
    return True

def status():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return {}
    return dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)

def connect(port):
    with socket.socket() as made:
        made.settimeout(2)
        made.connect(("127.0.0.1", port))

port, secret = int(sys.argv[1]), sys.argv[2]
told = status()
print(json.dumps({
    "reads a file of the host": tried(open, secret),
    "reads /etc/passwd": tried(open, "/etc/passwd"),
    "writes to /usr": tried(open, "/usr/canary", "w"),
    "reaches the host's loopback": tried(connect, port),
    "sees other processes": sorted(int(n) for n in os.listdir("/proc") if n.isdigit()) not in ([], [1, os.getpid()]),
    "has capabilities": int(told.get("CapPrm", "0"), 16) != 0,
    "can gain privileges": told.get("NoNewPrivs", "1") != "1",
    "has no filter": told.get("Seccomp", "2") != "2",
    "has no own proc": not told,
    "sees the environment": any(name.startswith(("MILLRACE", "RABBITMQ", "MONGODB")) for name in os.environ),
}))
"""
_CONTAINER = "In a container: the profile in deploy/sandbox"
OWN_PROC = "its own /proc"
PROMISES = {
    "reads a file of the host": ("its own files", _CONTAINER),
    "reads /etc/passwd": ("no accounts of the host", _CONTAINER),
    "writes to /usr": ("read-only root", _CONTAINER),
    "reaches the host's loopback": ("no network", "Network namespaces are needed"),
    "sees other processes": ("its own processes", "PID namespaces are needed"),
    "has capabilities": ("no capabilities", "User namespaces are needed"),
    "can gain privileges": ("no new privileges", "Linux 3.5 is needed"),
    "has no filter": ("system call filter", "A kernel with CONFIG_SECCOMP_FILTER is needed"),
    "has no own proc": (
        OWN_PROC,
        "Linux 5.8, and in a container systempaths=unconfined (Docker) or procMount: Unmasked (Kubernetes)",
    ),
    "sees the environment": ("a clean environment", "This is a fault of Millrace"),
}
"""What a program tries, what it is called that it cannot, and what makes it so."""
_NOT_FATAL = "has no own proc"


async def sing(sandbox: Sandbox) -> dict[str, bool]:
    """What the canary could do. Raises SandboxUnavailable when it did not run as it should."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-canary-") as folder,
        socket.create_server(("127.0.0.1", 0)) as own,
    ):
        secret = Path(folder) / "secret"
        secret.write_text("of the host")
        leavings = Path(folder) / "leavings"
        leavings.mkdir()
        argv = (str(own.getsockname()[1]), str(secret))
        said: dict[Stream, bytes] = dict.fromkeys(Stream, b"")

        def listen(stream: Stream, piece: bytes) -> None:
            said[stream] += piece

        try:
            ended: Ended = await sandbox.run(Program(_PROGRAM, Packages.PLAIN, _LIMITS, argv=argv), leavings, listen)
        except SandboxFault as fault:
            raise SandboxUnavailable(f"{fault}. {remedy(_failed_call(str(fault)))}") from fault
        if ended.ending is not Ending.OK:
            complaint = said[Stream.STDERR].decode(errors="replace")
            raise SandboxUnavailable(f"the canary ended with {ended.ending}: {complaint}")
        found: dict[str, bool] = json.loads(said[Stream.STDOUT])
        return found


def _failed_call(why: str) -> str | None:
    found = re.search(r"'(\w+)'$", why)
    return found[1] if found else None


async def prove(sandbox: Sandbox) -> bool:
    """Whether it has a /proc of its own. Raises SandboxUnavailable when a wall does not stand."""
    found = await sing(sandbox)
    if fallen := [what for what, could in found.items() if could and what != _NOT_FATAL]:
        raise SandboxUnavailable(f"a program in the sandbox {', '.join(fallen)}")
    return not found[_NOT_FATAL]
