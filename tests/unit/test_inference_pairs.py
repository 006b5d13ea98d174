"""Pairs of texts, joined, cut and computed as transformers does it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
    RobertaForSequenceClassification,
)

from consumers.encoders.layout import read_layout
from consumers.encoders.reading import read_config, read_tokenizer
from consumers.encoders.sources import ModelSource
from consumers.inference.loading import load_classifier
from consumers.inference.tokenizing import NoRoom, PairReader
from tests.support.encoders import paragraphs, save, tiny_bert, tiny_distilbert, tiny_roberta

TEXTS = [*paragraphs()[:15], "word " * 600]
PAIRS = [(text, other) for text in TEXTS for other in ("This is about waiting.", "A layer.")]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def reader(path: Path, *, segments: bool) -> PairReader:
    source = ModelSource(path.name, path)
    layout = read_layout(source)
    return PairReader(read_tokenizer(layout, read_config(source, layout)), segments=segments)


def directly(path: Path, limit: int) -> Any:
    """Logits of one pair at a time."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    if model.config.model_type == "distilbert":
        tokenizer.model_input_names = ["input_ids", "attention_mask"]  # as its own tokenizer has it
    with torch.inference_mode():
        rows = [
            model.eval()(**tokenizer(*pair, truncation="only_first", max_length=limit, return_tensors="pt")).logits[0]
            for pair in PAIRS
        ]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize(
    ("tiny", "make", "limit", "padded"),
    [
        (tiny_bert, BertForSequenceClassification, 512, False),
        (tiny_roberta, RobertaForSequenceClassification, 65, False),
        (tiny_distilbert, DistilBertForSequenceClassification, 512, True),
    ],
)
def test_pairs_give_what_they_give_in_transformers(
    tmp_path: Path, tiny: Callable[..., PreTrainedModel], make: Any, limit: int, *, padded: bool
) -> None:
    # Wide weights, so that pairs, and the two segments of one, differ by more than what is compared.
    path = save(tiny(make, num_labels=3, initializer_range=0.2), tmp_path / "pairs")
    source = ModelSource("pairs", path)
    encoder: Any = load_classifier(source, read_layout(source), torch.device("cpu"), torch.float32).encoder
    read = reader(path, segments=encoder._network.reads_segments).read_pairs(PAIRS, cut=0)
    assert encoder.padded is padded
    assert (max(len(one.input) for one in read), sum(one.truncated for one in read) > 0) == (limit, True)
    expected = directly(path, limit)
    batch = [one.input for one in read]
    np.testing.assert_allclose(np.stack(encoder.forward(batch).vectors), expected, atol=1e-4)
    if not padded:
        encoder._network.model.set_attn_implementation("sdpa")
        encoder.padded = True
        np.testing.assert_allclose(np.stack(encoder.forward(batch).vectors), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1


def test_either_text_can_be_the_one_that_is_cut(tmp_path: Path) -> None:
    read = reader(save(tiny_bert(), tmp_path / "cut"), segments=True)
    pairs = [("word " * 600, "one two"), ("word " * 507, "one two"), ("word " * 508, "one two")]
    assert [(len(one.input), one.truncated) for one in read.read_pairs(pairs, cut=0)] == [
        (512, True),
        (512, False),
        (512, True),
    ]
    cut = read.read_pairs([pairs[1][::-1], pairs[2][::-1]], cut=1)
    assert [(one.truncated, sum(one.input.segments or ())) for one in cut] == [(False, 508), (True, 508)]
    with pytest.raises(NoRoom) as refused:
        read.read_pairs([pairs[1], pairs[2], ("one two", "word " * 509)], cut=0)
    assert refused.value.index == 2
