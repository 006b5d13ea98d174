"""Settings of the gateway, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class GatewaySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_", env_ignore_empty=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    data_dir: Path = Path(".millrace")
    api_key: SecretStr | None = None
    """The operator's key; generated into `<data_dir>/api_key` at first start when it is not given."""
    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1024)
    max_upload_bytes: int = Field(16 * 1024**3, ge=1024)
    """The largest file that may be uploaded."""
    max_wait_s: float = Field(60, ge=0)
    """The longest that `Prefer: wait` may hold a request."""
    cors_origins: Annotated[list[str], NoDecode] = []
    """Origins whose pages may call the API, separated by commas; `*` for any."""
    shutdown_s: int = Field(5, ge=0)
    """How long requests and streams may go on after the gateway was told to stop."""
    log_level: str = "INFO"

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
