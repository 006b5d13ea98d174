"""`auto` against default histogram gradient boosting and against FLAML, with equal budgets and threads.

The tables are those that scikit-learn carries. Ten folds each: everybody learns from nine, as a process of its own,
and is judged by log loss or RMSE on the tenth, which nobody has seen. FLAML optimises the same figure. A ratio below
1 says that ours errs less. Goal: never worse than the default beyond noise.

    make bench NAME=training ARGS="--budget 30 --folds 10"
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks import environment, report
from benchmarks.accounting import Meter
from benchmarks.contenders import Servers
from benchmarks.runner import Options, Sample
from consumers.learning.columns import whole
from consumers.learning.frame import Frame
from consumers.learning.model import TrainedModel
from consumers.learning.table import read_table
from consumers.runtime.handler import ChildTask
from consumers.training.run import train
from consumers.training.settings import TrainingSettings
from producers.jobs import command_envelope, new_job_id
from schemas.datasets import ColumnType
from schemas.jobs.model_train import MODEL_TRAIN, TrainModel

OURS, DEFAULT, FLAML = "Millrace auto", "HistGradientBoosting", "FLAML"
SETS = ("breast_cancer", "digits", "iris", "wine", "diabetes")
TARGET = "target"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short smoke run: the numbers mean nothing")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for each search")
    parser.add_argument("--folds", type=int, default=10, help="so many of the ten")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--turn", nargs=3, metavar=("ENTRANT", "FOLDER", "BUDGET"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.turn:
        return _turn(given.turn[0], Path(given.turn[1]), float(given.turn[2]))
    environment.prepare()
    folds, budget_s = (1, 5.0) if given.quick else (given.folds, given.budget)
    samples = [
        sample
        for name in given.sets.split(",")
        for number, folder in _folds(name, folds)
        for sample in _round(name, number, folder, budget_s)
    ]
    options = Options(given.quick, folds, frozenset(), Servers("", ""))
    print(report.heading("training", f"{folds} folds, {budget_s:g} s for each search", options))
    print(report.ratios(samples, "error", OURS, 1.0, smaller=True))
    print(report.medians(samples, ["error", "seconds"]))
    print(report.save("training", options, samples))
    return None


def table(name: str) -> pd.DataFrame:
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    frame: pd.DataFrame = bunch.frame
    if name == "diabetes":
        return frame
    return frame.assign(**{TARGET: [str(bunch.target_names[each]) for each in frame[TARGET]]})


def _folds(name: str, most: int) -> Iterator[tuple[int, Path]]:
    frame = table(name)
    kind = KFold if name == "diabetes" else StratifiedKFold
    parts = kind(10, shuffle=True, random_state=0).split(frame, frame[TARGET])
    for number, (train_rows, test_rows) in enumerate(parts):
        if number < most:
            with tempfile.TemporaryDirectory(prefix="millrace-bench-") as scratch:
                folder = Path(scratch)
                frame.iloc[train_rows].to_parquet(folder / "train.parquet", index=False)
                frame.iloc[test_rows].to_parquet(folder / "test.parquet", index=False)
                yield number, folder


def _round(name: str, number: int, folder: Path, budget_s: float) -> list[Sample]:
    # Another one starts each round, so that no one always follows the same.
    order = [(OURS, DEFAULT, FLAML), (DEFAULT, FLAML, OURS), (FLAML, OURS, DEFAULT)][number % 3]
    return [_measure(entrant, name, number, folder, budget_s) for entrant in order]


def _measure(entrant: str, name: str, number: int, folder: Path, budget_s: float) -> Sample:
    command = [sys.executable, "-m", "benchmarks.training", "--turn", entrant, str(folder), str(budget_s)]
    if entrant == FLAML:
        peer = environment.ROOT / "benchmarks/peers/flaml_peer.py"
        command = [str(environment.BIN / "python"), str(peer), str(folder), str(budget_s)]
    with subprocess.Popen(command, cwd=environment.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        meter = Meter({"worker": [psutil.Process(child.pid)]})
        assert child.stdout is not None
        said = json.loads(child.stdout.readline())
        usage = meter.stop()
    actual = pd.read_parquet(folder / "test.parquet")[TARGET]
    metrics = {"error": _error(actual, said), "seconds": usage.wall_s}
    told = "  ".join(f"{key} {value:,.4f}" for key, value in metrics.items())
    print(f"fold {number + 1:2} {name:14} {entrant:21} {told}  noise {usage.noise_cores:.2f} cores", flush=True)
    return Sample(entrant, number, name, 1, metrics, usage, {})


def _error(actual: "pd.Series[Any]", said: dict[str, Any]) -> float:
    predicted = np.array(said["predicted"])
    if said["classes"] is None:
        return float(root_mean_squared_error(actual, predicted))
    return float(log_loss(actual, predicted, labels=said["classes"]))


def _turn(entrant: str, folder: Path, budget_s: float) -> None:
    """In the child, which stays until its standard input ends, so that it can be accounted for."""
    said = _ours(folder, budget_s) if entrant == OURS else _default(folder)
    print(json.dumps(said), flush=True)
    sys.stdin.read()


def _ours(folder: Path, budget_s: float) -> dict[str, Any]:
    path = folder / "train.parquet"
    types = types_of(pd.read_parquet(path))
    params = TrainModel(name="b", dataset_id="0" * 32, version="0" * 12, target=TARGET, budget_s=budget_s)
    read = read_table(path, types, params)
    into = folder / "model.zip"
    settings = TrainingSettings(threads=os.cpu_count() or 1, importances_s=0)
    train(task_of(params), read, settings, into)
    model = TrainedModel.load(into)
    names = [column.name for column in model.signature.inputs]
    arrays = whole(folder / "test.parquet", names, [types[each] for each in names])
    found = model.predict(Frame(dict(zip(names, arrays, strict=True)), len(arrays[0])))
    if found.probabilities is None:
        return {"classes": None, "predicted": found.values}
    return {"classes": model.signature.classes, "predicted": found.probabilities.tolist()}


def _default(folder: Path) -> dict[str, Any]:
    learned, asked = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    inputs = [each for each in learned.columns if each != TARGET]
    if types_of(learned)[TARGET] is ColumnType.FLOAT:
        model = HistGradientBoostingRegressor(random_state=0).fit(learned[inputs], learned[TARGET])
        return {"classes": None, "predicted": model.predict(asked[inputs]).tolist()}
    model = HistGradientBoostingClassifier(random_state=0).fit(learned[inputs], learned[TARGET])
    return {"classes": model.classes_.tolist(), "predicted": model.predict_proba(asked[inputs]).tolist()}


def types_of(frame: pd.DataFrame) -> dict[str, ColumnType]:
    numeric = frame.select_dtypes("number").columns
    return {each: ColumnType.FLOAT if each in numeric else ColumnType.CATEGORY for each in frame.columns}


def task_of(params: TrainModel, **parts: Any) -> ChildTask[TrainModel]:
    """As the handler is given it, without a broker."""
    envelope = command_envelope(MODEL_TRAIN, job_id=new_job_id(), principal="b", source="b", traceparent="")
    told = {"progress": lambda *_: None, "checkpoint": lambda _: None, "resumed_from": None}
    return ChildTask(params, envelope, **{**told, **parts})


if __name__ == "__main__":
    main()
