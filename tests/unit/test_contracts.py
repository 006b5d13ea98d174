import types
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.contract import Contract, UnknownContract
from schemas.envelope import Envelope, message_type
from schemas.jobs.text_embed import EmbedText
from schemas.kinds import UnknownKind, kind_named, kinds
from schemas.lifecycle import JobSucceeded


class Weigh1(Contract, name="thing.weigh"):
    """Weigh in pounds."""

    pounds: float


class Weigh2(Contract, name="thing.weigh", version=2, supersedes=Weigh1):
    """Weigh in kilograms."""

    kilograms: float

    @classmethod
    def upcast(cls, old: Weigh1) -> "Weigh2":
        return cls(kilograms=round(old.pounds * 0.45359237, 3))


class Weigh3(Contract, name="thing.weigh", version=3, supersedes=Weigh2):
    """Weigh in kilograms, with a tare."""

    kilograms: float
    tare: float

    @classmethod
    def upcast(cls, old: Weigh2) -> "Weigh3":
        return cls(kilograms=old.kilograms, tare=0)


def test_an_old_version_is_lifted_step_by_step() -> None:
    assert Weigh3.read(Weigh1.dataschema, b'{"pounds": 10}') == Weigh3(kilograms=4.536, tare=0)
    assert Weigh3.read(Weigh3.dataschema, b'{"kilograms": 1, "tare": 2}') == Weigh3(kilograms=1, tare=2)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(UnknownContract, match=r"thing\.weigh"):
        Weigh3.read("urn:millrace:thing.weigh:9", b"{}")


def test_an_old_body_under_a_new_name_does_not_pass() -> None:
    with pytest.raises(ValidationError):
        Weigh3.read(Weigh3.dataschema, b'{"pounds": 10}')


@pytest.mark.parametrize(
    ("docstring", "options", "complaint"),
    [
        ("X", {"name": "Bad Name"}, "dotted lower case"),
        ("X", {"name": "thing.weigh", "version": 2}, "version must be 1"),
        ("X", {"name": "thing.weigh", "version": 2, "supersedes": Weigh1}, "must define upcast"),
        (None, {"name": "thing.weigh"}, "needs a docstring"),
    ],
)
def test_a_bad_declaration_dies_at_once(docstring: str | None, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        types.new_class("Bad", (Contract,), options, lambda namespace: namespace.update({"__doc__": docstring}))


def test_contracts_are_frozen_and_closed() -> None:
    command = EmbedText(inputs=["a text"])
    with pytest.raises(ValidationError, match="frozen"):
        command.model = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        EmbedText.model_validate({"inputs": ["a text"], "modle": "typo"})


def test_kinds_are_found_and_unknown_ones_name_the_known() -> None:
    assert {"text.embed", "system.probe"} <= set(kinds())
    with pytest.raises(UnknownKind, match=r"text\.embed"):
        kind_named("text.embedd")


def test_an_envelope_survives_its_headers(envelope: Envelope) -> None:
    assert Envelope.from_headers(envelope.headers()) == envelope
    assert all(value is not None for value in envelope.headers().values())


def test_foreign_headers_are_ignored_and_missing_ones_named(envelope: Envelope) -> None:
    headers = envelope.headers() | {"x-delivery-count": 3, "something": "else"}
    assert Envelope.from_headers(headers) == envelope
    del headers["mr-job-id"]
    with pytest.raises(ValidationError, match="job_id"):
        Envelope.from_headers(headers)


def test_an_event_keeps_the_job_and_names_its_cause(envelope: Envelope) -> None:
    event = JobSucceeded(started_at=envelope.time, finished_at=envelope.time, result={})
    told = envelope.event(event, source="worker")
    assert (told.job_id, told.causation_id, told.traceparent) == (envelope.job_id, envelope.id, envelope.traceparent)
    assert told.id != envelope.id
    assert told.type == message_type("job.succeeded")
