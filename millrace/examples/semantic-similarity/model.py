import torch
from transformers import AutoModel


class Embedder:
    """From texts that were cut into tokens to vectors of length one: the mean over the tokens, as it was trained."""

    def __init__(self, model):
        self._model = model

    def __call__(self, tokens):
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def load_model(path):
    return Embedder(AutoModel.from_pretrained(path, use_safetensors=True).eval())
