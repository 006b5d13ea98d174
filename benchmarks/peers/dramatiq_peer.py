"""FastAPI and Dramatiq: RabbitMQ, results in Redis."""

import os
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.routes import PENDING, Payload, gateway

results = RedisBackend(url=os.environ["REDIS_URL"])
broker = RabbitmqBroker(url=os.environ["RABBITMQ_URL"])
broker.add_middleware(Results(backend=results))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop", queue_name="bench.dramatiq", store_results=True)
def noop(payload: Payload) -> Payload:
    return {"payload": payload}


# On the event loop: without confirms a publish is one write to a socket, cheaper than a hop to a thread. In
# production a broker that blocks its publishers would stop the gateway; here it is the fastest, so the peer gets it.
async def submit(payload: Payload) -> str:
    return str(noop.send(payload).message_id)


async def read(job_id: str) -> Any:
    try:
        return results.get_result(noop.message({}).copy(message_id=job_id), block=False)
    except ResultMissing:
        return PENDING


app = gateway(submit, read)
