"""What the inference pool may load and how much it may use, from the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.jobs.text_embed import DEFAULT_MODEL

LOCAL_PREFIX = "./"


class InferenceSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_INFERENCE_", extra="ignore")

    data_dir: Path = Field(Path(".millrace"), validation_alias="MILLRACE_DATA_DIR")
    models_dir: Path | None = None
    """Holds one directory per model; `models` below the data directory when unset."""
    allowed_models: Annotated[list[str], NoDecode] = [DEFAULT_MODEL, LOCAL_PREFIX + "*"]
    """Names or globs, separated by commas. One that begins with `./` covers directories below the models folder only;
    hub ids such as `org/name` must be listed. `*` allows everything."""
    memory_bytes: int = Field(4 * 2**30, gt=0)
    """What the resident models may hold together. The least recently used idle one makes room."""
    device: str = "auto"
    """`auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of a forward pass; when unset, the physical cores that this process may use."""
    max_batch_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass; when unset, 1,024 on a CPU and 16,384 on a GPU."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    hub_timeout_s: float = Field(10.0, gt=0)
    """How long the hub may take to answer before the job is tried again later."""

    @field_validator("allowed_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def models(self) -> Path:
        return self.models_dir or self.data_dir / "models"
