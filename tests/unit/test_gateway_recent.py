"""Jobs as their gateway accepted them."""

from gateway.recent import Recent
from schemas.envelope import Envelope
from schemas.jobs.system_probe import RunProbe


def test_a_job_is_shown_as_it_was_accepted(envelope: Envelope) -> None:
    recent = Recent()
    recent.add(envelope, RunProbe(payload={"n": 1}))
    found = recent.find(envelope.job_id)
    assert found is not None
    assert (found.terminal, found.untouched) == (False, True)
    assert found.fields["params"]["payload"] == {"n": 1}
    assert found.fields["principal"] == envelope.principal
    assert recent.find("another") is None


def test_only_the_last_thousand_are_known(envelope: Envelope) -> None:
    recent, params = Recent(), RunProbe(payload={})
    for number in range(1_001):
        recent.add(envelope.model_copy(update={"job_id": str(number)}), params)
    assert recent.find("0") is None
    assert recent.find("1") is not None
