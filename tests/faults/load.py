"""Jobs submitted without pause while things break, each with what must become of it.

A client behaves as the documents ask it to: most requests carry an `Idempotency-Key`, and one that was not answered,
or refused with 503, is repeated under it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.faults.history import Accepted, Wanted

JOBS_PER_S = 15.0
_WITH_KEY = 0.8
_LONG_FAILURES = 0.25
_PAUSE_S = 0.4
_PATIENCE = 25
"""How often a request is repeated: ten seconds, and more where the answer took its time."""


def draw(rng: random.Random, number: int) -> Wanted:
    """Mostly probes that succeed at once; some take a while, fail first, or are refused."""
    payload = {"n": number, "salt": rng.getrandbits(32)}
    match rng.choices(("plain", "slow", "error", "retry-later", "reject", "long"), (50, 20, 10, 6, 8, 6))[0]:
        case "plain":
            return probe(payload, prompt=True)
        case "slow":
            return probe(payload, delay_s=round(rng.uniform(0.1, 1.0), 2))
        case "reject":
            return Wanted("system.probe", {"payload": payload, "failure": "reject"}, "failed")
        case "long":
            return long_probe(rng)
        case failure:
            return probe(payload, failure=failure, fail_attempts=rng.choice((1, 1, 2)))


def probe(payload: dict[str, Any], *, prompt: bool = False, **params: Any) -> Wanted:
    """A probe that succeeds in the end."""
    result = {"payload": payload, "attempt": params.get("fail_attempts", 0) + 1}
    return Wanted("system.probe", {"payload": payload, **params}, "succeeded", result, prompt)


def long_probe(rng: random.Random, **params: Any) -> Wanted:
    """A long probe, in a child process under a lease, that succeeds in the end."""
    params = {"steps": rng.randint(4, 12), "step_s": 0.1} | params
    if rng.random() < _LONG_FAILURES:
        params |= {"failure": rng.choice(("error", "retry-later", "kill")), "fail_attempts": 1}
    result = {"steps": params["steps"], "attempt": params.get("fail_attempts", 0) + 1}
    return Wanted("system.long-probe", params, "succeeded", result)


def doomed() -> Wanted:
    """A probe that fails in every attempt."""
    return Wanted("system.probe", {"failure": "error"}, "dead")


class Load:
    def __init__(self, client: httpx.AsyncClient, rng: random.Random) -> None:
        self._client, self._rng = client, rng
        self.accepted: list[Accepted] = []
        self.refused = 0
        """Requests that were never answered with 202."""
        self.answers: Counter[int] = Counter()
        self._number = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Submit at a steady rate until the end, then until the last request is answered or given up."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed(group, stopping))
            try:
                yield
            finally:
                stopping.set()

    async def submit(self, wanted: Wanted) -> Accepted | None:
        """One request with its repetitions; None when it was not accepted."""
        key = f"load-{self._rng.getrandbits(64):x}" if self._rng.random() < _WITH_KEY else None
        for _ in range(_PATIENCE if key else 1):
            job_id = await self._post(wanted, key)
            if job_id is not None:
                accepted = Accepted(job_id, wanted, asyncio.get_running_loop().time())
                self.accepted.append(accepted)
                return accepted
            await asyncio.sleep(_PAUSE_S)
        self.refused += 1
        return None

    async def _feed(self, group: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self._number += 1
            group.create_task(self.submit(draw(self._rng, self._number)))
            await asyncio.sleep(self._rng.expovariate(JOBS_PER_S))

    async def _post(self, wanted: Wanted, key: str | None) -> str | None:
        headers = {} if key is None else {"Idempotency-Key": key}
        try:
            body = {"kind": wanted.kind, "params": wanted.params}
            response = await self._client.post("/v1/jobs", json=body, headers=headers)
        except httpx.TransportError:
            return None
        self.answers[response.status_code] += 1
        return str(response.json()["id"]) if response.status_code == 202 else None
