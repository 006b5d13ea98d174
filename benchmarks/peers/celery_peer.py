"""FastAPI and Celery: RabbitMQ, results in Redis, late acks."""

import os
from typing import Any

from celery import Celery

from benchmarks.peers.routes import PENDING, Payload, gateway

QUEUE = "bench.celery"

worker = Celery("bench", broker=os.environ["RABBITMQ_URL"], backend=os.environ["REDIS_URL"])
worker.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,  # or late acks still lose the job of a killed child
    task_default_queue=QUEUE,
    task_serializer="json",
    result_serializer="json",
    result_expires=3600,
    worker_prefetch_multiplier=16,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)

# Celery's Redis backend subscribes the publishing process to a channel per task, for a caller who blocks on the
# result. A gateway that polls needs none of it, and a producer without a result backend is a fifth faster.
producer = Celery("bench", broker=os.environ["RABBITMQ_URL"], set_as_current=False)
producer.conf.update(task_default_queue=QUEUE, task_serializer="json")


@worker.task(name="noop")
def noop(payload: Payload) -> Payload:
    return {"payload": payload}


# On the event loop: without confirms a publish is one write to a socket, cheaper than a hop to a thread. In
# production a broker that blocks its publishers would stop the gateway; here it is the fastest, so the peer gets it.
async def submit(payload: Payload) -> str:
    return str(producer.send_task("noop", (payload,)).id)


async def read(job_id: str) -> Any:
    meta = worker.backend.get_task_meta(job_id)
    return meta["result"] if meta["status"] == "SUCCESS" else PENDING


app = gateway(submit, read)
