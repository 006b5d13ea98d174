"""One language model at work: what is asked for becomes tokens, and tokens become text."""

from dataclasses import dataclass, field

from tokenizers import Tokenizer

from consumers.generation.asking import Ask, Begun, Piece
from consumers.generation.engine import Engine, Request
from consumers.generation.prompts import Context, PromptTokenizer, of_chat, of_text
from consumers.generation.sampling import Sampling
from consumers.generation.wording import Wording
from schemas.generation import FinishReason, GenerateOptions, LanguageModel


@dataclass(eq=False)
class _Text:
    wording: Wording
    most: int
    tokens: int = 0


@dataclass
class Writer:
    """For one thread."""

    identity: LanguageModel
    engine: Engine
    tokenizer: PromptTokenizer
    plain: Tokenizer
    """The same, without its wrapper."""
    ends: frozenset[int]
    """Tokens after which nothing comes."""
    nbytes: int
    _texts: dict[str, _Text] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        return self.engine.busy

    def begin(self, ask: Ask) -> Begun:
        """Raises Reject for what cannot be written."""
        options = ask.options
        context = Context(self.identity.context, options.max_tokens, options.overflow == "drop-oldest")
        if isinstance(ask.source, str):
            prompt = of_text(self.tokenizer, ask.source, context)
        else:
            prompt = of_chat(self.tokenizer, ask.source, context)
        text = _Text(Wording(self.plain, options.stop), prompt.most)
        pieces = [self._said(text, token) for token in ask.written]
        if not (pieces and pieces[-1].finish):
            self._texts[ask.id] = text
            sampling = _sampling(options, ask.seed)
            self.engine.add(Request(ask.id, prompt.ids, prompt.most, sampling, tuple(ask.written)))
        return Begun(len(prompt.ids), prompt.dropped, pieces)

    def cancel(self, id: str) -> None:
        """Its memory is free at once. Nothing when it has ended."""
        if self._texts.pop(id, None) is not None:
            self.engine.remove(id)

    def step(self) -> list[tuple[str, Piece]]:
        """One forward pass, and what it says of which text."""
        said = [(text, self._said(self._texts[text], token)) for text, token in self.engine.step()]
        for text, piece in said:
            if piece.finish:
                self.cancel(text)
        return said

    def fail(self) -> list[str]:
        """Give everything up, after an error. The ids of what was under way."""
        self._texts.clear()
        return self.engine.clear()

    def _said(self, text: _Text, token: int) -> Piece:
        text.tokens += 1
        ended, full = token in self.ends, text.tokens >= text.most
        told = text.wording.add(token, last=ended or full)
        if ended or text.wording.stopped:
            return Piece(token, told, FinishReason.STOP)
        return Piece(token, told, FinishReason.LENGTH if full else None)


def _sampling(options: GenerateOptions, seed: int) -> Sampling:
    return Sampling(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        repetition=options.repetition_penalty,
        presence=options.presence_penalty,
        frequency=options.frequency_penalty,
        seed=seed,
    )
