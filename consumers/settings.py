"""Settings that every consumer process shares."""

import os
import socket
from importlib.metadata import version

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConsumerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_", env_ignore_empty=True, extra="ignore")

    host: str = "127.0.0.1"
    """Where /healthz and /metrics listen."""
    drain_s: float = Field(20.0, ge=0)
    """How long running handlers may go on after the process was told to stop. What is unfinished then is delivered
    again, to another worker."""
    lease_s: float = Field(30.0, gt=0, le=30)
    """How long a long job may go unheard of before somebody else runs it. Renewed three times as often."""
    most_dead_letters: int = Field(25, ge=1)
    """So many dead letters of one kind in a row, without a job that came to an end, and a worker pauses the kind
    instead of adding another."""
    log_level: str = "INFO"


HOST = socket.gethostname()
WORKER = f"{HOST}-{os.getpid()}"
CODE_VERSION = os.environ.get("MILLRACE_CODE_VERSION") or version("millrace")
