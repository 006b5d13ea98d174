"""Settings of the reaper, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from producers.custody import MARGIN_S


class ReaperSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_REAPER_", env_ignore_empty=True, extra="ignore")

    interval_s: float = Field(1.0, gt=0)
    """From one look for expired leases and missed deadlines to the next."""
    reconcile_every_s: float = Field(30.0, gt=0)
    """From one look for jobs that nothing holds to the next."""
    orphan_after_s: float = Field(MARGIN_S, gt=0)
    """How long a job must have been silent before it can be one that nothing holds."""
