"""Paragraphs to vectors, through the whole pipeline: HTTP, broker, worker, model, outcome, ledger, store, and back.

64 connections ask with `Prefer: wait`, each for so many paragraphs at a time. Against them, in a process of its own
with the same dtype and threads, and without any pipeline:

    oracle     everything is tokenised, sorted by length and run in padded batches of equal tokens
    pipeline   transformers' feature-extraction pipeline, batch_size=32, then the mean over the tokens

All vectors are compared. The dtype is what Millrace chooses here; the pipeline is measured in float32 too, which is
what it does unless it is told. Goals: 0.85 of the oracle, four times the pipeline of equal dtype; and in an open loop
at half of what was reached, p99 within three forward passes of a full batch.

The paragraphs are those of the docstrings of installed packages: real prose of very different lengths.
"""

import argparse
import asyncio
import importlib
import inspect
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import uvloop
from numpy.typing import NDArray

from benchmarks import environment, report
from benchmarks.accounting import Meter
from benchmarks.clock import Clock
from benchmarks.contenders import BenchmarkError, Servers, http_request, listener
from benchmarks.load import Connection, arrivals, closed_loop, open_loop
from benchmarks.runner import Options, Sample
from benchmarks.stack import Stack

OURS, ORACLE, PIPELINE, PLAIN = "Millrace", "oracle", "pipeline", "pipeline float32"
GOALS = {ORACLE: 0.85, PIPELINE: 4.0}
FORWARDS = 3.0
PARAGRAPHS, QUICK_PARAGRAPHS = 2_000, 200
CONNECTIONS = 64
LEAST_COSINE = 0.999
POOLS = "ledger,dead_letters,inference"
_PACKAGES = ("torch", "numpy", "scipy", "sklearn", "transformers", "asyncio", "email", "http", "logging", "unittest")
_SHORTEST = 40  # characters
_BATCH_TOKENS = 2_048
_SEED = 7

Vectors = NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short smoke run: the numbers mean nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-job", default="1,16", help="paragraphs in a job, comma-separated")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the open loop")
    parser.add_argument("--turn", nargs=3, metavar=("ENTRANT", "DTYPE", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.turn:
        return _turn(given.turn[0], given.turn[1], Path(given.turn[2]))
    options = Options(given.quick, 1 if given.quick else given.rounds, frozenset(), Servers("", ""))
    cells = [int(each) for each in given.per_job.split(",")]
    stack = Stack(pools=POOLS)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        try:
            stack.start(Servers("", ""), Path(folder))
            samples, tail = uvloop.run(_measured(stack, options, cells, given.seconds, Path(folder)))
        finally:
            stack.stop()
    count = QUICK_PARAGRAPHS if options.quick else PARAGRAPHS
    print(report.heading("encoder", f"{count:,} paragraphs, {CONNECTIONS} connections", options))
    for peer, goal in GOALS.items():
        print(report.ratios(samples, "paragraphs/s", OURS, goal, against=[peer]))
    print(report.medians(samples, ["paragraphs/s", "CPU ms each", "least cosine"]))
    print(report.costs([sample for sample in samples if sample.entrant == OURS]))
    print(tail)
    print(report.save("encoder", options, samples))
    return None


def paragraphs(count: int) -> list[str]:
    """In an order of their own, always the same."""
    found: set[str] = set()
    for name in _PACKAGES:
        package = importlib.import_module(name)
        for member in [package, *vars(package).values()]:
            if callable(member) or inspect.ismodule(member):
                for each in [member, *vars(member).values()] if inspect.isclass(member) else [member]:
                    doc = inspect.getdoc(each) if callable(each) or inspect.ismodule(each) else None
                    found.update(" ".join(part.split()) for part in (doc or "").split("\n\n"))
    chosen = sorted(each for each in found if len(each) >= _SHORTEST)
    if len(chosen) < count:
        raise BenchmarkError(f"only {len(chosen)} paragraphs found")
    return random.Random(_SEED).sample(chosen, count)


async def _measured(
    stack: Stack, options: Options, cells: Sequence[int], seconds: float, folder: Path
) -> tuple[list[Sample], str]:
    texts = paragraphs(QUICK_PARAGRAPHS if options.quick else PARAGRAPHS)
    (folder / "texts.json").write_text(json.dumps(texts))
    expected, dtype = await _warmed(stack, texts)
    samples: list[Sample] = []
    for number in range(options.rounds):
        order = [ORACLE, PIPELINE, PLAIN, OURS]
        start = number % len(order)  # another one starts each round, so that no one always follows the same
        for entrant in [*order[start:], *order[:start]]:
            for cell in cells:
                if entrant == OURS:
                    samples.append(await _ours(stack, number, cell, texts, expected))
                elif cell == cells[0]:
                    samples.extend(_peer(entrant, dtype, number, cells, folder, expected))
    single = [sample.metrics["paragraphs/s"] for sample in samples if (sample.entrant, sample.cell) == (OURS, "1")]
    return samples, await _tail(stack, texts, max(single) / 2, seconds) if single else ""


async def _warmed(stack: Stack, texts: Sequence[str]) -> tuple[Vectors, str]:
    """What Millrace says of each, asked in few jobs, and in which dtype."""
    asking = _Asking(stack)
    replies = [await asking.job(texts[at : at + 500]) for at in range(0, len(texts), 500)]
    asking.close()
    results = [json.loads(reply)["result"] for reply in replies]
    vectors = np.array([row for result in results for row in result["outputs"]], np.float32)
    return vectors, results[0]["model"]["dtype"]


class _Asking:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._idle: list[Connection] = []

    async def job(self, texts: Sequence[str]) -> bytes:
        connection = self._idle.pop() if self._idle else None
        if connection is None or not connection.is_open:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._stack.port)
        headers = {**self._stack.key(), "prefer": "wait=60"}
        body = json.dumps({"inputs": texts}).encode()
        reply = await connection.request(http_request("POST", "/v1/inference/embed", body, headers))
        if reply.status != 200 or b'"status":"succeeded"' not in reply.body[:2_000]:
            raise BenchmarkError(f"answered {reply.status}: {reply.body[:500]!r}")
        self._idle.append(connection)
        return reply.body

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


async def _ours(stack: Stack, number: int, cell: int, texts: Sequence[str], expected: Vectors) -> Sample:
    jobs = [texts[at : at + cell] for at in range(0, len(texts), cell)]
    replies = [b""] * len(jobs)
    asking = _Asking(stack)

    async def ask(index: int) -> None:
        replies[index] = await asking.job(jobs[index])

    shared = {"broker": stack.servers.rabbitmq_url, "redis": stack.servers.redis_url}
    beside = {name: listener(urlsplit(url).port or 0) for name, url in shared.items()}
    meter = Meter({**stack.processes(), **beside, "client": [psutil.Process()]})
    started = time.perf_counter()
    await closed_loop(range(len(jobs)), ask, CONNECTIONS)
    seconds = time.perf_counter() - started
    usage = meter.stop()
    asking.close()
    found = np.array([row for reply in replies for row in json.loads(reply)["result"]["outputs"]], np.float32)
    cpu_s = sum(used for role, used in usage.cpu_s.items() if role in report.UNSHARED)
    metrics = _metrics(len(texts), seconds, cpu_s, found, expected)
    return _told(Sample(OURS, number, str(cell), len(texts), metrics, usage, {}))


def _peer(
    entrant: str, dtype: str, number: int, cells: Sequence[int], folder: Path, expected: Vectors
) -> list[Sample]:
    """One turn, which counts in every cell: these know no jobs."""
    command = [sys.executable, "-m", "benchmarks.encoder", "--turn", entrant, dtype, str(folder)]
    with subprocess.Popen(command, cwd=environment.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        meter = Meter({"worker": [psutil.Process(child.pid)]})
        assert child.stdout is not None
        line = child.stdout.readline()
        usage = meter.stop()
    told = json.loads(line)
    found = np.load(folder / "vectors.npy")
    metrics = _metrics(len(expected), told["seconds"], told["CPU-s"], found, expected)
    samples = [Sample(entrant, number, str(cell), len(expected), metrics, usage, {}) for cell in cells]
    _told(samples[0])
    return samples


def _metrics(count: int, seconds: float, cpu_s: float, found: Vectors, expected: Vectors) -> dict[str, float]:
    cosine = float((found * expected).sum(axis=1).min())
    if cosine < LEAST_COSINE:
        raise BenchmarkError(f"the outputs differ: a cosine of {cosine:.5f}")
    return {"paragraphs/s": count / seconds, "CPU ms each": 1000 * cpu_s / count, "least cosine": cosine}


def _told(sample: Sample) -> Sample:
    metrics = "  ".join(f"{name} {value:,.4g}" for name, value in sample.metrics.items())
    noise = sample.usage.noise_cores
    print(
        f"round {sample.round + 1} {sample.entrant:17} {sample.cell:>3}  {metrics}  noise {noise:.2f} cores",
        flush=True,
    )
    return sample


async def _tail(stack: Stack, texts: Sequence[str], rate: float, seconds: float) -> str:
    """Single paragraphs as a Poisson process. A full batch is what a job of a thousand runs in."""
    asking = _Asking(stack)
    told = json.loads(await asking.job(texts[:1_000]))["result"]
    schedule = list(arrivals(rate, seconds, seed=_SEED))

    async def ask(index: int) -> None:
        await asking.job([texts[index % len(texts)]])

    with Clock() as clock:
        timings = await open_loop(schedule, ask, clock)
    asking.close()
    return _judged(rate, [1000 * each for each in timings.latencies_s], told)


def _judged(rate: float, latencies_ms: list[float], told: dict[str, Any]) -> str:
    tokens, run_s = told["tokens"], told["timing"]["run_s"]
    forward_ms = 1000 * run_s * _BATCH_TOKENS / tokens
    p50, p99 = (report.percentile(latencies_ms, percent) for percent in (50, 99))
    met = "met" if p99 <= FORWARDS * forward_ms else "NOT met"
    return (
        f"\nat {rate:.0f} paragraphs/s, half of what was reached, one a job: p50 {p50:.0f} ms, p99 {p99:.0f} ms; "
        f"a forward pass of {_BATCH_TOKENS:,} tokens takes {forward_ms:.0f} ms; "
        f"p99 <= {FORWARDS:g} of them: {met}"
    )


def _turn(entrant: str, dtype: str, folder: Path) -> None:
    """In the child. It stays until its standard input ends, so that it can be accounted for."""
    import torch

    from consumers.inference.threads import usable_cores

    torch.set_num_threads(usable_cores())
    texts = json.loads((folder / "texts.json").read_text())
    run = _ENTRANTS[entrant]("float32" if entrant == PLAIN else dtype)
    run(texts[:100])  # warms up
    started, used = time.perf_counter(), time.process_time()
    vectors = run(texts)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - used
    np.save(folder / "vectors.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    print(json.dumps({"seconds": seconds, "CPU-s": cpu_s}), flush=True)
    sys.stdin.read()


def _oracle(dtype: str) -> Callable[[Sequence[str]], Vectors]:
    import torch
    from transformers import AutoModel

    path, tokenizer = _bundled()
    model = AutoModel.from_pretrained(path, dtype=getattr(torch, dtype)).eval()

    def run(texts: Sequence[str]) -> Vectors:
        encoded = [one.ids for one in tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        vectors = np.empty((len(texts), model.config.hidden_size), np.float32)
        for batch in _batches(order, [len(ids) for ids in encoded]):
            width = len(encoded[batch[-1]])
            ids = torch.tensor([encoded[index] + [0] * (width - len(encoded[index])) for index in batch])
            mask = torch.tensor([[column < len(encoded[index]) for column in range(width)] for index in batch])
            with torch.inference_mode():
                states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
            weights = mask.unsqueeze(-1).float()
            vectors[batch] = ((states * weights).sum(1) / weights.sum(1)).numpy()
        return vectors

    return run


def _batches(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Of texts sorted by length, each within a budget of tokens, padding included."""
    found: list[list[int]] = [[]]
    for index in order:
        if (len(found[-1]) + 1) * lengths[index] > _BATCH_TOKENS and found[-1]:
            found.append([])
        found[-1].append(index)
    return found


def _pipeline(dtype: str) -> Callable[[Sequence[str]], Vectors]:
    import torch
    from transformers import AutoTokenizer, pipeline

    path, _ = _bundled()
    tokenizer = AutoTokenizer.from_pretrained(path, model_max_length=256)
    extract = pipeline(
        "feature-extraction", model=str(path), tokenizer=tokenizer, dtype=getattr(torch, dtype), device="cpu"
    )

    def run(texts: Sequence[str]) -> Vectors:
        states = extract(list(texts), batch_size=32, truncation=True, return_tensors=True)
        counts = [len(tokenizer(text, truncation=True)["input_ids"]) for text in texts]
        rows = [each[0, :count].float().mean(0).numpy() for each, count in zip(states, counts, strict=True)]
        return np.stack(rows)

    return run


def _bundled() -> tuple[Path, Any]:
    from consumers.encoders.layout import read_layout
    from consumers.encoders.reading import read_config, read_tokenizer
    from consumers.encoders.settings import ModelSettings
    from consumers.encoders.sources import find_model
    from schemas.texts import DEFAULT_MODEL

    source = find_model(DEFAULT_MODEL, ModelSettings())
    layout = read_layout(source)
    return layout.path, read_tokenizer(layout, read_config(source, layout))


_ENTRANTS = {ORACLE: _oracle, PIPELINE: _pipeline, PLAIN: _pipeline}

if __name__ == "__main__":
    main()
