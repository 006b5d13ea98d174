"""A training that is killed again and again, against one that is left alone.

A process trains; it is killed with SIGKILL after a random time, and the next goes on from the last checkpoint, until
the training ends. Reported is whether the model is the same file, and how many chunks of fitting were done again.
Goal: the same bytes over 20 kills, and one chunk for each of them at most.

    make bench NAME=resume ARGS="--kills 20"
"""

import argparse
import hashlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT
from benchmarks.training import TARGET, table, task_of, types_of
from consumers.learning.registry import trainers
from consumers.learning.table import read_table
from consumers.training.run import train
from consumers.training.settings import TrainingSettings
from schemas.jobs.model_train import TrainModel

_SEED = 5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--set", default="breast_cancer")
    parser.add_argument("--turn", nargs=3, metavar=("SET", "FOLDER", "TRIALS"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.turn:
        return _turn(given.turn[0], Path(given.turn[1]), int(given.turn[2]))
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
        alone, killed = Path(scratch) / "alone", Path(scratch) / "killed"
        for folder in (alone, killed):
            folder.mkdir()
        took = _run(given, alone)
        kills = _killed(given, killed, took)
        same = _digest(alone) == _digest(killed)
        again = _chunks(killed) - _chunks(alone)
        sizes = max(map(int, (killed / "checkpoints").read_text().split()))
        print(f"{given.set}, {given.trials} trials: {took:.0f} s and {_chunks(alone)} chunks when left alone")
        print(f"{kills} kills: {'the same bytes' if same else 'ANOTHER MODEL'}; {again} chunks done again")
        print(f"largest checkpoint: {sizes / 1e6:.1f} MB")
    return None


def _killed(given: argparse.Namespace, folder: Path, took_s: float) -> int:
    rng, kills = random.Random(_SEED), 0
    while kills < given.kills and not (folder / "model.zip").exists():
        _run(given, folder, within_s=rng.uniform(0.0, 1.5 * took_s / given.kills))
        kills += not (folder / "model.zip").exists()
    if not (folder / "model.zip").exists():
        _run(given, folder)
    return kills


def _run(given: argparse.Namespace, folder: Path, within_s: float | None = None) -> float:
    """How many seconds it trained, the start of Python and its libraries not counted."""
    command = [sys.executable, "-m", "benchmarks.resume", "--turn", given.set, str(folder), str(given.trials)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        began = time.perf_counter()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            child.kill()
        return time.perf_counter() - began


def _turn(name: str, folder: Path, trials: int) -> None:
    kept, frame = folder / "checkpoint", table(name)
    frame.to_parquet(folder / "table.parquet", index=False)
    params = TrainModel(
        name="b", dataset_id="0" * 32, version="0" * 12, target=TARGET, budget_s=86_400, max_trials=trials
    )
    for trainer in trainers().values():
        _count(trainer, folder / "chunks")

    def keep(content: bytes) -> None:
        fresh = folder / "checkpoint.new"
        fresh.write_bytes(content)
        fresh.rename(kept)
        with (folder / "checkpoints").open("a") as sizes:
            sizes.write(f"{len(content)}\n")

    task = task_of(params, checkpoint=keep, resumed_from=kept.read_bytes() if kept.exists() else None)
    read = read_table(folder / "table.parquet", types_of(frame), params)
    print("ready", flush=True)
    train(task, read, TrainingSettings(checkpoint_s=0, importances_s=0), folder / "model.zip")


def _count(trainer: Any, into: Path) -> None:
    """Each chunk that was fitted leaves a byte."""
    fit = trainer.fit

    def counted(*given: Any) -> Any:
        done = fit(*given)
        with into.open("ab") as chunks:
            chunks.write(b".")
        return done

    trainer.fit = counted


def _chunks(folder: Path) -> int:
    return (folder / "chunks").stat().st_size


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.zip").read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
