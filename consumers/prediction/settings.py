"""How much the prediction pool may hold, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PredictionSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_PREDICTION_", env_ignore_empty=True, extra="ignore")

    memory_bytes: int = Field(512 * 2**20, gt=0)
    """Models stay loaded until their files come to more than this together; then the least recently used goes. In
    memory a forest takes a few times its file."""
