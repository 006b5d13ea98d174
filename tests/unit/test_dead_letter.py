from messaging.dead_letter import Forensics, Reason, without_forensics
from messaging.message import without_broker_headers


def test_forensics_survive_their_headers() -> None:
    evidence = Forensics(Reason.EXHAUSTED, "mr.work.x", error_type="ValueError", fingerprint="abc", host="h1")
    assert Forensics.from_headers(evidence.headers()) == evidence


def test_a_letter_from_the_broker_itself_is_a_killed_worker() -> None:
    headers = {
        "x-first-death-reason": "expired",
        "x-delivery-count": 7,
        "x-death": [{"queue": "mr.work.text.embed", "reason": "delivery_limit", "count": 1}],
    }
    evidence = Forensics.from_headers(headers)
    assert (evidence.reason, evidence.queue) == (Reason.KILLS_WORKER, "mr.work.text.embed")
    assert "7 times" in evidence.error_detail


def test_a_republished_message_keeps_no_trace_of_its_past_deliveries() -> None:
    ours = {"mr-job-id": "j", "cloudEvents_id": "i"}
    broker = {"x-death": [], "x-first-death-queue": "q", "x-last-death-reason": "r", "x-delivery-count": 1}
    evidence = Forensics(Reason.EXHAUSTED, "q").headers()
    assert without_forensics(without_broker_headers(ours | broker | evidence)) == ours
