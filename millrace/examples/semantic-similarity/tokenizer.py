from transformers import AutoTokenizer


def load_tokenizer(path):
    """Cut at the 256 tokens with which the model was trained, although it has positions for 512."""
    return AutoTokenizer.from_pretrained(path, model_max_length=256)
