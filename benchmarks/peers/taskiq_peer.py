"""FastAPI and Taskiq: its aio-pika broker, results in Redis."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from taskiq.serializers import JSONSerializer
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType
from taskiq_redis import RedisAsyncResultBackend
from taskiq_redis.exceptions import ResultIsMissingError

from benchmarks.peers.routes import PENDING, Payload, gateway

results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(
    os.environ["REDIS_URL"], result_ex_time=3600, serializer=JSONSerializer()
)
broker = AioPikaBroker(
    os.environ["RABBITMQ_URL"],
    qos=100,
    exchange=Exchange(name="bench.taskiq"),
    # Quorum is this broker's default, and ours; a classic queue takes about 13 % more jobs a second.
    task_queues=[Queue(name="bench.taskiq", type=QueueType.QUORUM)],
    dead_letter_queue=Queue(name="bench.taskiq.dead"),
).with_result_backend(results)


@broker.task(task_name="noop")
async def noop(payload: Payload) -> Payload:
    return {"payload": payload}


async def submit(payload: Payload) -> str:
    return str((await noop.kiq(payload)).task_id)


async def read(job_id: str) -> Any:
    try:
        return (await results.get_result(job_id)).return_value
    except ResultIsMissingError:
        return PENDING


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = gateway(submit, read, lifespan)
