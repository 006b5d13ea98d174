"""Benchmarks: one file each, every one measures Millrace and its peers in one run on one machine.

    make bench NAME=pipeline            # or: python -m benchmarks.pipeline
    python -m benchmarks.latency --quick
    python -m benchmarks.pipeline --only millrace,dramatiq --rounds 3

A run starts a Millrace stack of its own and the peers beside it, on that stack's RabbitMQ and Redis; all stay up
while their turns are taken in rounds. Raw samples go to `benchmarks/results/`. The peers' environment, `.venv-bench`,
is made from `benchmarks/requirements.txt` when it is missing or the pins have changed.
"""
