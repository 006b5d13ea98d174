"""Texts with blanks: which tokens stand for them, and the texts with a blank filled."""

import re
from collections.abc import Sequence

from tokenizers import Tokenizer

from consumers.encoders.entities import Piece
from consumers.encoders.layout import Mask
from consumers.inference.ports import Input, Tokens

_WRITTEN = ("[MASK]", "<mask>")
_SPACE_MARKS = ("Ġ", "▁")  # with which tokenizers of bytes and of sentences begin a word


class BlankReader:
    """A reader of texts with blanks, which may be written as other models write them, and a writer of tokens."""

    def __init__(self, tokenizer: Tokenizer, mask: Mask) -> None:
        self._tokenizer, self._mask = tokenizer, mask
        self._written = re.compile("|".join(re.escape(each) for each in (mask.text, *_WRITTEN)))
        self._prefix: str | None = getattr(tokenizer.model, "continuing_subword_prefix", None)
        self._unknown: str | None = getattr(tokenizer.model, "unk_token", None)

    def read(self, texts: Sequence[str], choices: Sequence[int]) -> list[Tokens]:
        """Each text cut to what the model reads, with its blanks as pieces; those that were cut off are there too."""
        encoded = self._tokenizer.encode_batch_fast([self._written.sub(self._mask.text, text) for text in texts])
        return [
            Tokens(Input(one.ids, choices=choices), bool(one.overflowing), index, self._blanks(texts[index]))
            for index, one in enumerate(encoded)
        ]

    def counted(self, one: Tokens) -> int:
        """How many blanks the model reads."""
        return list(one.input.ids).count(self._mask.token)

    def named(self, text: str) -> list[str]:
        """The tokens that a text is for the model, by the names that its vocabulary has for them."""
        if self._tokenizer.token_to_id(text) is not None:
            return [text]
        tokens: list[str] = self._tokenizer.encode(text, add_special_tokens=False).tokens
        return tokens

    def token(self, name: str) -> int | None:
        """Its number; None for the one that stands for everything unknown."""
        return None if name == self._unknown else self._tokenizer.token_to_id(name)

    def text(self, token: int) -> str:
        """As the tokenizer writes it, by itself."""
        written: str = self._tokenizer.decode([token], skip_special_tokens=False)
        return written

    def filled(self, text: str, blank: Piece, token: int) -> str:
        """With the token in the blank: where it goes on a word, without the space before it."""
        before, word, after = text[: blank.start], self.text(token), text[blank.end :]
        name = self._tokenizer.id_to_token(token) or ""
        if self._prefix:
            goes_on, word = name.startswith(self._prefix), name.removeprefix(self._prefix)
        else:
            goes_on = not name.startswith(_SPACE_MARKS)
            word = word if goes_on else word.strip()
            before += "" if goes_on or not before or before[-1].isspace() else " "
        return (before.rstrip() if goes_on else before) + word + after

    def _blanks(self, text: str) -> list[Piece | None]:
        return [Piece(found.start(), found.end(), continues=False) for found in self._written.finditer(text)]
