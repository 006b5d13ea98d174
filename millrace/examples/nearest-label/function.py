"""Which of the labels given is nearest to a text in meaning: a classifier that was never trained on any."""

import torch


def embed(texts, tokenizer, model):
    """Vectors of length one: the mean over the tokens, as this model was trained."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def run(given, tokenizer, model):
    vectors = embed([given["text"], *given["labels"]], tokenizer, model)
    cosines = vectors[1:] @ vectors[0]
    shares = torch.softmax(cosines * 20, dim=0).tolist()  # the scale that such models are trained with
    ranked = sorted(zip(shares, given["labels"], strict=True), key=lambda each: -each[0])
    return {"label": ranked[0][1], "shares": [{"label": label, "share": round(share, 4)} for share, label in ranked]}
