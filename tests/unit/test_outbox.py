import hashlib
from pathlib import Path

import pytest

from messaging import names
from messaging.dead_letter import Forensics, Reason
from messaging.doubles import RecordingPublisher
from messaging.message import CLAIM_PATH, CLAIM_SHA256
from messaging.publisher import BrokerUnavailable
from producers.outbox import CLAIM_CHECK_BYTES, Outbox, delayed
from schemas.envelope import Envelope
from schemas.jobs.system_probe import RunProbe
from schemas.lifecycle import JobSucceeded
from storage.blobs import BlobMissing, BlobStore


@pytest.fixture
def publisher() -> RecordingPublisher:
    return RecordingPublisher()


@pytest.fixture
def outbox(publisher: RecordingPublisher, tmp_path: Path) -> Outbox:
    return Outbox(publisher, BlobStore((tmp_path / "blobs").as_uri()))


def probe(text: str = "") -> RunProbe:
    return RunProbe(payload={"text": text})


async def test_a_command_goes_to_its_exchange_by_kind(
    outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope
) -> None:
    await outbox.request(envelope, probe())
    [sent] = publisher.published
    assert (sent.exchange, sent.routing_key) == (names.COMMANDS, "system.probe")
    assert Envelope.from_headers(sent.message.headers) == envelope
    assert RunProbe.model_validate_json(sent.message.body) == probe()


async def test_ids_never_stand_in_routing_keys(
    outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope
) -> None:
    event = JobSucceeded(started_at=None, finished_at=envelope.time, result={})
    await outbox.tell(envelope.event(event, source="w"), event)
    assert publisher.published[0].routing_key == "system.probe.succeeded"


async def test_a_large_body_stays_in_the_blob_store(
    outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope
) -> None:
    large = probe("x" * CLAIM_CHECK_BYTES)
    await outbox.request(envelope, large)
    message = publisher.published[0].message
    assert message.body == b""
    content = await outbox.blobs.get(message.headers[CLAIM_PATH], message.headers[CLAIM_SHA256])
    assert RunProbe.model_validate_json(content) == large
    assert hashlib.sha256(content).hexdigest() == message.headers[CLAIM_SHA256]


async def test_altered_and_absent_blobs_are_told_apart_from_good_ones(outbox: Outbox) -> None:
    path, sha256 = await outbox.blobs.put(b"content")
    with pytest.raises(BlobMissing, match="is not the one"):
        await outbox.blobs.get(path, "0" * 64)
    with pytest.raises(BlobMissing, match="no blob"):
        await outbox.blobs.get("sha256/00/absent", sha256)


async def test_a_retry_keeps_the_bytes_and_goes_back_to_its_own_queue(
    outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope
) -> None:
    delivered = envelope.headers() | {"x-delivery-count": 2, CLAIM_PATH: "p", CLAIM_SHA256: "s"}
    await outbox.send(delayed(envelope.model_copy(update={"attempt": 2}), delivered, b"old bytes", 4))
    [sent] = publisher.published
    assert (sent.exchange, sent.routing_key) == ("mr.retry.4s", "mr.work.system.probe")
    assert sent.message.body == b"old bytes"
    assert sent.message.headers[CLAIM_PATH] == "p"
    assert sent.message.headers["mr-attempt"] == 2
    assert "x-delivery-count" not in sent.message.headers


async def test_a_dead_letter_keeps_the_original_and_adds_the_evidence(
    outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope
) -> None:
    evidence = Forensics(Reason.UNDECODABLE, "mr.work.system.probe", error_detail="not JSON")
    await outbox.bury(envelope.headers(), b"\xff\xfe", evidence, "mr.work.system.probe")
    [sent] = publisher.published
    assert sent.exchange == names.DEAD
    assert sent.message.body == b"\xff\xfe"
    assert Envelope.from_headers(sent.message.headers) == envelope
    assert Forensics.from_headers(sent.message.headers) == evidence


async def test_a_failed_publish_is_raised(outbox: Outbox, publisher: RecordingPublisher, envelope: Envelope) -> None:
    publisher.failure = BrokerUnavailable("away")
    with pytest.raises(BrokerUnavailable):
        await outbox.request(envelope, probe())
