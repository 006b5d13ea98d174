"""Many jobs at once, and how they come out."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.waiting import eventually


async def submit(
    client: httpx.AsyncClient, kind: str, count: int, params: Callable[[int], dict[str, Any]]
) -> list[str]:
    """Ids of the jobs that got a 202. A 503 is an honest no and is not counted."""
    at_once = asyncio.Semaphore(16)

    async def one(number: int) -> str | None:
        async with at_once:
            response = await client.post("/v1/jobs", json={"kind": kind, "params": params(number)})
        assert response.status_code in (202, 503), response.text
        return response.json()["id"] if response.status_code == 202 else None

    return [job_id for job_id in await asyncio.gather(*map(one, range(count))) if job_id]


async def states(client: httpx.AsyncClient) -> dict[str, str]:
    found: dict[str, str] = {}
    url = "/v1/jobs?limit=200"
    while url:
        response = await client.get(url)
        if response.status_code == 503:  # the store is away, or has been until a moment ago
            return {}
        page = response.json()
        found |= {job["id"]: job["status"] for job in page["items"]}
        url = page["next"]
    return found


async def all_succeeded(client: httpx.AsyncClient, accepted: list[str], within_s: float = 90) -> None:
    async def done() -> bool:
        known = await states(client)
        return all(known.get(job_id) == "succeeded" for job_id in accepted)

    await eventually(done, within_s=within_s, every_s=0.25)


async def some_succeeded(client: httpx.AsyncClient, count: int) -> None:
    async def enough() -> bool:
        return sum(state == "succeeded" for state in (await states(client)).values()) >= count

    await eventually(enough, within_s=60)
