"""The words of a text that are nearest to the whole of it in meaning."""

import re

import torch


def embed(texts, tokenizer, model):
    """Vectors of length one: the mean over the tokens, as this model was trained."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


COMMON = set(
    re.findall(
        r"\w+",
        "about after all also and any are because been before but can could did does each for from had has "
        "have her his how into its more most not one only other our out over she some such than that the "
        "their them then there these they this under was were what when where which while who will with would "
        "you your",
    )
)


def run(given, tokenizer, model):
    words = sorted({word for word in re.findall(r"[^\W\d_]{3,}", given["text"].lower()) if word not in COMMON})
    if not words:
        return {"keywords": []}
    whole = embed([given["text"]], tokenizer, model)[0]
    scores = embed(words, tokenizer, model) @ whole
    best = sorted(zip(scores.tolist(), words, strict=True), key=lambda each: (-each[0], each[1]))[
        : given.get("most", 5)
    ]
    return {"keywords": [{"word": word, "score": round(score, 4)} for score, word in best]}
