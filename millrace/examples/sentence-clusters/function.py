"""Sentences in groups of one meaning: two are neighbours when they are alike enough, and a group is all that are
neighbours of neighbours."""

import torch


def embed(texts, tokenizer, model):
    """Vectors of length one: the mean over the tokens, as this model was trained."""
    tokens = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def run(given, tokenizer, model):
    sentences, threshold = given["sentences"], given.get("threshold", 0.5)
    vectors = embed(sentences, tokenizer, model)
    alike = (vectors @ vectors.T >= threshold).tolist()
    group = [-1] * len(sentences)
    for start in range(len(sentences)):
        if group[start] >= 0:
            continue
        number, waiting = max(group) + 1, [start]
        while waiting:
            at = waiting.pop()
            if group[at] < 0:
                group[at] = number
                waiting += [other for other, near in enumerate(alike[at]) if near and group[other] < 0]
    return {"groups": group}
