"""The form of every column, from all of its values.

The guess comes from the beginning. The table is written by it at once, where a value that does not fit stops the
writing: only then, or where the beginning leaves a choice, are the columns in question read as a whole first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from consumers.ingestion.duck import Duck, Share, part, unheard
from consumers.ingestion.forms import ALL, TEXT, Form, ambiguous, present

_ASKED_AT_ONCE = 1_000  # aggregates in a query: planning takes longer than reading from some thousands on


@dataclass(frozen=True)
class Field:
    """A column of a source, and the forms that it still can have, narrower ones first. TEXT needs no mention."""

    name: str
    sql: str
    forms: tuple[Form, ...]
    settled: bool = True
    """Whether the first form is the one, rather than a choice to be made."""
    open: bool = False
    """Whether more of the file must be read to make the choice."""
    fallback: Form = TEXT
    spelled: bool = False
    """Whether the texts that stand for no value are still there."""

    @property
    def present(self) -> str:
        return present(self.sql) if self.spelled else self.sql

    @property
    def ambiguous(self) -> bool:
        return not self.settled and 0 < len(self.forms) < len(ALL) and ambiguous(self.forms)

    @property
    def form(self) -> Form:
        return self.forms[0] if self.forms and self.settled else self.fallback


@dataclass(frozen=True)
class Relation:
    """What DuckDB can read: the FROM clause and its columns."""

    sql: str
    fields: tuple[Field, ...]


def narrowed(duck: Duck, relation: Relation, fields: Sequence[Field], share: Share = unheard) -> dict[str, Field]:
    """The fields by name, left with the forms that every value of theirs in this relation has."""
    found = {field.name: field for field in fields}
    batches = list(_batches([field for field in fields if field.forms]))
    for done, batch in enumerate(batches):
        step = part(share, done / len(batches), (done + 1) / len(batches))
        counts = iter(duck.run(_question(relation, batch), step)[0])
        for field in batch:
            found[field.name] = _left(field, next(counts), [next(counts) for _ in field.forms])
    return found


def guessed(duck: Duck, cells: str, names: Sequence[str]) -> list[Field]:
    """The fields of a table from some of its cells: a relation of the column's `number` and the `cell`."""
    tried = ", ".join(f"count({form.tried('cell')})" for form in ALL)
    counts = duck.run(f"SELECT number, count(cell), {tried} FROM {cells} GROUP BY number")  # noqa: S608  # of our own parts
    known = {int(at): (present, fitting) for at, present, *fitting in counts}
    nothing = (0, [0] * len(ALL))
    fields = [_left(Field(name, f"c{at}", ALL), *known.get(at, nothing)) for at, name in enumerate(names)]
    return [replace(field, open=not field.settled) for field in fields]


def _left(field: Field, present: int, fitting: Sequence[int]) -> Field:
    """The field with the forms that all values have which are present."""
    fits = tuple(form for form, count in zip(field.forms, fitting, strict=True) if count == present)
    return replace(field, forms=fits, settled=present > 0 and not ambiguous(fits), open=False)


def _batches(fields: Sequence[Field]) -> Iterator[list[Field]]:
    batch: list[Field] = []
    asked = 0
    for field in fields:
        if batch and asked + len(field.forms) > _ASKED_AT_ONCE:
            yield batch
            batch, asked = [], 0
        batch.append(field)
        asked += len(field.forms) + 1
    if batch:
        yield batch


def _question(relation: Relation, fields: Sequence[Field]) -> str:
    counts = [
        count
        for field in fields
        for count in (f"count({field.present})", *(f"count({form.tried(field.sql)})" for form in field.forms))
    ]
    return f"SELECT {', '.join(counts)} FROM {relation.sql}"  # noqa: S608  # of our own parts; names are quoted
