"""Texts that say the same, in whatever script: the model's vectors, or else runs of characters, which no language
lacks. This model has learned from English; elsewhere it is the characters that tell."""

import torch


def embed(texts, tokenizer, model):
    """Vectors of length one: the mean over the tokens, as this model was trained."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def grams(text, size=3):
    text = " ".join(text.lower().split())
    return {text[at : at + size] for at in range(max(1, len(text) - size + 1))}


def run(given, tokenizer, model):
    texts, threshold = given["texts"], given.get("threshold", 0.85)
    vectors = embed(texts, tokenizer, model)
    cosines, runs = (vectors @ vectors.T).tolist(), [grams(text) for text in texts]
    first = []
    for at, text in enumerate(texts):
        by_characters = (len(runs[at] & runs[other]) / len(runs[at] | runs[other]) for other in range(at))
        by_meaning = (cosines[at][other] if text.isascii() and texts[other].isascii() else 0 for other in range(at))
        near = (max(pair) >= threshold for pair in zip(by_characters, by_meaning, strict=True))
        first.append(next((first[other] for other, yes in enumerate(near) if yes), at))
    return {"kept": sorted(set(first)), "duplicate_of": first}
