"""Which models may be loaded and where they lie, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.texts import DEFAULT_MODEL

LOCAL_PREFIX = "./"


class ModelSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_INFERENCE_", extra="ignore")

    data_dir: Path = Field(Path(".millrace"), validation_alias="MILLRACE_DATA_DIR")
    models_dir: Path | None = None
    """Holds one directory per model; `models` below the data directory when unset."""
    allowed_models: Annotated[list[str], NoDecode] = [DEFAULT_MODEL, LOCAL_PREFIX + "*"]
    """Names or globs, separated by commas. One that begins with `./` covers directories below the models folder only;
    hub ids such as `org/name` must be listed. `*` allows everything."""
    hub_timeout_s: float = Field(10.0, gt=0)
    """How long the hub may take to answer before the job is tried again later."""

    @field_validator("allowed_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def models(self) -> Path:
        return self.models_dir or self.data_dir / "models"
