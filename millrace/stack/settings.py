"""What the local stack is told, from the environment."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StackSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_", extra="ignore", env_ignore_empty=True)

    data_dir: Path = Path(".millrace")
    host: str = "127.0.0.1"
    """Where the gateway listens. Everything else listens on 127.0.0.1."""
    port: int | None = Field(None, ge=1, le=65535)
    """The gateway's port: when unset 8000, or a free one if that is taken."""
    public_url: str | None = None
    """Where people reach the gateway; when unset where it listens."""
    api_key: str | None = None
    """When unset the gateway makes one and keeps it in the data directory."""
    rabbitmq_url: str | None = Field(None, validation_alias="RABBITMQ_URL")
    mongodb_url: str | None = Field(None, validation_alias="MONGODB_URL")
    redis_url: str | None = Field(None, validation_alias="REDIS_URL")
    blob_url: str | None = Field(None, validation_alias="BLOB_URL")

    @property
    def home(self) -> Path:
        """The data directory as an absolute path."""
        return self.data_dir.absolute()

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def key_file(self) -> Path:
        return self.home / "api_key"
