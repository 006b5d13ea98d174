"""How much the inference pool may use, from the environment."""

from typing import Literal

from pydantic import Field

from consumers.encoders.settings import ModelSettings


class InferenceSettings(ModelSettings):
    memory_bytes: int = Field(4 * 2**30, gt=0)
    """What the resident models may hold together. The idle one that is cheapest to do without makes room."""
    device: str = "auto"
    """`auto` (a GPU when there is one), `cpu`, `cuda`, `cuda:1`, `mps`."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of a forward pass; when unset, the physical cores that this process may use."""
    max_batch_tokens: int | None = Field(None, ge=1)
    """Tokens of one forward pass; when unset, at most 4,096 on a CPU and 16,384 on a GPU. Fewer where more would
    only answer later."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """`auto` takes bfloat16 for a model that it makes faster on this device while it says nearly the same."""
