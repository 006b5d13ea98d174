"""A job by its id, or why there is none."""

from gateway.dependencies import Parts
from gateway.explanation import explain
from gateway.problems import ProblemError
from gateway.view import Snapshot


async def find(parts: Parts, job_id: str) -> Snapshot:
    """Raises ProblemError. A job that the ledger has not seen is known to the gateway that accepted it; beyond that
    nobody can say that there is no such job while the ledger has something to fold."""
    if not plausible(job_id):
        raise ProblemError("not-found", f"{job_id!r} is not the id of a job")
    accepted = parts.submission.recent.find(job_id)
    found = await (parts.view.find(job_id) if accepted else parts.view.find_new(job_id)) or accepted
    if found is not None:
        return found
    facts = await parts.inquiry.about_unseen(job_id)
    if facts.queues is None or facts.unfolded:
        raise ProblemError("ledger-behind", explain(facts).summary, headers={"Retry-After": "1"})
    detail = f"there is no job {job_id!r}; one accepted a moment ago may not be visible yet: ask again"
    raise ProblemError("not-found", detail, headers={"Retry-After": "1"})


async def find_own(parts: Parts, job_id: str, principal: str) -> Snapshot:
    """Raises ProblemError."""
    found = await find(parts, job_id)
    if found.fields["principal"] != principal:
        raise ProblemError("not-found", f"there is no job {job_id!r} of yours")
    return found


def plausible(job_id: str) -> bool:
    return len(job_id) == 32 and all(character in "0123456789abcdef" for character in job_id)
