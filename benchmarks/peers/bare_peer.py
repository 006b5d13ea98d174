"""The least that an honest 202 costs: one FastAPI route that publishes with a confirm through aio-pika."""

import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from fastapi import FastAPI

from benchmarks.peers.routes import PENDING, Payload, gateway

QUEUE = "bench.bare"
published: dict[str, aio_pika.abc.AbstractExchange] = {}


async def submit(payload: Payload) -> str:
    job_id = str(uuid.uuid4())
    message = aio_pika.Message(
        json.dumps(payload).encode(),
        message_id=job_id,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await published["exchange"].publish(message, routing_key=QUEUE, mandatory=True)
    return job_id


async def read(_: str) -> Any:
    return PENDING  # nothing consumes: this peer is for the submission alone


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    connection = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        published["exchange"] = channel.default_exchange
        yield
        await queue.delete(if_unused=False, if_empty=False)


app = gateway(submit, read, lifespan)
