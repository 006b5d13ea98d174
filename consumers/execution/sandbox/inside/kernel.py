"""The system calls that Python 3.11 does not have, each raising OSError."""

import ctypes
import os
import platform
import struct
from contextlib import suppress
from pathlib import Path

from .numbers import NUMBERS

MACHINES = {"x86_64": 0, "aarch64": 1}

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS = 1, 4, 24, 28
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
LOCKED_SECUREBITS = (
    0xEF  # NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE and the locks of all, KEEP_CAPS off and locked
)

_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _AT_RECURSIVE, _AT_EMPTY_PATH = 1, 0o2000000, 0x8000, 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CAPABILITY_VERSION_3 = 0x20080522

# PyDLL keeps the interpreter's lock, so that a raw clone() cannot leave it to a thread that the child does not have.
_libc = ctypes.PyDLL(None, use_errno=True)


def number(name: str) -> int:
    found = NUMBERS[name][MACHINES[platform.machine()]]
    if found is None:
        raise OSError(38, "no such system call on this machine", name)
    return found


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc.syscall(ctypes.c_long(number(name)), *wide))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), name)
    return result


_libc.syscall.restype = ctypes.c_long


def clone(flags: int) -> int:
    """A fork into new namespaces. Without Python's own care after a fork: only for a child that soon executes."""
    return call("clone", flags | 17, 0, 0, 0, 0)  # 17: SIGCHLD


def unshare(flags: int) -> None:
    call("unshare", flags)


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    call("mount", source.encode(), target.encode(), kind.encode(), flags, options.encode())


def bind(source: str, target: str, flags: int) -> None:
    """A bind mount is read-only only after a second look at it."""
    mount(source, target, "", MS_BIND)
    mount("", target, "", MS_BIND | MS_REMOUNT | flags)


def unmount(target: str) -> None:
    call("umount2", target.encode(), MNT_DETACH)


def enter_root(folder: str) -> None:
    """`folder` becomes /, and what was there is gone from this mount namespace."""
    os.chdir(folder)
    call("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def tree(path: str) -> int:
    """A read-only copy of what is mounted at `path`, as a descriptor that can be attached in another namespace."""
    made = call("open_tree", -100, path.encode(), _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC)
    flags = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", flags, 0, 0, 0), 32)
    try:
        call("mount_setattr", made, b"", _AT_EMPTY_PATH, attributes, 32)
    except OSError:
        os.close(made)
        raise
    return made


def attach(tree: int, target: str) -> None:
    call("move_mount", tree, b"", -100, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)


def prctl(option: int, value: int, third: int = 0) -> None:
    call("prctl", option, value, third, 0, 0)


def drop_capabilities() -> None:
    """All of them for good: also those that an executed file would bring."""
    lock_capabilities()
    clear_capabilities()


def lock_capabilities() -> None:
    """No capability that is given up comes back, by whatever is executed, as whoever."""
    with suppress(OSError):  # EINVAL: there are no more
        for capability in range(64):
            prctl(PR_CAPBSET_DROP, capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    prctl(PR_SET_SECUREBITS, LOCKED_SECUREBITS)


def clear_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), 8)
    call("capset", header, ctypes.create_string_buffer(bytes(24), 24))


def effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("CapEff:")[1].split()[0], 16)


def new_session_keyring() -> None:
    call("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0)
