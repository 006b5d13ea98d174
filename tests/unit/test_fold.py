"""The fold's promise: any order of delivery, with any duplicates, ends in the same projection."""

import random
from datetime import timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.ledger.fold import command_patch, event_patch
from consumers.runtime.incoming import Undecodable
from messaging.message import Claim
from schemas.envelope import Envelope
from schemas.lifecycle import (
    JobCancelled,
    JobDied,
    JobError,
    JobProgressed,
    JobRetryScheduled,
    JobStarted,
    JobSucceeded,
    LifecycleEvent,
)
from storage.jobs import JobPatch

ERROR = JobError(type="attempt-failed", title="The attempt failed")


def life(envelope: Envelope) -> list[JobPatch]:
    """A job that fails once and succeeds in its second attempt, told event by event."""
    start = envelope.time
    told: list[tuple[LifecycleEvent, int, int]] = [
        (JobStarted(started_at=start, worker="w1"), 1, 0),
        (JobProgressed(fraction=0.2), 1, 1),
        (JobProgressed(fraction=0.4), 1, 2),
        (JobRetryScheduled(error=ERROR, not_before=start + timedelta(seconds=1)), 2, 0),
        (JobStarted(started_at=start + timedelta(seconds=2), worker="w2"), 2, 0),
        (JobSucceeded(started_at=start, finished_at=start + timedelta(seconds=3), result={"n": 1}), 2, 0),
    ]
    patches = [command_patch(envelope, b'{"payload": {}}', None)]
    for event, attempt, sequence in told:
        patches.append(
            event_patch(envelope.event(event, source="w", attempt=attempt, sequence=sequence), event, None)
        )
    return patches


class Model:
    """What the guarded writes of storage.jobs do to one document, in a few lines."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}

    def fold(self, patch: JobPatch) -> None:
        if not self.document:
            self.document = {"order": patch.order, **patch.fields, **(patch.birth or {})}
            return
        if self.document["order"] < patch.order:
            self.document |= {"order": patch.order, **patch.fields}
        if patch.birth and "dataschema" not in self.document:
            self.document |= patch.birth


def told_in_order(patches: list[JobPatch]) -> dict[str, Any]:
    model = Model()
    for patch in patches:
        model.fold(patch)
    return model.document


@given(st.randoms(use_true_random=False), st.integers(0, 10))
def test_order_and_duplicates_do_not_matter(rng: random.Random, duplicates: int) -> None:
    patches = life(ENVELOPE)
    expected = told_in_order(patches)
    delivered = patches + [rng.choice(patches) for _ in range(duplicates)]
    rng.shuffle(delivered)
    found = told_in_order(delivered)
    essential = ("order", "status", "result", "error", "attempt", "created_at", "params", "finished_at", "progress")
    assert {name: found.get(name) for name in essential} == {name: expected.get(name) for name in essential}


@given(st.randoms(use_true_random=False))
def test_coalescing_in_a_bulk_equals_folding_one_by_one(rng: random.Random) -> None:
    patches = life(ENVELOPE)
    rng.shuffle(patches)
    merged = patches[0]
    for patch in patches[1:]:
        merged = merged.then(patch)
    assert told_in_order([merged])["result"] == {"n": 1}
    assert told_in_order([merged])["order"] == max(patch.order for patch in patches)
    assert merged.birth is not None


def test_of_two_ends_the_first_is_all_that_happened() -> None:
    """Cancelling races completion: 10,000 deliveries in any order, doubled, and coalesced in any way."""
    rng = random.Random(3)
    ends = {patch.order: patch for patch in life(ENVELOPE)}
    cancelled = JobCancelled(
        finished_at=ENVELOPE.time, error=JobError(type="cancelled", title="The job was cancelled")
    )
    cancel = event_patch(ENVELOPE.event(cancelled, source="gateway"), cancelled, None)
    command, *_, success = life(ENVELOPE)
    assert success.order == cancel.order, "neither outranks the other"
    won = {"succeeded": 0, "cancelled": 0}
    for _ in range(10_000):
        delivered = [*ends.values(), cancel, *rng.choices([success, cancel, command], k=rng.randrange(3))]
        rng.shuffle(delivered)
        first = next(patch for patch in delivered if patch.order == success.order)
        model = Model()
        while delivered:
            bulk, delivered = delivered[: (size := rng.randrange(1, 6))], delivered[size:]
            model.fold(reduce(JobPatch.then, bulk))
        found = model.document
        assert found["status"] == first.fields["status"]
        if first is cancel:
            assert (found.get("result"), found["error"]["type"]) == (None, "cancelled")
        else:
            assert (found["result"], found["error"]) == ({"n": 1}, None)
        won[found["status"]] += 1
    assert min(won.values()) > 3_000


def test_a_death_after_success_changes_nothing(envelope: Envelope) -> None:
    patches = life(envelope)
    died = JobDied(started_at=None, finished_at=envelope.time, error=ERROR)
    late = event_patch(envelope.event(died, source="w", attempt=3), died, None)
    assert told_in_order([*patches, late])["status"] == "succeeded"


def test_a_claim_stands_in_for_what_is_too_large(envelope: Envelope) -> None:
    claim = Claim("sha256/ab/abc", "abc")
    command = command_patch(envelope, b"", claim)
    assert command.birth is not None
    assert command.birth["params_claim"] == {"path": "sha256/ab/abc", "sha256": "abc"}
    assert "params" not in command.birth
    event = JobSucceeded(started_at=envelope.time, finished_at=envelope.time, result={"big": "x"})
    outcome = event_patch(envelope.event(event, source="w"), event, claim)
    assert outcome.fields["result_claim"]["path"] == "sha256/ab/abc"
    assert "result" not in outcome.fields


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[1, 2]", b'"text"', b"{"])
def test_a_body_that_is_no_object_is_undecodable(envelope: Envelope, body: bytes) -> None:
    with pytest.raises(Undecodable):
        command_patch(envelope, body, None)


ENVELOPE = Envelope.model_validate(
    {
        "id": "e1",
        "source": "gateway",
        "type": "millrace.system.probe",
        "time": "2026-11-21T09:30:00Z",
        "dataschema": "urn:millrace:system.probe:1",
        "job_id": "j1",
        "kind": "system.probe",
        "principal": "operator",
    }
)
