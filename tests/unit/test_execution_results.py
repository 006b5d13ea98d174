"""What is made of a program's end: output that is cut, limits within a quota, hints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumers.execution.capture import MOST_SHOWN, Capture, head
from consumers.execution.hints import hints
from consumers.execution.quota import limits_of
from consumers.execution.sandbox.ports import Ended, Limits
from consumers.execution.settings import ExecutionSettings
from consumers.runtime.verdicts import Reject
from schemas.execution import Ending, Stream, Usage
from schemas.jobs.code_run import RunCode
from storage.blobs import BlobStore

ENDED = Ended(Ending.OK, 0, None, Usage(wall_s=0.1, cpu_s=0.1, peak_memory_bytes=1))


@pytest.mark.parametrize("text", ["a" * 99_999, "\0" * 20_000, '"\\\n' * 20_000, "é" * 60_000, "𝄞" * 30_000, "short"])
def test_the_head_of_a_text_fits_as_json(text: str) -> None:
    found = head(text, MOST_SHOWN)
    assert text.startswith(found)
    size = len(json.dumps(found, ensure_ascii=False).encode()) - 2
    assert size <= MOST_SHOWN
    assert found == text or size > MOST_SHOWN - 7, "no more than that is left out"


async def test_short_output_stands_in_the_result(tmp_path: Path) -> None:
    capture = Capture(limit=100)
    for piece in (b"gr\xc3", b"\xbc\xc3\x9fe \xff"):  # a character in two pieces, and no UTF-8
        capture.add(Stream.STDOUT, piece)
    assert capture.shown(Stream.STDOUT) == "grüße \N{REPLACEMENT CHARACTER}"
    assert (capture.truncated(Stream.STDOUT, ENDED), capture.shown(Stream.STDERR)) == (False, "")
    assert await capture.file(Stream.STDOUT, BlobStore(tmp_path.as_uri())) is None


async def test_long_output_is_cut_and_kept_as_a_file(tmp_path: Path) -> None:
    capture, whole = Capture(limit=200_000), b"0123456789" * 15_000
    capture.add(Stream.STDERR, whole)
    assert capture.shown(Stream.STDERR).encode() == whole[:MOST_SHOWN]
    assert capture.truncated(Stream.STDERR, ENDED)
    stored = await capture.file(Stream.STDERR, BlobStore(tmp_path.as_uri()))
    assert stored is not None
    assert stored.bytes == len(whole)


def test_output_beyond_the_limit_is_truncated_however_short() -> None:
    capture = Capture(limit=5)
    capture.add(Stream.STDOUT, b"0123456789")
    flooded = replace(ENDED, ending=Ending.OUTPUT_LIMIT)
    assert (capture.shown(Stream.STDOUT), capture.truncated(Stream.STDOUT, flooded)) == ("01234", True)
    assert not capture.truncated(Stream.STDERR, flooded)


def test_limits_are_within_the_quota() -> None:
    quota = ExecutionSettings(most_timeout_s=10, most_memory_mb=512)
    asked = RunCode(code="1", timeout_s=10, memory_mb=512, processes=8, output_bytes=1000, disk_mb=2)
    assert limits_of(asked, quota) == Limits(10, 512 << 20, 8, 1000, 2 << 20, quota.files)
    with pytest.raises(Reject, match="/params/timeout_s: at most 10 here; /params/memory_mb: at most 512 here") as no:
        limits_of(RunCode(code="1", timeout_s=10.5, memory_mb=513), quota)
    assert no.value.type == "over-quota"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"../x": {"content": ""}}, "Should be a relative path"),
        ({"a//b": {"content": ""}}, "Should be a relative path"),
        ({"/a": {"content": ""}}, "Should be a relative path"),
        ({"main.py": {"content": ""}}, "in the way"),
        ({"main.py/x": {"content": ""}, "b": {"content": ""}}, "in the way"),
        ({"a": {"content": ""}, "a/b": {"content": ""}}, "in the way"),
        ({"a": {"content": "no base64!"}}, "not base64"),
        ({"a": {}}, "give `content`, or"),
        ({"a": {"dataset_id": "0" * 32}}, "give `content`, or"),
        ({"a": {"content": "", "job_id": "0" * 32, "artifact": "x"}}, "give `content`, or"),
    ],
)
def test_files_have_one_source_and_a_place_of_their_own(files: dict[str, dict[str, str]], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RunCode.model_validate({"code": "1", "files": files})


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (ENDED, []),
        (replace(ENDED, ending=Ending.ERROR, exit_code=1), []),
        (replace(ENDED, ending=Ending.ERROR, signal=11), ["it died of SIGSEGV, which is no exception of Python"]),
        (replace(ENDED, ending=Ending.MEMORY), ["it needed more than 16 MiB: ask for more `memory_mb`"]),
    ],
)
def test_hints_say_what_ended_it(ended: Ended, said: list[str]) -> None:
    assert [hint.message for hint in hints(ended, Limits(1, 16 << 20, 1, 1, 1, 1))] == said
