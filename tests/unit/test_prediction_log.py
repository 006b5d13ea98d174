"""What is kept of a request, and what people decided about models, read from the audit."""

from datetime import UTC, datetime, timedelta

import pytest

from producers.decisions import Decided, decided
from producers.request_log import RequestLogSettings, entry_of
from schemas.jobs.model_predict import PredictRows, PredictTiming, RequestLog, RowsPredicted
from schemas.learning import LearningTask
from storage import audit
from storage.census import EndedJob
from storage.documents import AuditEntry

ENDED = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
JOB = EndedJob(
    id="1" * 32,
    kind="model.predict",
    principal="operator",
    started_at=ENDED - timedelta(seconds=0.25),
    finished_at=ENDED,
)
RESULT = RowsPredicted(
    model_id="2" * 32,
    name="m",
    version="3" * 12,
    task=LearningTask.REGRESSION,
    predictions=[1.5],
    warnings=[],
    timing=PredictTiming(queue_s=0, run_s=0),
)


@pytest.mark.parametrize("asked", list(RequestLog))
@pytest.mark.parametrize("most", list(RequestLog))
def test_the_stricter_of_request_and_deployment_decides(asked: RequestLog, most: RequestLog) -> None:
    params = PredictRows(model_id="2" * 32, version="3" * 12, rows=[{"$a.b": 1}], log=asked)
    entry = entry_of(JOB, params, RESULT, RequestLogSettings(most=most, days=2))
    if RequestLog.OFF in (asked, most):
        assert entry is None
        return
    assert entry is not None
    assert entry.inputs == (None if RequestLog.OUTPUTS in (asked, most) else '[{"$a.b":1}]')
    assert (entry.outputs, entry.duration_s, entry.rows) == ('{"predictions":[1.5],"warnings":[]}', 0.25, 1)
    assert entry.expires_at == ENDED + timedelta(days=2)


def test_decisions_are_read_in_their_order() -> None:
    def entry(action: str, **detail: str | None) -> AuditEntry:
        return audit.entry(action, "m", actor="operator", detail=detail)

    early = [
        entry(audit.ALIAS_MOVED, alias="champion", version="a"),
        entry(audit.ARCHIVED, version="b"),
        entry(audit.MODEL_DELETED),
    ]
    entries = [
        *early,
        entry(audit.ALIAS_MOVED, alias="champion", version="c"),
        entry(audit.ALIAS_MOVED, alias="shadow", version="d"),
        entry(audit.ALIAS_MOVED, alias="shadow", version=None),
        entry(audit.ARCHIVED, version="e"),
        entry(audit.ARCHIVED, version="f"),
        entry(audit.UNARCHIVED, version="f"),
        entry(audit.ALIAS_MOVED, alias="old", version="g"),
        entry(audit.VERSION_DELETED, version="g"),
    ]
    assert decided(entries) == {
        "m": Decided(
            aliases={"champion": "c"},
            archived={"e": entries[6].at},
            deleted={"g": entries[-1].at},
            forgotten_at=early[-1].at,
        )
    }
