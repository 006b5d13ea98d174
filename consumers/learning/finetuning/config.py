"""Settings of a fine-tuning."""

from enum import StrEnum

from pydantic import Field

from consumers.learning.plugins import Config
from schemas.texts import DEFAULT_MODEL


class Precision(StrEnum):
    AUTO = "auto"
    """bfloat16 on a GPU that has it, float32 elsewhere."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Of matrix products only; weights, moments and the loss stay float32. On one core a chunk took 5 s, not 8."""


_SEEN, _FEWEST_EPOCHS, _MOST_EPOCHS = 4_096, 3, 10


class FineTuningConfig(Config):
    base_model: str = Field(default=DEFAULT_MODEL, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200)
    """The bundled encoder, a directory below the models folder, or a hub id; it must be on the allow-list."""
    epochs: int | None = Field(default=None, ge=1, le=100)
    """As many as make the encoder see 4,096 texts, but at least 3 and at most 10, when left out."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1e-2)
    """Of the encoder, at its highest: it rises over the first tenth of the steps and falls to zero over the rest."""
    head_learning_rate: float = Field(default=1e-3, gt=0, le=1e-1)
    """Of the new head, which has everything to learn."""
    batch_size: int = Field(default=16, ge=1, le=256)
    max_tokens: int = Field(default=128, ge=8, le=8_192)
    """What exceeds it, or the model's own limit, is cut."""
    frozen_layers: int = Field(default=1, ge=0)
    """So many from below stay as they are; the first of them are the embeddings."""
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    precision: Precision = Precision.AUTO

    def epochs_for(self, rows: int) -> int:
        return self.epochs or min(_MOST_EPOCHS, max(_FEWEST_EPOCHS, -(-_SEEN // rows)))
