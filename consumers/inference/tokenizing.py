"""From texts, alone or in pairs, to what a model reads."""

from collections.abc import Sequence
from typing import Literal

from tokenizers import Encoding, Tokenizer

from consumers.encoders.entities import pieces
from consumers.inference.ports import Input, Tokens

Pair = tuple[str, str]


class NoRoom(ValueError):
    """The text of a pair that must stay whole fills all that the model reads."""

    def __init__(self, index: int, most: int) -> None:
        super().__init__(f"the model reads {most} tokens")
        self.index, self.most = index, most


class TextReader:
    """Implements `ports.Reader`: each text by itself."""

    def __init__(self, tokenizer: Tokenizer, *, located: bool) -> None:
        self._tokenizer, self._located = tokenizer, located

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        """With `located`, also where each token stands in its text."""
        if not self._located:
            encoded = self._tokenizer.encode_batch_fast(list(texts))  # without offsets
            return [Tokens(Input(one.ids), truncated=bool(one.overflowing)) for one in encoded]
        return [
            Tokens(Input(one.ids), truncated=bool(one.overflowing), pieces=pieces(self._tokenizer, text, one))
            for text, one in zip(texts, self._tokenizer.encode_batch(list(texts)), strict=True)
        ]


class CharacterReader:
    """Implements `ports.Reader` for a model that is no single encoder: its tokens are the characters of a text."""

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens(Input([ord(character) for character in text]), truncated=False) for text in texts]


class PairReader:
    """Pairs of texts, as the tokenizer joins them. Each text is tokenised once, however many pairs it is in."""

    def __init__(self, tokenizer: Tokenizer, *, segments: bool) -> None:
        self._tokenizer, self._segments = tokenizer, segments
        self._most: int = (tokenizer.truncation or {})["max_length"]
        self._room = self._most - tokenizer.num_special_tokens_to_add(is_pair=True)
        tokenizer.no_truncation()  # what is cut, and where, is said for each pair

    def read_pairs(self, pairs: Sequence[Pair], cut: Literal[0, 1]) -> list[Tokens]:
        """One per pair. Of a pair that is too long, the text `cut` is cut. Raises NoRoom where nothing of it is left.

        Safe to call from several threads.
        """
        distinct = list(dict.fromkeys(text for pair in pairs for text in pair))
        encoded = self._tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
        parts = dict(zip(distinct, encoded, strict=True))
        return [self._joined(index, pair, parts, cut) for index, pair in enumerate(pairs)]

    def _joined(self, index: int, pair: Pair, parts: dict[str, Encoding], cut: Literal[0, 1]) -> Tokens:
        both = [parts[text] for text in pair]
        room = self._room - len(both[1 - cut])
        truncated = len(both[cut]) > room
        if truncated:
            if room < 1:
                raise NoRoom(index, self._most)
            both[cut] = self._cut(pair[cut], room)
        return Tokens(self._input(self._tokenizer.post_process(both[0], both[1])), truncated)

    def _cut(self, text: str, room: int) -> Encoding:
        part = self._tokenizer.encode(text, add_special_tokens=False)  # a copy: cutting changes it
        part.truncate(room)
        return part

    def _input(self, joined: Encoding) -> Input:
        return Input(joined.ids, joined.type_ids if self._segments else None)
