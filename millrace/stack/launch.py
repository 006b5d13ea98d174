"""Become another program, having asked the kernel to be signalled when the parent dies.

Run as a script, before any package is importable: `launch.py SIGNAL PARENT_PID PROGRAM ARGUMENTS...`. A `preexec_fn`
would do the same in the forked child, where a threaded parent may deadlock. Only Linux has the death signal;
elsewhere the next `millrace up` or `down` clears what was left.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    death_signal, parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606  a list of arguments and no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {command[0]}: {error}")


if __name__ == "__main__":
    main()
