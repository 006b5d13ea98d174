"""From texts, alone or in pairs, to what a model reads. Every reader may be used by several threads."""

from collections.abc import Sequence

from tokenizers import Encoding, Tokenizer

from consumers.encoders.entities import Piece, pieces
from consumers.inference.ports import Input, Tokens

Pair = tuple[str, str]


class NoRoom(ValueError):
    """The text of a pair that must stay whole fills all that the model reads."""

    def __init__(self, index: int, most: int) -> None:
        super().__init__(f"the model reads {most} tokens")
        self.index, self.most = index, most


class TextReader:
    """Each text by itself, cut to what the model reads."""

    def __init__(self, tokenizer: Tokenizer, *, located: bool = False) -> None:
        self._tokenizer, self._located = tokenizer, located

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        """With `located`, also where each token stands in its text."""
        if not self._located:
            encoded = self._tokenizer.encode_batch_fast(list(texts))  # without offsets
            return [Tokens(Input(one.ids), bool(one.overflowing), index) for index, one in enumerate(encoded)]
        return [
            Tokens(Input(one.ids), bool(one.overflowing), index, pieces(self._tokenizer, texts[index], one))
            for index, one in enumerate(self._tokenizer.encode_batch(list(texts)))
        ]


class CharacterReader:
    """For a model that is no single encoder: its tokens are the characters of a text."""

    def read(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens(Input(list(map(ord, text))), truncated=False, index=at) for at, text in enumerate(texts)]


class PairReader:
    """Pairs of texts, as the tokenizer joins them."""

    def __init__(self, tokenizer: Tokenizer, *, segments: bool) -> None:
        self._tokenizer, self._segments = tokenizer, segments
        self._most: int = (tokenizer.truncation or {})["max_length"]
        self._special = tokenizer.num_special_tokens_to_add(is_pair=True)
        tokenizer.no_truncation()  # what is cut, and where, is said for each pair

    def read_each(self, texts: Sequence[str], others: Sequence[str]) -> list[Tokens]:
        """Each of the texts with each of the others, which stay whole.

        Raises NoRoom, with the index of the other, where nothing of a text is left.
        """
        firsts, seconds = (
            self._tokenizer.encode_batch_fast(list(each), add_special_tokens=False) for each in (texts, others)
        )
        rooms = [self._room(index, second, self._most) for index, second in enumerate(seconds)]
        read: list[Tokens] = []
        for index, first in enumerate(firsts):
            cut = {room: self._cut(texts[index], first, room) for room in set(rooms)}
            for second, room in zip(seconds, rooms, strict=True):
                joined = self._tokenizer.post_process(cut[room], second)
                read.append(Tokens(self._input(joined), len(first) > room, index))
        return read

    def read_windows(self, pairs: Sequence[Pair], most: int, overlap: int) -> list[Tokens]:
        """Of each pair the first text with as much of the second as fits into `most` tokens, and so on to its end,
        `overlap` tokens again each time; and where the second's tokens stand in it.

        Raises NoRoom, with the index of the pair, where the first text leaves no room.
        """
        most = min(most, self._most)
        encoded = self._tokenizer.encode_batch([text for pair in pairs for text in pair], add_special_tokens=False)
        found: list[Tokens] = []
        for index, (first, second) in enumerate(zip(encoded[::2], encoded[1::2], strict=True)):
            room = self._room(index, first, most)
            second.truncate(room, stride=min(overlap, room // 2))
            for part in (second, *second.overflowing):  # one by one: else only the first has the right segments
                joined = self._tokenizer.post_process(first, part)
                found.append(Tokens(self._input(joined), False, index, _places(joined, part)))
        return found

    def _room(self, index: int, whole: Encoding, most: int) -> int:
        room = most - self._special - len(whole)
        if room < 1:
            raise NoRoom(index, most)
        return room

    def _cut(self, text: str, part: Encoding, room: int) -> Encoding:
        if len(part) > room:
            part = self._tokenizer.encode(text, add_special_tokens=False)  # a copy: cutting changes it
            part.truncate(room)
        return part

    def _input(self, joined: Encoding) -> Input:
        return Input(joined.ids, joined.type_ids if self._segments else None)


def _places(joined: Encoding, second: Encoding) -> list[Piece | None]:
    """For each token of a pair's second text where it stands; None for the others. By the text's own offsets: those
    that are joined can have lost the first letter of words, by a tokenizer that takes spaces off each time."""
    words = [None, *second.word_ids]
    own = iter(
        Piece(start, end, continues=word is not None and word == before)
        for (start, end), before, word in zip(second.offsets, words, second.word_ids, strict=False)
    )
    return [next(own) if text == 1 else None for text in joined.sequence_ids]
