"""From what is asked to tokens and back to text: templates, contexts, stop texts, and going on with a text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from consumers.encoders.sources import ModelSource
from consumers.generation.asking import Ask, Piece
from consumers.generation.attention import ATTENTION
from consumers.generation.loading import load_writer
from consumers.generation.settings import GenerationSettings
from consumers.generation.wording import Wording
from consumers.generation.writer import Writer
from consumers.runtime.verdicts import Reject
from schemas.generation import ChatMessage, FinishReason, GenerateOptions, Role
from tests.support.encoders import tiny_bert
from tests.support.writers import save, tiny_llama, tokenizer

SYSTEM = ChatMessage(role=Role.SYSTEM, content="Be brief.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_llama(), tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def writer(folder: Path) -> Writer:
    """Which never ends a text by itself."""
    made = load(folder)
    made.ends = frozenset()
    return made


def load(path: Path, **settings: Any) -> Writer:
    return load_writer(ModelSource("tiny", path), GenerationSettings(**settings), torch.device("cpu"))


def options(**given: Any) -> GenerateOptions:
    return GenerateOptions(**{"max_tokens": 30, **given})


def written(writer: Writer, source: str | Sequence[ChatMessage], **given: Any) -> list[Piece]:
    tokens = given.pop("tokens", ())
    begun = writer.begin(Ask("it", source, options(**given), seed=1, written=tokens))
    pieces = list(begun.pieces)
    while writer.busy:
        pieces += [piece for _, piece in writer.step()]
    return pieces


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def refusal(writer: Writer, source: str | Sequence[ChatMessage], **given: Any) -> Reject:
    with pytest.raises(Reject) as refused:
        writer.begin(Ask("it", source, options(**given), seed=1))
    assert not writer.busy
    return refused.value


def chat(*turns: str) -> list[ChatMessage]:
    """Of user and assistant in turn."""
    roles = (Role.USER, Role.ASSISTANT)
    return [ChatMessage(role=roles[at % 2], content=turn) for at, turn in enumerate(turns)]


def test_a_text_is_what_its_tokens_say_and_has_as_many_as_asked_for(writer: Writer) -> None:
    pieces = written(writer, "The mill race")
    assert text_of(pieces) == writer.plain.decode([piece.token for piece in pieces])
    assert [piece.finish for piece in pieces] == [None] * 29 + [FinishReason.LENGTH]


def test_characters_of_several_tokens_come_whole() -> None:
    plain = tokenizer().backend_tokenizer
    said = "grüße 🙂 €, 水"
    wording = Wording(plain, [])
    ids = plain.encode(said).ids
    told = [wording.add(token, last=at == len(ids) - 1) for at, token in enumerate(ids)]
    assert "".join(told) == said
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(told)
    assert len(ids) > len(said)


def test_a_text_ends_before_a_stop_text_though_it_comes_in_parts(writer: Writer) -> None:
    whole = text_of(written(writer, "The mill race"))
    stop = whole[9:14]
    pieces = written(writer, "The mill race", stop=["never", stop])
    assert text_of(pieces) == whole[: whole.find(stop)]
    assert pieces[-1].finish is FinishReason.STOP


def test_what_looked_like_a_stop_text_is_told_when_it_was_none(writer: Writer) -> None:
    whole = text_of(written(writer, "The mill race"))
    assert text_of(written(writer, "The mill race", stop=[whole[:3] + "\0", whole[-4:] + "\0"])) == whole


def test_the_token_that_ends_a_text_counts_and_is_not_told(folder: Path) -> None:
    writer = load(folder)
    tokens = [piece.token for piece in written(writer, "The mill race")]
    end = next(token for token in tokens if tokens.index(token) > 3)
    writer.ends = frozenset({end})
    pieces = written(writer, "The mill race")
    assert [piece.token for piece in pieces] == tokens[: tokens.index(end) + 1]
    assert pieces[-1].finish is FinishReason.STOP


@pytest.mark.parametrize("given", [{}, {"temperature": 1.2, "top_p": 0.95}, {"repetition_penalty": 1.5}])
@pytest.mark.parametrize("kept", [1, 13, 30])
def test_whoever_goes_on_with_a_text_tells_the_same(writer: Writer, given: dict[str, Any], kept: int) -> None:
    whole = written(writer, chat("Hi"), **given)
    assert written(writer, chat("Hi"), tokens=[piece.token for piece in whole[:kept]], **given) == whole


def test_the_model_reads_what_its_template_makes_of_a_chat(writer: Writer) -> None:
    begun = writer.begin(Ask("it", [SYSTEM, *chat("Hi")], options(), seed=1))
    expected = "<|system|>Be brief.<|end|><|user|>Hi<|end|><|assistant|>"
    assert begun.prompt_tokens == len(writer.plain.encode(expected).ids)
    writer.cancel("it")


def test_the_oldest_turns_are_left_out_and_the_system_never(writer: Writer) -> None:
    long = [SYSTEM, *chat(*[f"{at} " + "water " * 20 for at in range(9)])]
    assert "/messages" in refusal(writer, long).detail
    begun = writer.begin(Ask("it", long, options(overflow="drop-oldest"), seed=1))
    assert begun.dropped_messages == 6
    assert begun.prompt_tokens <= 226
    writer.cancel("it")


def test_the_beginning_of_a_prompt_is_left_out_where_that_is_allowed(writer: Writer) -> None:
    refused = refusal(writer, "water " * 300)
    assert (refused.type, refused.detail.partition(",")[0]) == ("input-too-long", "/prompt: 901 tokens")
    begun = writer.begin(Ask("it", "water " * 300, options(overflow="drop-oldest"), seed=1))
    assert begun.prompt_tokens == 256 - 30
    writer.cancel("it")


@pytest.mark.parametrize(
    ("source", "given", "names"),
    [
        ("text", {"max_tokens": 256}, "/options/max_tokens: no room"),
        (chat("water " * 300), {"overflow": "drop-oldest"}, "/messages: "),
    ],
)
def test_what_cannot_fit_is_refused(writer: Writer, source: Any, given: dict[str, Any], names: str) -> None:
    refused = refusal(writer, source, **given)
    assert refused.detail.startswith(names)
    assert refused.type == "input-too-long"


def test_without_a_number_as_many_are_written_as_usual_or_as_fit(writer: Writer) -> None:
    assert len(written(writer, "water " * 60, max_tokens=None)) == 256 - 181


def test_a_chat_needs_a_template_and_one_that_refuses_says_why(tmp_path: Path) -> None:
    plain = load(save(tiny_llama(), tmp_path / "plain", chat_template=None))
    assert "has no chat template; give a `prompt`" in refusal(plain, chat("Hi")).detail
    strict = load(save(tiny_llama(), tmp_path / "strict", "{{ raise_exception('only users here') }}"))
    assert "only users here" in refusal(strict, [SYSTEM, *chat("Hi")]).detail


def test_the_memory_for_texts_bounds_the_context(folder: Path) -> None:
    token_bytes = 2 * 2 * 2 * 16 * 4
    assert load(folder, MILLRACE_GENERATION_CACHE_BYTES=100 * token_bytes).identity.context == 100


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tiny_bert(BertForMaskedLM), "is a BertForMaskedLM; text is written by causal language models"),
        (
            lambda: T5ForConditionalGeneration(
                T5Config(vocab_size=64, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
            ),
            "is an encoder-decoder",
        ),
    ],
)
def test_what_is_no_language_model_is_refused(tmp_path: Path, make: Any, says: str) -> None:
    path = save(make(), tmp_path / "other")
    with pytest.raises(Reject, match=says) as refused:
        load(path)
    assert refused.value.type == "model-unsupported"


def test_a_model_whose_attention_is_not_ours_to_replace_is_refused(
    folder: Path,
) -> None:
    def wrong(*args: Any, **kwargs: Any) -> Any:
        out, weights = right(*args, **kwargs)
        return -out, weights

    known: Any = AttentionInterface
    right = known()[ATTENTION]
    known.register(ATTENTION, wrong)
    try:
        with pytest.raises(Reject, match="does not write here as it does elsewhere"):
            load(folder)
    finally:
        known.register(ATTENTION, right)
