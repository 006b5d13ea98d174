"""Continuous batching: requests join and leave between the steps of one causal language model.

Each step is one forward pass over the next token of every request that writes and over stretches of the prompts of
those that have just come, so that a long prompt does not hold up the others. No clock, no threads, no text.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from consumers.generation.attention import Stretch, plan
from consumers.generation.sampling import Place, Sampling, choose
from consumers.generation.slots import Shape, Slots


@dataclass(frozen=True)
class Request:
    id: str
    prompt: Sequence[int]
    most: int
    """New tokens, those `written` before included."""
    sampling: Sampling = Sampling()  # noqa: RUF009  # frozen
    written: Sequence[int] = ()
    """What an earlier run has written, which is read and not written again. Fewer than `most`."""


@dataclass(frozen=True)
class Limits:
    context: int
    """Tokens that the model can have before it, its own included."""
    pass_tokens: int
    """Of one forward pass, as far as prompts are concerned."""
    kept_tokens: int
    """That all requests together may keep in memory; at least `context`."""
    requests: int
    """That run at a time."""


@dataclass(eq=False)
class _Row:
    request: Request
    text: list[int]
    """Prompt and what was written."""
    read: int = 0
    """How many of its tokens the model has read."""

    @property
    def written(self) -> list[int]:
        return self.text[len(self.request.prompt) :]

    @property
    def writes(self) -> bool:
        return len(self.text) - self.read == 1

    @property
    def reserved(self) -> int:
        return len(self.request.prompt) + self.request.most


@dataclass
class Engine:
    """For one thread."""

    model: PreTrainedModel
    """With our attention, in evaluation mode."""
    shape: Shape
    limits: Limits
    _waiting: deque[Request] = field(default_factory=deque)
    _rows: list[_Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slots = Slots(self.shape)

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    @property
    def running(self) -> int:
        return len(self._rows)

    def add(self, request: Request) -> None:
        """Its prompt and what it may write must fit the context."""
        self._waiting.append(request)

    def remove(self, id: str) -> None:
        """Cancelled, or done: its row is free at once. Nothing when it is not here."""
        self._waiting = deque(each for each in self._waiting if each.id != id)
        for at, row in enumerate(self._rows):
            if row.request.id == id:
                self._free(at)
                return

    def step(self) -> list[tuple[str, int]]:
        """One token of each request whose prompt is read, by the request's id. A request stays until it is removed;
        remove it with its last token. Raises torch.OutOfMemoryError, after which the engine is to be cleared."""
        self._admit()
        writing = [(at, row.read) for at, row in enumerate(self._rows) if row.writes and row.read]
        stretches = self._stretches(len(writing))
        if not writing and not stretches:
            return []
        scores = self._forward(writing, stretches)
        for part in stretches:
            self._rows[part.row].read += part.tokens
        for at, _ in writing:
            self._rows[at].read += 1
        asking = [at for at, _ in writing] + [part.row for part in stretches]
        done = [self._rows[at].read == len(self._rows[at].text) for at in asking]
        speaking = [self._rows[at] for at, whole in zip(asking, done, strict=True) if whole]
        if not speaking:
            return []
        return self._say(scores[torch.tensor(done, device=scores.device)], speaking)

    def clear(self) -> list[str]:
        """Forget everything. The ids of what was here."""
        ids = [row.request.id for row in self._rows] + [each.id for each in self._waiting]
        self._rows, self._waiting = [], deque()
        self._slots.release()
        return ids

    def _admit(self) -> None:
        """In order of arrival, as long as there is room for all that they may come to."""
        while self._waiting and len(self._rows) < self.limits.requests:
            request = self._waiting[0]
            row = _Row(request, [*request.prompt, *request.written])
            longest = max(each.reserved for each in (*self._rows, row))
            if self._rows and longest * (len(self._rows) + 1) > self.limits.kept_tokens:
                return
            self._waiting.popleft()
            self._rows.append(row)

    def _stretches(self, writing: int) -> list[Stretch]:
        """Prompts, the oldest first, as far as this pass goes."""
        found: list[Stretch] = []
        first, left = writing, self.limits.pass_tokens
        for at, row in sorted(enumerate(self._rows), key=lambda each: each[1].read == 0):
            unread = len(row.text) - row.read
            if left and not (row.writes and row.read):
                part = Stretch(at, row.read, first, min(unread, left))
                found.append(part)
                first, left = first + part.tokens, left - part.tokens
        return found

    def _forward(self, writing: Sequence[tuple[int, int]], stretches: Sequence[Stretch]) -> Tensor:
        """What the model says behind the last token of each, `[writing and stretches, vocabulary]`."""
        longest = max([place + 1 for _, place in writing] + [part.read + part.tokens for part in stretches])
        self._slots.require(len(self._rows), longest, max(row.reserved for row in self._rows))
        read = plan(self._slots, writing, stretches, self.shape.dtype)
        ids = [self._rows[at].text[place] for at, place in writing]
        for part in stretches:
            ids += self._rows[part.row].text[part.read : part.read + part.tokens]
        last = [*range(len(writing)), *(part.first + part.tokens - 1 for part in stretches)]
        device = self.shape.device
        with torch.inference_mode():
            scores: Tensor = self.model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=read.places[None],
                use_cache=False,
                logits_to_keep=torch.tensor(last, device=device),
                tokens_read=read,
            ).logits[0]
        return scores

    def _say(self, scores: Tensor, rows: Sequence[_Row]) -> list[tuple[str, int]]:
        with torch.inference_mode():
            chosen = choose(scores, [Place(row.request.sampling, row.request.prompt, row.written) for row in rows])
        for row, token in zip(rows, chosen, strict=True):
            row.text.append(token)
        return [(row.request.id, token) for row, token in zip(rows, chosen, strict=True)]

    def _free(self, at: int) -> None:
        last = self._rows.pop()
        if at < len(self._rows):
            self._slots.move(len(self._rows), at, last.read)
            self._rows[at] = last
        if not self._rows:
            self._slots.release()
