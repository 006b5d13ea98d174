"""What running a user's program means to everybody: what it may ask for, how it can end."""

from enum import StrEnum

from pydantic import Field

from schemas.contract import Contract


class Packages(StrEnum):
    """What a program finds installed, and preloaded."""

    PLAIN = "plain"
    DATA = "data"
    """NumPy and pandas."""
    TORCH = "torch"
    """Those, torch and transformers."""


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


class Ending(StrEnum):
    OK = "ok"
    """Exit code 0."""
    ERROR = "error"
    """Another exit code, or a signal of its own doing."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT_LIMIT = "output_limit"
    KILLED = "killed"
    """Something else than a limit ended it, such as a call that is not allowed."""


class Usage(Contract):
    wall_s: float = Field(ge=0)
    cpu_s: float = Field(ge=0)
    peak_memory_bytes: int = Field(ge=0)
