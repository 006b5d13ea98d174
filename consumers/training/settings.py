"""Settings of the training pool."""

import os

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrainingSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_TRAINING_", env_ignore_empty=True, extra="ignore")

    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """For each training; all processors of the machine when nothing is said."""
    checkpoint_s: float = Field(10.0, ge=0)
    """How often a training keeps what it has, seldomer where that would take more than a twentieth of its time; 0 is
    after every chunk. Work of so many seconds, or one chunk of a fit, is done again after a
    kill."""
    importances_s: float = Field(20.0, ge=0)
    """How long to measure which columns matter. Each is looked at once in any case."""
