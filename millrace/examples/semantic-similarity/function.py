"""How alike two texts are in meaning, from -1 to 1: the cosine of their vectors."""


def run_batch(inputs, tokenizer, model):
    first, second = (
        model(tokenizer([each[side] for each in inputs], padding=True, truncation=True, return_tensors="pt"))
        for side in ("a", "b")
    )
    return [{"similarity": round(cosine, 4)} for cosine in (first * second).sum(1).tolist()]
