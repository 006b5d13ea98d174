"""What a replay publishes, in which order it goes, and what its canaries say, without broker and store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.operations.canary import judge
from consumers.operations.planning import Planner
from gateway.letters import difference
from messaging import names
from messaging.doubles import RecordingPublisher
from producers.outbox import CLAIM_CHECK_BYTES, Outbox, Parcel
from producers.replays import replay
from schemas.dead_letters import LetterFilter
from schemas.envelope import Envelope
from schemas.jobs.dead_letters_replay import CanaryFailure
from schemas.kinds import UnknownKind
from schemas.lifecycle import JobState
from storage.blobs import BlobStore
from storage.dead_letters import Fate, Outline
from storage.documents import Letter, LetterEdit, LetterState
from storage.letter_selection import Windows, query

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
PROBES = names.work_queue("system.probe")


def letter(envelope: Envelope, **changes: Any) -> Letter:
    given = {
        "id": "0" * 32,
        "reason": "exhausted",
        "queue": PROBES,
        "routing_key": "system.probe",
        "fingerprint": "f1",
        "error_type": "ProbeFailed",
        "error_detail": "",
        "traceback": "",
        "died_at": NOW,
        "host": "h",
        "worker": "w",
        "code_version": "1",
        "job_id": envelope.job_id,
        "kind": "system.probe",
        "generation": envelope.generation,
        "attempt": 5,
        "headers": envelope.headers(),
        "body": b"{}",
        "stored_at": NOW,
    }
    return Letter.model_validate(given | changes)


async def parcel(tmp_path: Path, given: Letter) -> Parcel:
    return await replay(Outbox(RecordingPublisher(), BlobStore(tmp_path.as_uri())), given, source="here")


async def test_a_command_begins_its_next_generation(tmp_path: Path, envelope: Envelope) -> None:
    old = envelope.model_copy(update={"generation": 2, "attempt": 5, "sequence": 9, "epoch": 3})
    broker_said = {"x-death": [{"queue": "q"}], "x-delivery-count": 6, "CC": ["mr.other"]}
    ours = {"mr-attempts": "[]", "mr-dead-reason": "exhausted", "foreign": "kept"}
    sent = await parcel(tmp_path, letter(old, headers={**old.headers(), **broker_said, **ours}))
    assert (sent.exchange, sent.routing_key) == (names.COMMANDS, "system.probe")
    told = Envelope.from_headers(sent.message.headers)
    assert (told.generation, told.attempt, told.sequence, told.epoch) == (3, 1, 0, 0)
    assert (told.job_id, told.principal, told.traceparent) == (old.job_id, old.principal, old.traceparent)
    assert (told.causation_id, told.source) == ("0" * 32, "here")
    assert told.id != old.id
    assert {name: v for name, v in sent.message.headers.items() if name not in told.headers()} == {"foreign": "kept"}
    assert sent.message.body == b"{}"


async def test_a_deadline_that_has_passed_is_dropped_and_one_to_come_is_kept(
    tmp_path: Path, envelope: Envelope
) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for deadline, kept in ((NOW - timedelta(days=9999), None), (ahead, ahead)):
        old = envelope.model_copy(update={"deadline": deadline})
        sent = await parcel(tmp_path, letter(old))
        assert Envelope.from_headers(sent.message.headers).deadline == kept


async def test_an_edit_replaces_body_contract_and_claim(tmp_path: Path, envelope: Envelope) -> None:
    claim = {"mr-claim-path": "sha256/aa/aa", "mr-claim-sha256": "aa"}
    claimed = letter(envelope, headers=envelope.headers() | claim, body=b"")
    as_it_was = await parcel(tmp_path, claimed)
    assert as_it_was.message.headers.items() >= claim.items()
    edit = LetterEdit(body=b'{"a":1}', dataschema="urn:millrace:system.probe:2", edited_at=NOW, edited_by="me")
    edited = await parcel(tmp_path, claimed.model_copy(update={"edit": edit}))
    assert edited.message.body == b'{"a":1}'
    assert not edited.message.headers.keys() & claim.keys()
    assert edited.message.headers["cloudEvents_dataschema"] == "urn:millrace:system.probe:2"
    large = edit.model_copy(update={"body": b" " * (CLAIM_CHECK_BYTES + 1)})
    by_reference = await parcel(tmp_path, claimed.model_copy(update={"edit": large}))
    assert by_reference.message.body == b""
    assert by_reference.message.headers["mr-claim-path"] != claim["mr-claim-path"]


async def test_what_is_no_command_goes_back_to_its_queue_as_it_was(tmp_path: Path, envelope: Envelope) -> None:
    headers = {"some": "thing", "x-death": []}
    sent = await parcel(tmp_path, letter(envelope, queue=names.LEDGER, headers=headers, body=b"bytes"))
    assert (sent.exchange, sent.routing_key) == (names.DEFAULT_EXCHANGE, names.LEDGER)
    assert (sent.message.headers, sent.message.body) == ({"some": "thing"}, b"bytes")
    ledgers = await parcel(tmp_path, letter(envelope, queue=names.LEDGER))
    assert ledgers.routing_key == names.LEDGER, "a command that only the ledger could not take"


async def test_a_kind_that_nobody_runs_is_not_published(tmp_path: Path, envelope: Envelope) -> None:
    gone = envelope.model_copy(update={"kind": "gone.kind"})
    with pytest.raises(UnknownKind):
        await parcel(tmp_path, letter(gone, queue=names.work_queue("gone.kind")))


def outline(number: int, fingerprint: str = "f1", queue: str = PROBES) -> Outline:
    return Outline(f"l{number}", fingerprint, NOW + timedelta(seconds=number), queue, "system.probe")


def test_canaries_are_the_oldest_of_each_group_then_the_oldest() -> None:
    planner = Planner(window_size=10, canaries=4)
    groups = ["ledger", "f1", "f1", "f1", "f2", "f1", "f3", "f3"]
    for number, group in enumerate(groups):
        planner.add(outline(number, group, names.LEDGER if group == "ledger" else PROBES))
    plan = planner.plan()
    assert (plan.count, plan.groups) == (8, 4)
    assert plan.canaries == ["l1", "l4", "l6", "l2"]


def test_windows_hold_everything_once_and_split_between_two_times() -> None:
    windows = Windows(3)
    times = [0, 1, 1, 1, 1, 2, 3, 4, 5]
    for second in times:
        windows.add(NOW + timedelta(seconds=second))
    cut = [[(edge - NOW).seconds for edge in (window.first, window.last)] for window in windows.all()]
    assert cut == [[0, 1], [2, 4], [5, 5]]
    assert Windows(3).all() == []


FATE = Fate(JobState.QUEUED, 1, NOW, None, "")


@pytest.mark.parametrize(
    ("fate", "verdict"),
    [
        (None, False),
        (replace(FATE, generation=0, status=JobState.DEAD, fingerprint="f1"), False),
        (FATE, False),
        (replace(FATE, fingerprint="f2"), False),
        (replace(FATE, fingerprint="f1"), "fails-again"),
        (replace(FATE, status=JobState.DEAD, fingerprint="f2"), "died"),
        (replace(FATE, status=JobState.SUCCEEDED), True),
        (replace(FATE, status=JobState.FAILED), True),
    ],
)
def test_a_canary_is_judged_by_its_job(envelope: Envelope, fate: Fate | None, verdict: str | bool) -> None:
    found = judge(letter(envelope), fate)
    assert (found.why if isinstance(found, CanaryFailure) else found) == verdict


def test_a_search_is_text_and_bounds_are_exclusive() -> None:
    found = query(LetterFilter(q="a.b(", died_after=NOW, ids=["a" * 32]), [LetterState.OPEN])
    assert found["$or"][0] == {"error_type": {"$regex": r"a\.b\(", "$options": "i"}}
    assert (found["state"], found["died_at"], found["_id"]) == ("open", {"$gt": NOW}, {"$in": ["a" * 32]})


def test_a_difference_is_of_json_and_of_text_where_there_is_none() -> None:
    assert difference(b'{"a":1}', b'{"a": 1}') == ""
    assert '-  "a": 1\n+  "a": 2\n' in difference(b'{"a":1}', b'{"a":2}')
    assert "-no json" in difference(b"no json\xff", b"{}")
