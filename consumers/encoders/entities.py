"""From what an encoder says of each token to entities in a text, as transformers' `token-classification` does it.

Tags are labels with `B-` where an entity begins and `I-` where it goes on, and `O` outside of any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.jobs.text_ner import Aggregation

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

OUTSIDE = "O"


@dataclass(frozen=True)
class Piece:
    """Where a token stands in its text, in characters."""

    start: int
    end: int
    continues: bool
    """The word of the token before it."""


@dataclass(frozen=True)
class Found:
    label: str
    score: float
    """Mean probability of its tokens or words."""
    start: int
    end: int


@dataclass(frozen=True)
class _Tagged:
    tag: str
    score: float
    start: int
    end: int

    @property
    def label(self) -> str:
        return label_of(self.tag)


def label_of(tag: str) -> str:
    return tag[2:] if tag.startswith(("B-", "I-")) else tag


def tags_of(labels: Sequence[Any]) -> list[str]:
    """For labels without prefixes: first the one for what is outside, then two for each."""
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def pieces(tokenizer: "Tokenizer", text: str, encoded: "Encoding") -> list[Piece | None]:
    """One for each token; None for those that stand for nothing in the text."""
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    unknown = getattr(tokenizer.model, "unk_token", None)
    found: list[Piece | None] = []
    for token, (start, end), special in zip(
        encoded.tokens, encoded.offsets, encoded.special_tokens_mask, strict=True
    ):
        if special:
            found.append(None)
            continue
        if token == unknown:
            continues = False
        elif prefix:
            continues = len(token) != end - start
        else:  # the tokenizer does not tell, so that only a space ends a word
            continues = start > 0 and " " not in text[start - 1 : start + 1]
        found.append(Piece(start, end, continues))
    return found


def entities(
    probabilities: NDArray[Any], where: Sequence[Piece | None], tags: Sequence[str], how: Aggregation
) -> list[Found]:
    """`probabilities` have the shape `[tokens, tags]`."""
    real = [(row, piece) for row, piece in zip(probabilities, where, strict=True) if piece is not None]
    if how is Aggregation.SIMPLE:
        tagged = (_Tagged(tags[int(row.argmax())], float(row.max()), piece.start, piece.end) for row, piece in real)
        return list(_joined(tagged))
    words: list[list[tuple[NDArray[Any], Piece]]] = []
    for row, piece in real:
        if piece.continues and words:
            words[-1].append((row, piece))
        else:
            words.append([(row, piece)])
    return list(_joined(_word(word, tags, how) for word in words))


def _word(word: Sequence[tuple[NDArray[Any], Piece]], tags: Sequence[str], how: Aggregation) -> _Tagged:
    """One tag for all tokens of a word."""
    rows = [row for row, _ in word]
    if how is Aggregation.FIRST:
        said = rows[0]
    elif how is Aggregation.MAX:
        said = max(rows, key=lambda row: float(row.max()))
    else:
        said = np.mean(rows, axis=0)
    return _Tagged(tags[int(said.argmax())], float(said.max()), word[0][1].start, word[-1][1].end)


def _joined(tagged: Iterable[_Tagged]) -> Iterable[Found]:
    """Neighbours of one label; what begins with `B-` begins another."""
    group: list[_Tagged] = []
    for each in tagged:
        if group and (each.label != group[-1].label or each.tag.startswith("B-")):
            yield from _found(group)
            group = []
        group.append(each)
    yield from _found(group)


def _found(group: Sequence[_Tagged]) -> Iterable[Found]:
    if group and group[0].label != OUTSIDE:
        score = float(np.mean([each.score for each in group]))
        yield Found(group[0].label, score, group[0].start, group[-1].end)
