"""A pretrained encoder under a linear head of our own: over a text's pooled states, or over each token's."""

from torch import Tensor, nn
from transformers import PreTrainedModel

from consumers.encoders.layout import Pooling
from consumers.encoders.pooling import pool

_DROPOUT = 0.1


class Headed(nn.Module):
    """Pools as the encoder was pretrained to: in a sentence encoder the first token's state, on which heads usually
    stand, was never trained, and some hundred texts are too few to begin with it."""

    def __init__(self, body: PreTrainedModel, pooling: Pooling | None, outputs: int) -> None:
        super().__init__()
        self.body, self.pooling = body, pooling
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(body.config.hidden_size, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits in float32: `[n, outputs]`, or without pooling `[n, length, outputs]`."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits: Tensor = self.head(self.dropout(pool(states, attention_mask.bool(), self.pooling)))
        return logits.float()
