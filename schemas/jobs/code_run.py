"""`code.run`: a program of a user, in the sandbox."""

import base64
import binascii
from typing import Annotated, Self

from pydantic import EncodedBytes, EncoderProtocol, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from schemas.code import Code, Diagnostic, Produced
from schemas.contract import Contract
from schemas.execution import Ending, Packages, Usage
from schemas.files import StoredFile
from schemas.kinds import JobKind
from schemas.patterns import Id, Pattern, VersionId

MAX_FILES = 50
MAX_STDIN = 1_000_000  # characters

FilePath = Annotated[
    str,
    StringConstraints(max_length=200),
    Pattern(
        r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*){0,7}$",
        "a relative path such as 'data/in.csv': up to eight names of letters, digits, '.', '_' and '-', none of "
        "which begins with '.' or '-'",
    ),
]


class _Base64(EncoderProtocol):
    """The standard alphabet on one line; pydantic's own breaks lines."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise PydanticCustomError("base64", "not base64: {why}", {"why": str(error)}) from error

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return base64.b64encode(value)

    @classmethod
    def get_json_format(cls) -> str:
        return "base64"


class GivenFile(Contract):
    """A file for the program: one of bytes, a version of a dataset, and a file that another job has left."""

    content: Annotated[bytes, EncodedBytes(encoder=_Base64)] | None = None
    """In base64."""
    dataset_id: Id | None = None
    version: VersionId | None = None
    """Of the dataset; the file is its table as Parquet."""
    job_id: Id | None = None
    artifact: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] | None = None
    """Of that job, which must be yours and have succeeded."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        ways = (self.content,), (self.dataset_id, self.version), (self.job_id, self.artifact)
        begun = [way for way in ways if any(part is not None for part in way)]
        if len(begun) != 1 or None in begun[0]:
            raise ValueError("give `content`, or `dataset_id` and `version`, or `job_id` and `artifact`")
        return self


class RunCode(Contract, name="code.run"):
    """Run a Python program in the sandbox: without a network, and with limits."""

    code: Code
    """Run as `main.py` in an empty directory, whose files afterwards are the artifacts."""
    stdin: Annotated[str, StringConstraints(max_length=MAX_STDIN)] = ""
    files: Annotated[dict[FilePath, GivenFile], Field(max_length=MAX_FILES)] = Field(default_factory=dict)
    """By the path at which the program finds each; folders are made."""
    packages: Packages = Packages.PLAIN
    """`plain` is the standard library; `data` adds NumPy and pandas, `torch` also torch and transformers."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30
    memory_mb: Annotated[int, Field(ge=16, le=1024 * 1024)] = 1024
    """MiB, of all its processes together. The installation's quota may be less than any of these bounds."""
    processes: Annotated[int, Field(ge=1, le=4096)] = 64
    """Threads count."""
    output_bytes: Annotated[int, Field(ge=1, le=64 * 1024 * 1024)] = 1024 * 1024
    """Of standard output and standard error, each. A program that writes more is killed."""
    disk_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 256
    """MiB that it may have written at a time."""

    @field_validator("files")
    @classmethod
    def _in_their_places(cls, files: dict[str, GivenFile]) -> dict[str, GivenFile]:
        for path in files:
            folders = {path[:at] for at, character in enumerate(path) if character == "/"}
            if path == "main.py" or folders & {*files, "main.py"}:
                raise ValueError(f"another file, or the program, is in the way of {path!r}")
        return files


class CodeRan(Contract, name="code.ran"):
    """How the program ended, and what it left. An error of the program is a result too: the job has succeeded."""

    outcome: Ending
    exit_code: int | None
    """Null where a signal ended it."""
    signal: int | None
    stdout: str
    """Text; bytes that are no UTF-8 are replaced."""
    stderr: str
    stdout_truncated: bool
    """Whether more was written than stands here: what was kept of it is at `GET /v1/jobs/{id}/output/stdout`."""
    stderr_truncated: bool
    stdout_file: StoredFile | None = None
    """All that was kept, where it is too long to stand here."""
    stderr_file: StoredFile | None = None
    artifacts: list[Produced]
    refused: list[str]
    """What lay there and was not taken, each with the reason."""
    usage: Usage
    diagnostics: list[Diagnostic]
    """What was noticed about the code, and what may have ended it."""
    tier: str
    """How strong the walls of the sandbox were: see docs/security.md."""


CODE_RUN = JobKind(RunCode, CodeRan)
