"""The user's code as `python main.py` would run it, in a process that was forked rather than started."""

import atexit
import builtins
import io
import os
import random
import signal
import sys
import threading
import types
from contextlib import suppress
from typing import NoReturn, TextIO

WORK = "/work"
"""A program's folder, inside the sandbox."""
SCRIPT = f"{WORK}/main.py"


def prepare(argv: list[str]) -> None:
    """Everything that must be there before the walls are complete."""
    _hide_ourselves()
    sys.argv = [SCRIPT, *argv]
    sys.path.insert(0, WORK)
    _open_streams()
    _default_signals()
    _reseed()


def run(code: str) -> NoReturn:
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=SCRIPT, __builtins__=builtins, __cached__=None)
    sys.modules["__main__"] = module
    status = 0
    try:
        exec(compile(code, SCRIPT, "exec"), module.__dict__)  # noqa: S102  # what all of this is for
    except SystemExit as leaving:
        status = _status(leaving)
    except BaseException as error:  # noqa: BLE001  # as the interpreter does
        status = 1
        _show(error)
    _finish(status)


def _finish(status: int) -> NoReturn:
    """What the interpreter does at its end, except taking itself apart, which is slow after a fork."""
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(status)


def _status(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return (leaving.code or 0) & 0xFF
    with suppress(BaseException):
        print(leaving.code, file=sys.stderr)  # noqa: T201  # as the interpreter does
    return 1


def _show(error: BaseException) -> None:
    """The traceback from the user's first line on, without ours above it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    with suppress(BaseException):
        sys.excepthook(type(error), error.with_traceback(trace), trace)


_NAMES = ("cold", "job", "kernel", "landlock", "numbers", "pages", "program", "seccomp", "wire", "zygote")
_OURS = [__package__, *(f"{__package__}.{name}" for name in _NAMES)]


def _hide_ourselves() -> None:
    """Not a wall: so that a program's view of the interpreter has nothing odd in it. By name, because looking through
    three thousand modules of torch copies every page that has the name of one."""
    for name in _OURS:
        sys.modules.pop(name, None)


_replaced: list[TextIO | None] = []
"""Kept: collecting one would close its descriptor."""


def _open_streams() -> None:
    _replaced.extend([sys.stdin, sys.stdout, sys.stderr])
    sys.stdin = sys.__stdin__ = _stream(0, "r", "strict")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "w", "strict")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "w", "backslashreplace")  # type: ignore[misc]


def _stream(descriptor: int, mode: str, errors: str) -> io.TextIOWrapper:
    opened = open(descriptor, mode + "b", closefd=False)  # noqa: SIM115
    return io.TextIOWrapper(opened, encoding="utf-8", errors=errors, line_buffering=mode == "w")


def _default_signals() -> None:
    """As Python has them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_IGN)


def _reseed() -> None:
    """Every program of a zygote would draw the same numbers."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))
    if torch := sys.modules.get("torch"):
        torch.default_generator.seed()  # torch.seed() looks for devices, too
        torch.set_num_threads(len(os.sched_getaffinity(0)))
