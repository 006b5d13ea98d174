"""From tokens to text while they come, and the texts that end it.

What is told of a token follows from it and those before it alone, so a text that is told again is cut the same way.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer

_MOST_HELD = 16  # tokens that together are no whole character


class Decoder:
    """Text as far as it stands: a token may be the half of a character, or change how the one before is written."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._context, self._told = 0, 0  # the last told tokens, before which a space may depend on, and the next one

    def add(self, token: int, *, last: bool = False) -> str:
        self._ids.append(token)
        before = self._decode(self._ids[self._context : self._told])
        text = self._decode(self._ids[self._context :])
        held = len(self._ids) - self._told
        if text.endswith("\N{REPLACEMENT CHARACTER}") and held < _MOST_HELD and not last:
            return ""
        self._context, self._told = self._told, len(self._ids)
        return text[len(before) :]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


class Wording:
    """What may be told of a text whose end may be a stop text: what could be the beginning of one is held back."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._decoder, self._stops = Decoder(tokenizer), stops
        self._held = ""
        self.stopped = False
        """A stop text was reached; nothing comes behind it."""

    def add(self, token: int, *, last: bool = False) -> str:
        self._held += self._decoder.add(token, last=last)
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._release(min(found))
        return self._release(len(self._held) if last else len(self._held) - self._beginning())

    def _release(self, until: int) -> str:
        told, self._held = self._held[:until], self._held[until:]
        return told

    def _beginning(self) -> int:
        """How many characters at the end may become a stop text."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
