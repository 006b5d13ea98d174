"""From what a model says of each token to the passages of a text that answer a question.

The scores are those of transformers' former `question-answering` pipeline: within a window, the probability that an
answer begins at a token times the probability that it ends at another.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumers.encoders.entities import Piece
from consumers.inference.ports import Vectors

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Passage:
    start: int
    """In characters of the text."""
    end: int
    score: float


@dataclass(frozen=True)
class Window:
    """A part of a text, as a model read it behind a question."""

    logits: Vectors
    """`[tokens, 2]`: that an answer begins there, and that it ends there. The first token stands for no answer."""
    pieces: Sequence[Piece | None]
    """Of each token of the text; None for the others."""

    def shares(self) -> Shares:
        """Probabilities, of the text's tokens and the first one; 0 for the others."""
        possible = np.array([index == 0 or piece is not None for index, piece in enumerate(self.pieces)])
        wide = np.where(possible[:, None], self.logits.astype(np.float64), -np.inf)
        powers = np.exp(wide - wide.max(axis=0))
        shares: Shares = powers / powers.sum(axis=0)
        return shares


def passages(windows: Iterable[Window], top_k: int, most: int, *, whole_words: bool) -> list[Passage]:
    """The likeliest of all windows, each of at most `most` tokens before it is widened to whole words. What is found
    several times, in windows that overlap or by tokens of the same words, counts once, as its likeliest."""
    best: dict[tuple[int, int], float] = {}
    for window in windows:
        for (start, end), score in _likeliest(_within(window, most, whole_words), top_k):
            best[start, end] = max(score, best.get((start, end), 0.0))
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return [Passage(start, end, score) for (start, end), score in ranked[:top_k]]


def without_answer(windows: Iterable[Window]) -> float:
    """How likely it is that none of them holds an answer, by the one that is least sure of it."""
    return min(float(np.prod(window.shares()[0])) for window in windows)


def _likeliest(found: Iterator[tuple[tuple[int, int], float]], top_k: int) -> Iterable[tuple[tuple[int, int], float]]:
    distinct: dict[tuple[int, int], float] = {}
    for place, score in found:
        distinct.setdefault(place, score)
        if len(distinct) == top_k:
            break
    return distinct.items()


def _within(window: Window, most: int, whole_words: bool) -> Iterator[tuple[tuple[int, int], float]]:
    """Every passage of a window, the likeliest first, perhaps several times."""
    begins, ends = window.shares()[[piece is not None for piece in window.pieces]].T
    real = [piece for piece in window.pieces if piece is not None]
    starts, stops = _edges(real, whole_words)
    widths = range(min(most, len(real)))
    scores = np.concatenate([begins[: len(real) - width] * ends[width:] for width in widths])
    firsts = np.concatenate([np.arange(len(real) - width) for width in widths])
    lasts = np.concatenate([np.arange(width, len(real)) for width in widths])
    for at in np.argsort(-scores, kind="stable"):
        yield (starts[firsts[at]], stops[lasts[at]]), float(scores[at])


def _edges(real: Sequence[Piece], whole_words: bool) -> tuple[list[int], list[int]]:
    """Where passages start that begin with each token, and where those end that end with it."""
    starts, stops = [piece.start for piece in real], [piece.end for piece in real]
    if whole_words:
        for at in range(1, len(real)):
            if real[at].continues:
                starts[at] = starts[at - 1]
        for at in reversed(range(len(real) - 1)):
            if real[at + 1].continues:
                stops[at] = stops[at + 1]
    return starts, stops
