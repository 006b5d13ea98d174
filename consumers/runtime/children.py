"""Running a handler in a child process: the worker's part. See child.py for the other one."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from consumers.runtime.fingerprint import ChildFailed, Failure
from consumers.runtime.handler import Handler, LongTask
from consumers.runtime.verdicts import HaltConsumer, Reject, RetryLater
from consumers.settings import ConsumerSettings

log = structlog.get_logger()

_GRACE_S = 5.0  # from SIGTERM to SIGKILL: time for a last checkpoint
_LONGEST_LINE = 64 * 1024 * 1024  # of a result


class ChildDied(Exception):
    """The child process ended without a word."""


class ChildStopped(Exception):
    """Somebody else told the child process to stop: service managers signal every process of a unit."""


async def run_in_child(handler: Handler, task: LongTask[Any]) -> dict[str, Any]:
    """The handler's result as JSON. Raises its verdict, ChildFailed for what else it raised, ChildDied, ChildStopped.
    When cancelled, stops the child and everything it started, and keeps the checkpoint that it made meanwhile."""
    with _resumed_from(task.resumed_from) as checkpoint:
        async with _child() as (process, answers):
            _send(process, to_json(_told(handler, task, checkpoint)))
            asking = asyncio.create_task(_ask_to_finish(process, task))
            try:
                last = await _until_stopped(process, _listen(answers, task))
            finally:
                asking.cancel()
            code = await process.wait()
    return _outcome(last, code)


async def _until_stopped(process: asyncio.subprocess.Process, listening: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    heard = asyncio.ensure_future(listening)
    try:
        return await asyncio.shield(heard)
    except asyncio.CancelledError:
        _signal(process, signal.SIGTERM)
        await asyncio.wait({heard}, timeout=_GRACE_S)
        raise
    finally:
        heard.cancel()
        _signal(process, signal.SIGKILL)
        await asyncio.wait({heard})


@asynccontextmanager
async def _child() -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "consumers.runtime.child",
            str(writing),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(writing,),
            start_new_session=True,  # a group of its own, which is killed as a whole
        )
    finally:
        os.close(writing)
    answers = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(reading, "rb")
    )
    try:
        yield process, answers
    finally:
        _signal(process, signal.SIGKILL)
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        transport.close()


async def _listen(answers: asyncio.StreamReader, task: LongTask[Any]) -> dict[str, Any]:
    """Pass on what the child tells on its way; returns its last word, empty when it said none."""
    async for line in answers:
        said = from_json(line)
        if progress := said.get("progress"):
            await task.progress(progress["fraction"], progress["message"], progress["eta_s"])
        elif path := said.get("checkpoint"):
            with suppress(FileNotFoundError):  # of a child that has ended since: its last one came too late
                await task.checkpoint(await asyncio.to_thread(_taken, Path(path)))
        else:
            return dict(said)
    return {}


def _taken(path: Path) -> bytes:
    content = path.read_bytes()
    path.unlink()
    return content


def _outcome(last: dict[str, Any], code: int) -> dict[str, Any]:
    match last:
        case {"result": result}:
            return dict(result)
        case {"reject": said}:
            raise Reject(**said)
        case {"retry_later": said}:
            raise RetryLater(**said)
        case {"halt": said}:
            raise HaltConsumer(**said)
        case {"failure": said}:
            raise ChildFailed(Failure(**said))
        case {"stopped": _}:
            raise ChildStopped
        case _ if code == -signal.SIGTERM:  # before it could say so, or was in a group of its own
            raise ChildStopped
        case _:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
            raise ChildDied(f"the child process {how} without an answer")


@contextmanager
def _resumed_from(content: bytes | None) -> Iterator[str | None]:
    """A file that holds the checkpoint, for as long as the child may read it."""
    if content is None:
        yield None
        return
    with NamedTemporaryFile(prefix="millrace-checkpoint-") as file:
        file.write(content)
        file.flush()
        yield file.name


def _told(handler: Handler, task: LongTask[Any], checkpoint: str | None) -> dict[str, Any]:
    # The newest version of the contract, since the child lifts nothing.
    envelope = task.envelope.model_copy(update={"dataschema": handler.kind.command.dataschema})
    return {
        "handler": handler.run.__module__,
        "envelope": envelope.model_dump(mode="json"),
        "params": task.params.model_dump(mode="json"),
        "checkpoint": checkpoint,
        "log_level": ConsumerSettings().log_level,
    }


async def _ask_to_finish(process: asyncio.subprocess.Process, task: LongTask[Any]) -> None:
    await task.finish.wait()
    _send(process, b"finish")


def _send(process: asyncio.subprocess.Process, line: bytes) -> None:
    if process.stdin is not None:
        with suppress(RuntimeError, OSError):  # it is dead already, which its exit status tells
            process.stdin.write(line + b"\n")


def _signal(process: asyncio.subprocess.Process, signum: signal.Signals) -> None:
    """To the whole group, which may outlive the child that led it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signum)
