from datetime import UTC, datetime

import pytest

from schemas.envelope import Envelope


@pytest.fixture
def envelope() -> Envelope:
    """The command envelope of a probe."""
    return Envelope(
        id="6f1f6d0e8a7c4f5b9b1f0a2d3c4e5f60",
        source="gateway-test-1",
        type="millrace.system.probe",
        subject="0d9c1f2e3b4a5968778695a4b3c2d1e0",
        time=datetime(2026, 11, 21, 9, 30, 0, 125_000, tzinfo=UTC),
        dataschema="urn:millrace:system.probe:1",
        job_id="0d9c1f2e3b4a5968778695a4b3c2d1e0",
        kind="system.probe",
        principal="operator",
        correlation_id="request-7",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
