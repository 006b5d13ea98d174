"""What users' programs may ask for, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ExecutionSettings(BaseSettings):
    """Every limit is for one program. A job that asks for more is refused."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_EXECUTION_", env_ignore_empty=True, extra="ignore")

    slots: int = Field(4, ge=1, le=256)
    """How many programs one process runs at a time, of all kinds of job together."""
    most_timeout_s: float = Field(120.0, gt=0, le=600)
    most_memory_mb: int = Field(4096, ge=16)
    most_processes: int = Field(256, ge=1)
    most_output_bytes: int = Field(8 * 1024 * 1024, ge=1)
    most_disk_mb: int = Field(1024, ge=1)
    files: int = Field(20_000, ge=1)
    """Inodes that a program may have in its directory, and in /tmp."""
