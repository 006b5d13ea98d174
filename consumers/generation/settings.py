"""How much the generation pool may use, from the environment."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from consumers.encoders.settings import ModelSettings


class GenerationSettings(ModelSettings):
    """Which models may be used is said once for all pools, with the prefix MILLRACE_INFERENCE_."""

    model_config = SettingsConfigDict(extra="ignore")

    memory_bytes: int = Field(4 * 2**30, gt=0, validation_alias="MILLRACE_GENERATION_MEMORY_BYTES")
    """What the weights of the resident language models may take together. The least recently used idle one makes
    room."""
    cache_bytes: int = Field(2**30, gt=0, validation_alias="MILLRACE_GENERATION_CACHE_BYTES")
    """What a model may keep in memory of the texts that it is writing. Bounds its context, too."""
    requests: int = Field(32, ge=1, le=1024, validation_alias="MILLRACE_GENERATION_REQUESTS")
    """Texts that a model writes at a time. Others wait."""
    pass_tokens: int | None = Field(None, ge=1, validation_alias="MILLRACE_GENERATION_PASS_TOKENS")
    """Tokens of prompts that are read between one token and the next; when unset, 256 on a CPU and 2,048 on a GPU."""
    device: str = Field("auto", validation_alias="MILLRACE_GENERATION_DEVICE")
    """`auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""
    threads: int | None = Field(None, ge=1, validation_alias="MILLRACE_GENERATION_THREADS")
    """CPU threads; when unset, the physical cores that this process may use."""
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", validation_alias="MILLRACE_GENERATION_DTYPE")
