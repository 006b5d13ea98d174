"""The root that programs see: Python, the C library, the packages of a profile, five devices. All of it read-only.

Folders of the host come in through overlays rather than binds: /proc/self/mountinfo tells where a bind comes from.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from . import kernel
from .kernel import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT

PYTHON = "/python"
PACKAGES = "/packages"
CODE = "/sandbox"
_LIBRARIES = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_EMPTY = ("work", "tmp", "mnt", "proc", "dev/shm", "etc", PACKAGES[1:])
_READ_ONLY = MS_RDONLY | MS_NOSUID | MS_NODEV
_ROOT_BYTES = 16 * 2**20  # folders, links and the few files that are copied


@dataclass(frozen=True)
class Image:
    """What of the host a root is made of."""

    executable: str
    """Python's, below `prefix`."""
    prefix: str
    packages: Mapping[str, tuple[str, ...]]
    """Which entries of which folders can be imported."""

    @property
    def inner_prefix(self) -> str:
        return self.prefix if self.prefix == "/usr" else PYTHON

    @property
    def inner_executable(self) -> str:
        return self.inner_prefix + self.executable.removeprefix(self.prefix)

    @property
    def search_path(self) -> list[str]:
        return [f"{PACKAGES}/{index}" for index in range(len(self.packages))]


def enter(image: Image, scratch: str) -> None:
    """Build it on the empty folder `scratch`, and make it the root of this mount namespace, which must be new."""
    kernel.mount("", "/", "", MS_REC | MS_PRIVATE)
    kernel.mount("tmpfs", scratch, "tmpfs", MS_NOSUID, f"mode=755,size={_ROOT_BYTES}")
    os.chdir(scratch)
    for folder in (*_EMPTY, ".layers/empty", CODE[1:]):
        os.makedirs(folder)  # relative to the new root, all of it
    _layer("/usr", "usr")
    for path in _LIBRARIES:
        _library(path)
    if image.inner_prefix == PYTHON:
        _layer(image.prefix, PYTHON[1:])
    for source, target in zip(image.packages, image.search_path, strict=True):
        _layer(source, target[1:], keep=image.packages[source])
    _devices()
    _small_files()
    kernel.mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    kernel.mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=1m")  # the zygote's own, for imports
    os.rmdir(".layers/empty")
    kernel.enter_root(".")
    kernel.mount("", "/", "", MS_REMOUNT | MS_BIND | _READ_ONLY)


def _layer(source: str, target: str, keep: tuple[str, ...] | None = None) -> None:
    """`source` at `target`; of its entries only those in `keep`: the others are whited out by the layer above."""
    os.makedirs(target, exist_ok=True)
    below, above = ".layers/below", ".layers/above"
    os.mkdir(below)
    os.mkdir(above)
    kernel.bind(source, below, _READ_ONLY)
    for name in () if keep is None else set(os.listdir(below)) - set(keep):
        os.mknod(f"{above}/{name}", stat.S_IFCHR, 0)
    kernel.mount("overlay", target, "overlay", _READ_ONLY, f"lowerdir={above}:{below}")
    kernel.unmount(below)
    os.rmdir(below)
    os.rename(above, f".layers/{target.replace('/', '-')}")


def _library(path: str) -> None:
    if os.path.islink(path):
        os.symlink(os.readlink(path), path[1:])
    elif os.path.isdir(path):
        _layer(path, path[1:])


def _devices() -> None:
    for name in _DEVICES:
        with open(f"dev/{name}", "wb"):
            pass
        kernel.bind(f"/dev/{name}", f"dev/{name}", MS_NOSUID | MS_NOEXEC)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        os.symlink(f"/proc/self/fd{target}", f"dev/{name}")
    processors = "sys/devices/system/cpu"  # how many there are, for libraries that count no other way
    os.makedirs(processors)
    with suppress(OSError):
        kernel.bind(f"/{processors}", processors, _READ_ONLY | MS_NOEXEC)


def _small_files() -> None:
    with suppress(FileNotFoundError):
        shutil.copyfile("/etc/ld.so.cache", "etc/ld.so.cache")
    with suppress(FileNotFoundError):
        shutil.copytree("/etc/alternatives", "etc/alternatives", symlinks=True)
    shutil.copytree(
        os.path.dirname(__file__),
        f"{CODE[1:]}/{__package__.rpartition('.')[2]}",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
