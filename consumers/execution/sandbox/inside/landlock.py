"""Landlock: what of the file system a program may touch, enforced whatever the mounts say."""

import ctypes
import os
import struct
from collections.abc import Sequence

from .kernel import call

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 15
_RIGHTS_BY_ABI = (13, 14, 15, 15, 16)
"""How many kinds of access version 1, 2, ... of the interface knows."""
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | _IOCTL_DEV
_NET = 3  # binding and connecting TCP, from version 4
_SCOPES = 3  # abstract sockets and signals, from version 6
_VERSION, _PATH_BENEATH = 1, 1


def abi() -> int:
    """The version that this kernel has; 0 for none."""
    try:
        return call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def restrict(readable: Sequence[str], writable: Sequence[str]) -> None:
    """From here on this process reads and executes below `readable`, and makes what it likes below `writable`, but no
    devices. Files may be named as well as folders."""
    version = abi()
    known = (1 << _RIGHTS_BY_ABI[min(version, len(_RIGHTS_BY_ABI)) - 1]) - 1
    attributes = struct.pack("QQQ", known, _NET if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = call(
        "landlock_create_ruleset", ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    try:
        for path in readable:
            _grant(rules, path, _EXECUTE | _READ_FILE | _READ_DIR)
        for path in writable:
            _grant(rules, path, known & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV))
        call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def _grant(rules: int, path: str, rights: int) -> None:
    held = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # os alone: pathlib costs the zygote an import
            rights &= _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, held), 12)
        call("landlock_add_rule", rules, _PATH_BENEATH, rule, 0)
    finally:
        os.close(held)
