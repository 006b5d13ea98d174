"""What an interpreter has loaded, in huge pages: a fork then copies some hundred entries of the page table instead of
fifty thousand, and the end of the forked process drops as many."""

from contextlib import suppress

from . import kernel

_MADV_COLLAPSE = 25


def collapse() -> None:
    """The memory of this process that is no file's. Does nothing where the kernel (before 6.1) does not know how."""
    with open("/proc/self/maps") as maps:
        mapped = [line.split() for line in maps]
    for span, rights, _, _, inode, *name in mapped:
        if rights.startswith("rw") and inode == "0" and name in ([], ["[heap]"]):
            first, end = (int(address, 16) for address in span.split("-"))
            with suppress(OSError):  # some of a mapping cannot be, as what was never written
                kernel.call("madvise", first, end - first, _MADV_COLLAPSE)
