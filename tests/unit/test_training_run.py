"""A training with the real trainers, in this process: what it refuses, and that no kill changes the model."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn import datasets

from benchmarks.training import task_of, types_of
from consumers.learning.model import TrainedModel
from consumers.learning.table import Table, read_table
from consumers.runtime.verdicts import Reject
from consumers.training import members
from consumers.training.advice import warnings
from consumers.training.card import model_card_of
from consumers.training.fitting import fit_for
from consumers.training.memory import bounded
from consumers.training.report import render
from consumers.training.run import Trained, train
from consumers.training.settings import TrainingSettings
from consumers.training.state import Fit
from schemas.jobs.model_train import TrainModel
from schemas.learning import Lineage, Splitting
from schemas.model_card import MetricValue, ModelCard
from tests.unit.test_training_search import Killed

SETTINGS = TrainingSettings(threads=1, checkpoint_s=0, importances_s=0)


def asked(**params: Any) -> TrainModel:
    told = {"name": "m", "dataset_id": "0" * 32, "version": "0" * 12, "target": "target", "max_trials": 4}
    return TrainModel.model_validate({**told, "budget_s": 3_600, "split": {"folds": 2}, **params})


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    bunch = datasets.load_wine(as_frame=True)
    frame = bunch.frame[["alcohol", "flavanoids", "proline", "target"]]
    frame = frame.assign(target=[str(bunch.target_names[each]) for each in frame["target"]])
    path = tmp_path_factory.mktemp("wine") / "wine.parquet"
    frame.to_parquet(path, index=False)
    return path, frame


def read(wine: tuple[Path, pd.DataFrame], params: TrainModel) -> Table:
    return read_table(wine[0], types_of(wine[1]), params)


@pytest.fixture(scope="module")
def undisturbed(
    wine: tuple[Path, pd.DataFrame], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Trained, bytes, list[bytes]]:
    params, kept = asked(), list[bytes]()
    into = tmp_path_factory.mktemp("model") / "model.zip"
    trained = train(task_of(params, checkpoint=kept.append), read(wine, params), SETTINGS, into)
    return trained, into.read_bytes(), kept


def test_the_model_is_the_same_file_wherever_it_was_killed(
    wine: tuple[Path, pd.DataFrame], undisturbed: tuple[Trained, bytes, list[bytes]], tmp_path: Path
) -> None:
    _, expected, checkpoints = undisturbed
    params, resumptions = asked(), 0
    kept: list[bytes | None] = [None]
    into = tmp_path / "model.zip"

    def killing(content: bytes) -> None:
        kept.append(content)
        if len(kept) % (len(checkpoints) // 6) == 0:
            raise Killed

    while not into.exists():
        resumptions += 1
        task = task_of(params, checkpoint=killing, resumed_from=kept[-1])
        try:
            train(task, read(wine, params), SETTINGS, into)
        except Killed:
            continue
    assert resumptions >= 6
    assert into.read_bytes() == expected


def test_what_was_measured_and_what_is_told(
    wine: tuple[Path, pd.DataFrame], undisturbed: tuple[Trained, bytes, list[bytes]], tmp_path: Path
) -> None:
    trained, content, _ = undisturbed
    params = asked()
    table = read(wine, params)
    origin = Lineage(
        dataset_id="0" * 32, dataset_name="wine", dataset_version="0" * 12, table_sha256="0" * 64, rows=178,
        job_id="0" * 32, code_version="1", seed=0,
    )  # fmt: skip
    card = model_card_of(trained, params, table.signature, origin, model_id="m", version="v", noticed=["a <b>"])
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert (card.metrics[0].name, card.estimated_by, card.evaluated_rows) == ("log-loss", "cross-validation", 178)
    for each in card.metrics:
        assert each.low is not None
        assert each.high is not None
        assert each.low <= each.value <= each.high
        assert (each.value > each.baseline) is each.greater_is_better
    assert card.confusion is not None
    assert sum(map(sum, card.confusion.counts)) == 178
    assert len(card.roc) == len(card.precision_recall) == len(card.calibration) == 3
    assert {each.column for each in card.importances} == {"alcohol", "flavanoids", "proline"}
    assert sum(trial.weight for trial in card.trials) == pytest.approx(1)
    assert "The figures come from 178 rows" in card.warnings[1]
    page = render(card)
    assert "a &lt;b&gt;" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    (tmp_path / "model.zip").write_bytes(content)
    model = TrainedModel.load(tmp_path / "model.zip")
    assert model.signature.classes == ["class_0", "class_1", "class_2"]


def test_what_does_not_fit_on_all_rows_makes_place_for_the_next_best(
    wine: tuple[Path, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, given_up = asked(max_trials=3), set[str]()

    def fit(fit: Fit, *told: Any) -> bytes:
        if fit.trainer in (given_up or {fit.trainer}):
            given_up.add(fit.trainer)
            raise MemoryError
        return fit_for(fit, *told)

    monkeypatch.setattr(members, "fit_for", fit)
    table = read(wine, params)
    trained = train(task_of(params), table, SETTINGS, tmp_path / "model.zip")
    [name] = given_up
    chosen = {trained.state.trials[number].trainer for number in trained.weights}
    assert chosen
    assert name not in chosen
    assert {member.trainer for member in TrainedModel.load(tmp_path / "model.zip").members} == chosen
    measured = trained.evaluated
    best = MetricValue(name="accuracy", value=0.9, baseline=0.4, greater_is_better=True)
    told = warnings(table.signature, params.split, measured.target, best, [], trained.state.trials)
    assert (
        f"A better model was given up ({name}): fitted on all rows it needs more than memory_mb. Allow more." in told
    )
    assert not any("trials failed" in each for each in told)


@pytest.mark.parametrize(
    ("pointer", "params"),
    [
        ("/params/target: there is no column", {"target": "colour"}),
        ("/params/trainer: there is no", {"trainer": "wishful"}),
        ("/params/metric: there is no", {"metric": "wishful"}),
        ("/params/metric: 'rmse' does not measure a multiclass task", {"metric": "rmse"}),
        ("/params/config/trees", {"trainer": "hist-gradient-boosting", "config": {"trees": 3}}),
        ("/params/config: auto chooses", {"config": {"iterations": 3}}),
        ("/params/split/column", {"split": Splitting(kind="time", column="year")}),
        ("/params/split/column: .* needs", {"split": Splitting(kind="time")}),
        ("/params/preprocess/0/use", {"preprocess": [{"use": "wishful", "columns": ["alcohol"]}]}),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    wine: tuple[Path, pd.DataFrame], tmp_path: Path, pointer: str, params: dict[str, Any]
) -> None:
    told = asked(**params)
    with pytest.raises(Reject, match=pointer):
        train(task_of(told), read(wine, told), SETTINGS, tmp_path / "model.zip")


def _data_mib() -> int:
    """What this process has already: the tests that ran before it in the same process count too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) // 1024


def test_memory_that_is_too_little_is_refused() -> None:
    with pytest.raises(Reject, match="/params/memory_mb: 256 MiB are too little"), bounded(256):
        pass
    enough_for_the_libraries = _data_mib() + 512
    with pytest.raises(Reject, match="are too little: the table"), bounded(enough_for_the_libraries):
        bytearray(8 * 2**30)
    bytearray(2**20)
