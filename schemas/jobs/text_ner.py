"""`text.ner`: entities in texts, such as names, versions and addresses."""

from enum import StrEnum

from schemas.contract import Contract
from schemas.kinds import JobKind
from schemas.texts import LabellingModel, LabelTexts, TextsRead, Truncation


class Aggregation(StrEnum):
    """How the tokens of a text become entities, as in transformers' `token-classification` pipeline."""

    SIMPLE = "simple"
    """Neighbouring tokens of one label are one entity, which may begin or end within a word."""
    FIRST = "first"
    """A word has the label of its first token; neighbouring words of one label are one entity, as below."""
    AVERAGE = "average"
    """A word has the label that is likeliest on the average of its tokens."""
    MAX = "max"
    """A word has the label of the token that is surest of its own."""


class NerOptions(Truncation):
    aggregation: Aggregation = Aggregation.SIMPLE


class FindEntities(LabelTexts, name="text.ner"):
    """Find the entities in texts: which, and where."""

    options: NerOptions = NerOptions()


class Entity(Contract):
    start: int
    """In characters of the input (Unicode code points)."""
    end: int
    """Behind the last character: `input[start:end]` is `text`."""
    label: str
    """Without the prefixes `B-` and `I-`."""
    score: float
    """Mean probability of its tokens or words, rounded to 7 decimals."""
    text: str


class EntitiesFound(TextsRead, name="text.entities-found"):
    """The entities of each text, and what found them."""

    outputs: list[list[Entity]]
    """One list per input, in order; each in the order of the text."""
    model: LabellingModel


TEXT_NER = JobKind(FindEntities, EntitiesFound, repeatable=True)
