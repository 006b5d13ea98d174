"""A long job in a process of its own: the part that runs there. `python -m consumers.runtime.child`

It is told the job on standard input and answers with JSON lines on the descriptor in its first argument; what a
handler prints goes to the worker's log. Standard input stays open for as long as the worker lives: when it ends, so
does this process with everything it started, because nobody would hear of a result. A line on it asks the handler to
finish early.

SIGTERM raises `Stopped` in the handler, which may still make a checkpoint.
"""

import importlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic_core import from_json, to_json

from consumers.runtime.fingerprint import describe
from consumers.runtime.handler import ChildReport, ChildTask, Handler
from consumers.runtime.verdicts import HaltConsumer, Reject, RetryLater
from schemas.envelope import Envelope
from schemas.kinds import kind_named
from telemetry import logs


class Stopped(BaseException):
    """The worker asks the handler to stop, now."""


def main() -> None:
    answers = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    told = from_json(sys.stdin.buffer.readline())
    finishing = threading.Event()
    threading.Thread(target=_listen, args=[finishing], daemon=True).start()
    signal.signal(signal.SIGTERM, _raise_stopped)
    logs.configure(f"child of {os.getppid()}", told["log_level"])
    _say(answers, _attempt(told, answers, finishing))


def _attempt(told: dict[str, Any], answers: IO[bytes], finishing: threading.Event) -> dict[str, Any]:
    """What became of it, as the last line of the answers."""
    try:
        envelope = Envelope.model_validate(told["envelope"])
        handler = _handler(told["handler"])
        params = kind_named(envelope.kind).command.read(envelope.dataschema, to_json(told["params"]))
        with tempfile.TemporaryDirectory(prefix="millrace-") as scratch:
            task = ChildTask(
                params=params,
                envelope=envelope,
                progress=_progress(answers),
                checkpoint=_checkpoint(answers, Path(scratch)),
                resumed_from=Path(told["checkpoint"]).read_bytes() if told["checkpoint"] else None,
                finishing=finishing.is_set,
            )
            return {"result": handler.run(task).model_dump(mode="json")}
    except Reject as verdict:
        return {"reject": {"detail": verdict.detail, "type": verdict.type, "title": verdict.title}}
    except RetryLater as verdict:
        return {"retry_later": {"detail": verdict.detail, "delay_s": verdict.delay_s}}
    except HaltConsumer as verdict:
        return {"halt": {"detail": verdict.detail}}
    except Stopped:
        return {"stopped": {}}
    except Exception as error:  # noqa: BLE001  # whatever a handler raises is told
        return {"failure": asdict(describe(error))}


def _handler(module_name: str) -> Handler:
    module = importlib.import_module(module_name)
    return next(value for value in vars(module).values() if isinstance(value, Handler))


def _progress(answers: IO[bytes]) -> ChildReport:
    def report(fraction: float, message: str, eta_s: float | None = None) -> None:
        _say(answers, {"progress": {"fraction": fraction, "message": message, "eta_s": eta_s}})

    return report


def _checkpoint(answers: IO[bytes], scratch: Path) -> Callable[[bytes], None]:
    """Each in a file of its own, which the worker deletes when it has read it."""
    count = 0

    def keep(content: bytes) -> None:
        nonlocal count
        count += 1
        path = scratch / str(count)
        path.write_bytes(content)
        _say(answers, {"checkpoint": str(path)})

    return keep


def _say(answers: IO[bytes], what: dict[str, Any]) -> None:
    answers.write(to_json(what) + b"\n")


def _listen(finishing: threading.Event) -> NoReturn:
    while sys.stdin.buffer.readline():
        finishing.set()
    os.killpg(0, signal.SIGKILL)
    raise AssertionError("unreachable")


def _raise_stopped(_signum: int, _frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    main()
