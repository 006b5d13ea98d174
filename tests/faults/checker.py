"""What must be true of a history: a pure function, so that it is tested itself, on histories with each wrong."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from schemas.envelope import Envelope, message_type
from schemas.lifecycle import (
    LIFECYCLE_EVENTS,
    JobFailed,
    JobProgressed,
    JobRetryScheduled,
    JobStarted,
    JobState,
    JobSucceeded,
    Position,
)
from tests.faults.history import TOLD, Accepted, Ending, History, Row

_STATES = {message_type(event.contract_name): event.state for event in LIFECYCLE_EVENTS}
_RETRY = message_type(JobRetryScheduled.contract_name)
# What only the holder of a job may say.
_HOLDERS = {message_type(event.contract_name) for event in (JobStarted, JobProgressed, JobSucceeded, JobFailed)}


class Wrong(StrEnum):
    LOST = "lost"
    """Accepted, and not finished in the end."""
    STUCK = "stuck"
    """Refused, and shown as unfinished for ever."""
    DUPLICATED = "duplicated"
    """Finished, and finished again."""
    RESULT = "wrong result"
    ANSWER = "wrong answer"
    """Neither 202 nor an honest 503."""
    EPOCH = "epoch"
    ATTEMPT = "unexplained attempt"
    LETTER = "letter"
    UNTOLD = "untold"
    """It ended, and the webhook that asked for that has not heard of it."""
    LEFTOVER = "leftover"


class Violation(NamedTuple):
    wrong: Wrong
    subject: str
    """A job, or a queue."""
    detail: str


def check(history: History) -> list[Violation]:
    """Everything that is wrong with this history; empty when it kept the promise."""
    return [
        *_unfinished(history),
        *_duplicated(history),
        *_results(history),
        *_answers(history),
        *_epochs(history),
        *_attempts(history),
        *_letters(history),
        *_untold(history),
        *_leftovers(history),
    ]


def _unfinished(history: History) -> Iterator[Violation]:
    for accepted in history.accepted:
        row = history.jobs.get(accepted.job_id)
        if row is None:
            yield Violation(Wrong.LOST, accepted.job_id, "answered with 202, and the projection does not know it")
        elif not _terminal(row):
            yield Violation(Wrong.LOST, accepted.job_id, f"still {row['status']} in attempt {row['attempt']}")
        elif accepted.job_id not in history.listed:
            yield Violation(Wrong.LOST, accepted.job_id, "GET /v1/jobs does not list it")
    accepted_ids = {accepted.job_id for accepted in history.accepted}
    for job_id in history.jobs.keys() - accepted_ids:
        row = history.jobs[job_id]
        if not _terminal(row):
            yield Violation(
                Wrong.STUCK, job_id, f"nobody got a 202 for it; {row['status']} in attempt {row['attempt']}"
            )


def _duplicated(history: History) -> Iterator[Violation]:
    for job_id, endings in history.endings.items():
        row = history.jobs.get(job_id)
        if row is None:
            yield Violation(Wrong.LOST, job_id, f"was seen as {endings[-1].status}, and the projection forgot it")
            continue
        told = [*endings, Ending.of(row)] if _terminal(row) else endings
        generations = [ending.generation for ending in _without_repetitions(told)]
        if generations != sorted(set(generations)):
            yield Violation(Wrong.DUPLICATED, job_id, f"its ending changed: {told}")
        if not _terminal(row) and row["generation"] <= endings[-1].generation:
            yield Violation(Wrong.DUPLICATED, job_id, f"was {endings[-1].status}, and is {row['status']} again")
    for job_id, times in history.listed.items():
        if times > 1:
            yield Violation(Wrong.DUPLICATED, job_id, f"GET /v1/jobs lists it {times} times")


def _results(history: History) -> Iterator[Violation]:
    for accepted in history.accepted:
        row = history.jobs.get(accepted.job_id)
        if row is not None and _terminal(row) and (fault := _mismatch(accepted, row)):
            yield Violation(Wrong.RESULT, accepted.job_id, fault)


def _mismatch(accepted: Accepted, row: Row) -> str | None:
    wanted = accepted.wanted
    if row["status"] != wanted.status:
        return f"wanted {wanted.status}, is {row['status']}: {row.get('error')}"
    result = row.get("result") or {}
    different = {name: result.get(name) for name, value in (wanted.result or {}).items() if result.get(name) != value}
    return f"asked with {wanted.params}, answered with {different}" if different else None


def _answers(history: History) -> Iterator[Violation]:
    for status, count in history.answers.items():
        if status not in (202, 503):
            yield Violation(Wrong.ANSWER, str(status), f"answered {count} submissions")


def _epochs(history: History) -> Iterator[Violation]:
    for job_id, epochs in history.epochs.items():
        if epochs != sorted(epochs):
            yield Violation(Wrong.EPOCH, job_id, f"its lease went back: {epochs}")
    last = {lease["_id"]: lease["epoch"] for lease in history.leases}
    for job_id, events in _by_job(history).items():
        epochs = [event.epoch for event in _applied(events) if event.type in _HOLDERS]
        if epochs != sorted(epochs):
            yield Violation(Wrong.EPOCH, job_id, f"told by holders {epochs}, in this order")
        ends = [event.epoch for event in _applied(events) if event.type in _HOLDERS and _STATES[event.type].terminal]
        if ends and job_id in last and ends[-1] != last[job_id]:
            yield Violation(Wrong.EPOCH, job_id, f"finished under {ends[-1]}, while {last[job_id]} had the lease")


def _applied(events: list[Envelope]) -> Iterator[Envelope]:
    """Those that moved their job: every other one came too late, or twice."""
    highest = -1
    for event in events:
        position = Position.of(
            _STATES[event.type], generation=event.generation, attempt=event.attempt, sequence=event.sequence
        )
        if position.order > highest:
            highest = position.order
            yield event


def _attempts(history: History) -> Iterator[Violation]:
    for job_id, events in _by_job(history).items():
        explained = {(event.generation, event.attempt) for event in events if event.type == _RETRY}
        for attempt in sorted({(event.generation, event.attempt) for event in events if event.attempt > 1}):
            missing = [n for n in range(2, attempt[1] + 1) if (attempt[0], n) not in explained]
            if missing:
                yield Violation(Wrong.ATTEMPT, job_id, f"nobody told why attempts {missing} were made")
    for job_id, row in history.jobs.items():
        if row["attempt"] > 1 and job_id not in _by_job(history):
            yield Violation(Wrong.ATTEMPT, job_id, f"attempt {row['attempt']}, and no event was seen")


def _letters(history: History) -> Iterator[Violation]:
    given_up = [row for row in history.letters if row["queue"].startswith("mr.work.")]
    found = Counter((row["job_id"], row["generation"]) for row in given_up if row.get("job_id"))
    for (job_id, generation), count in found.items():
        row = history.jobs.get(job_id)
        dead = row is not None and (generation < row["generation"] or row["status"] == "dead")
        if row is not None and not (dead and count == 1):
            state = f"{row['status']} in generation {row['generation']}"
            yield Violation(Wrong.LETTER, job_id, f"{count} letters of generation {generation}; it is {state}")
    for job_id, row in history.jobs.items():
        if row["status"] == "dead" and not found[(job_id, row["generation"])]:
            yield Violation(Wrong.LETTER, job_id, "dead, without a letter")
    # What bears no id may be buried twice, by two deliveries; its bytes tell what it was.
    poison = len({row.get("body") for row in given_up if not row.get("job_id")})
    if poison != history.poison:
        yield Violation(Wrong.LETTER, "poison", f"{history.poison} sent, {poison} letters")


def _untold(history: History) -> Iterator[Violation]:
    for accepted in history.accepted:
        if accepted.wanted.kind == TOLD and accepted.job_id not in history.told:
            yield Violation(Wrong.UNTOLD, accepted.job_id, "its end was not told")


def _leftovers(history: History) -> Iterator[Violation]:
    for queue, count in history.left.items():
        if count:
            yield Violation(Wrong.LEFTOVER, queue, f"{count} messages are left")
    for lease in history.leases:
        if lease["state"] != "done":
            yield Violation(Wrong.LEFTOVER, lease["_id"], f"its lease is {lease['state']}")


def _terminal(row: Row) -> bool:
    return JobState(row["status"]).terminal


def _without_repetitions(endings: list[Ending]) -> list[Ending]:
    return [ending for before, ending in zip([None, *endings], endings, strict=False) if ending != before]


def _by_job(history: History) -> dict[str, list[Envelope]]:
    found: dict[str, list[Envelope]] = defaultdict(list)
    for seen in history.messages:
        if seen.envelope is not None and seen.envelope.type in _STATES:
            found[seen.envelope.job_id].append(seen.envelope)
    return found
