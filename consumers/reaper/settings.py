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
    sweep_every_s: float = Field(3 * 3600.0, gt=0)
    """From one look for blobs that nothing names to the next."""
    unnamed_after_s: float = Field(7 * 24 * 3600.0, ge=24 * 3600)
    """How long such a blob stays: longer than any command has ever waited in the broker for the ledger."""
