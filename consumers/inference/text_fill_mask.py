"""`text.fill-mask`: tokens for the blanks in texts, in batches formed across jobs."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from consumers.encoders.entities import Piece
from consumers.inference.blanks import BlankReader
from consumers.inference.labelling import built, rounded
from consumers.inference.ports import Tokens, Vectors
from consumers.inference.text_model import Answer, TextModel, check
from consumers.runtime.handler import Task, handles
from consumers.runtime.verdicts import Reject
from schemas.jobs.text_fill_mask import TEXT_FILL_MASK, Blank, BlanksFilled, Candidate, FillMask
from schemas.texts import HeadedModel

if TYPE_CHECKING:
    from consumers.inference.resources import Inference

_MOST_CHARACTERS = 5_000_000
"""Of all sequences of a result."""


@handles(TEXT_FILL_MASK, prefetch=256)
async def fill_mask(task: Task[FillMask], resources: "Inference") -> BlanksFilled:
    """Raises Reject for a model, an input or a target that cannot be used, RetryLater while the device is full."""
    params = task.params
    async with resources.model(TEXT_FILL_MASK, task.envelope.principal, params.model) as model:
        read = await model.reading(partial(_read, params, model.reader), sum(map(len, params.inputs)))
        return await built(partial(_result, params, model), await model.compute(read))


def _read(params: FillMask, reader: BlankReader) -> list[Tokens]:
    read = reader.read(params.inputs, _choices(params.options.targets or [], reader))
    check(read, truncate=params.options.truncate)
    for one in read:
        _check_blanks(one, reader)
    characters = sum(len(params.inputs[one.index]) * len(one.pieces) for one in read) * params.options.top_k
    if characters > _MOST_CHARACTERS:
        detail = f"come to {characters:,} characters, more than {_MOST_CHARACTERS:,}"
        raise Reject(f"/inputs: with their blanks filled, they {detail}; split the job or lower options.top_k")
    return read


def _choices(targets: Sequence[str], reader: BlankReader) -> list[int]:
    """The targets' tokens, each once."""
    found: dict[int, None] = {}
    for at, target in enumerate(targets):
        names = reader.named(target)
        token = reader.token(names[0]) if len(names) == 1 else None
        if token is None:
            detail = f"{target!r} is no token of this model, for which it is {len(names)}: {' '.join(names)}"
            raise Reject(f"/options/targets/{at}: {detail}; leave it out")
        found[token] = None
    return list(found)


def _check_blanks(one: Tokens, reader: BlankReader) -> None:
    if not one.pieces:
        detail = "there is no blank in it; write [MASK] where a token is missing"
        raise Reject(f"/inputs/{one.index}: {detail}", type="input-unusable")
    read = reader.counted(one)
    if read != len(one.pieces):
        detail = (
            f"of its {len(one.pieces)} blanks only {read} lie within the {len(one.input)} tokens that the model reads"
        )
        raise Reject(f"/inputs/{one.index}: {detail}; shorten it", type="input-too-long")


def _result(params: FillMask, model: TextModel, answer: Answer) -> BlanksFilled:
    def filled(text: str, blank: Piece, said: Vectors) -> Blank:
        tokens, logs = said.astype(np.float64)
        best = np.argsort(-logs, kind="stable")[: params.options.top_k]
        found = [_candidate(text, blank, int(tokens[at]), float(logs[at]), model.reader) for at in best]
        return Blank(start=blank.start, end=blank.end, candidates=found)

    return BlanksFilled(
        outputs=[
            [filled(text, blank, each) for blank, each in zip(one.pieces, said, strict=True) if blank]
            for text, one, said in zip(params.inputs, answer.read, answer.vectors, strict=True)
        ],
        model=HeadedModel(**asdict(model.identity)),
        **answer.told,
    )


def _candidate(text: str, blank: Piece, token: int, log: float, reader: BlankReader) -> Candidate:
    return Candidate(
        token=token,
        text=reader.text(token),
        score=rounded(np.exp(log)),
        sequence=reader.filled(text, blank, token),
    )
