"""Pairs of texts, joined, cut and computed as transformers does it."""

from collections.abc import Callable, Iterator
from itertools import product
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
OTHERS = ["This is about waiting.", "A layer."]


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
            for pair in product(TEXTS, OTHERS)
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
    read = reader(path, segments=encoder._network.reads_segments).read_each(TEXTS, OTHERS)
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


def test_only_the_first_text_is_cut(tmp_path: Path) -> None:
    read = reader(save(tiny_bert(), tmp_path / "cut"), segments=True)
    texts = ["word " * 600, "word " * 507, "word " * 508]
    found = [(one.index, len(one.input), one.truncated) for one in read.read_each(texts, ["one two"])]
    assert found == [(0, 512, True), (1, 512, False), (2, 512, True)]
    with pytest.raises(NoRoom) as refused:
        read.read_each(["one two"], ["word", "word " * 509])
    assert refused.value.index == 1


def test_windows_are_those_of_transformers(tmp_path: Path) -> None:
    path = save(tiny_bert(), tmp_path / "windows")
    tokenizer = AutoTokenizer.from_pretrained(path)
    pairs = [("What waits?", text) for text in TEXTS]
    windows = reader(path, segments=True).read_windows(pairs, 64, 16)
    assert {one.index for one in windows} == set(range(len(TEXTS)))
    for index, pair in enumerate(pairs):
        expected = tokenizer(
            *pair, truncation="only_second", max_length=64, stride=16, return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )  # fmt: skip
        own = [one for one in windows if one.index == index]
        assert [one.input.ids for one in own] == expected["input_ids"]
        assert [one.input.segments for one in own] == expected["token_type_ids"]
        for at, one in enumerate(own):
            of_the_text = [segment == 1 for segment in expected.sequence_ids(at)]
            assert [piece is not None for piece in one.pieces] == of_the_text
            places = [(piece.start, piece.end) for piece in one.pieces if piece]
            offsets = expected["offset_mapping"][at]
            assert places == [tuple(place) for place, kept in zip(offsets, of_the_text, strict=True) if kept]
