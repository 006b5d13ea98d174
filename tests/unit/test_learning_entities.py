"""Entities: read from a column, learned, judged, and found again by `text.ner`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.training import task_of
from consumers.inference.resources import open_inference
from consumers.inference.settings import InferenceSettings
from consumers.inference.text_ner import find_entities
from consumers.learning import spans
from consumers.learning.finetuning import batches
from consumers.learning.metrics.entities import ENTITY_F1, ENTITY_PRECISION, ENTITY_RECALL
from consumers.learning.model import TrainedModel
from consumers.learning.rows import frame_of
from consumers.learning.table import Table, read_table
from consumers.learning.trainers.transformer import TRANSFORMER
from consumers.runtime.verdicts import Reject
from consumers.training.card import model_card_of
from consumers.training.report import render
from consumers.training.run import train
from consumers.training.settings import TrainingSettings
from schemas.datasets import ColumnType
from schemas.jobs.model_train import TrainModel
from schemas.jobs.text_ner import FindEntities
from schemas.learning import LearningTask, Lineage
from tests.support.encoders import save, tiny_bert
from tests.support.inference import Shelf, task
from tests.support.learned import matrix, problem

SETTINGS = TrainingSettings(threads=1, checkpoint_s=1e6, importances_s=0)
TYPES = {"text": ColumnType.TEXT, "entities": ColumnType.JSON, "source": ColumnType.CATEGORY}
TOOLS, PLACES = ("wheel", "millstone", "shaft", "gear"), ("Zürich", "the Rhône", "Basel", "Uri")
TEXTS = [f"The {tool} of the mill in {place} turns." for tool in TOOLS for place in PLACES]


def annotated(text: str) -> list[dict[str, Any]]:
    return [
        {"start": text.index(word), "end": text.index(word) + len(word), "label": label}
        for label, words in (("tool", TOOLS), ("place", PLACES))
        for word in words
        if word in text
    ]


def asked(**params: Any) -> TrainModel:
    told = {"name": "m", "dataset_id": "0" * 32, "version": "0" * 12, "target": "entities", "trainer": "transformer"}
    config = {"base_model": "base", "epochs": 25, "learning_rate": 4e-3, "frozen_layers": 0, "max_tokens": 24}
    return TrainModel.model_validate(
        {**told, "config": config, "budget_s": 3_600, "split": {"folds": 2}, "memory_mb": 8_192, **params}
    )


def table(folder: Path, entities: list[Any], params: TrainModel) -> Table:
    columns = {
        "text": TEXTS[: len(entities)],
        "entities": [None if each is None else json.dumps(each) for each in entities],
        "source": ["book"] * len(entities),
    }
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return read_table(folder / "table.parquet", TYPES, params)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save(tiny_bert(), tmp_path / "models" / "base")
    monkeypatch.setenv("MILLRACE_INFERENCE_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path


def test_entities_are_read_from_lists_and_one_text_is_the_input(tmp_path: Path) -> None:
    entities: list[Any] = [annotated(text) for text in TEXTS]
    entities[0], entities[1] = None, []
    entities[2] = [*entities[2], {"start": 0, "end": 30, "label": "tool"}]
    found = table(tmp_path, entities, asked(target="entities"))
    assert (found.signature.task, found.signature.classes) == (LearningTask.TOKEN_CLASSIFICATION, ["place", "tool"])
    assert [column.name for column in found.signature.inputs] == ["text"]
    assert found.target.shape == (15, 2, 3)
    assert found.target[0].tolist() == [[-1, -1, -1]] * 2
    assert [tuple(each) for each in found.target[2]] == [(4, 9, 1), (25, 28, 0)]
    assert "have no value in 'entities'" in found.warnings[0]
    assert "2 entities that lie over another one" in found.warnings[1]


@pytest.mark.parametrize(
    ("entities", "says"),
    [
        ([{"start": 4, "end": 9}], r"row 0/0/label: Field required; an entity list is like"),
        ([{"start": 4, "end": 4, "label": "tool"}], "row 0: an entity from 4 to 4 has no characters"),
        ([{"start": 4, "end": 99, "label": "tool"}], "an entity of row 0 ends at 99, and its text has"),
        ([], "no row has an entity"),
    ],
)
def test_what_is_no_list_of_entities_is_refused_and_its_row_named(
    tmp_path: Path, entities: list[Any], says: str
) -> None:
    with pytest.raises(Reject, match=f"^/params/target: .*{says}"):
        table(tmp_path, [entities] * 12, asked(task="token-classification"))


def test_a_second_text_has_to_be_excluded(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"a": TEXTS, "b": TEXTS, "e": [json.dumps(annotated(text)) for text in TEXTS]}), tmp_path / "t"
    )
    types = {"a": ColumnType.TEXT, "b": ColumnType.TEXT, "e": ColumnType.JSON}
    with pytest.raises(Reject, match=r"^/params/exclude: .*'a', 'b' are texts"):
        read_table(tmp_path / "t", types, asked(target="e"))
    assert list(read_table(tmp_path / "t", types, asked(target="e", exclude=["b"])).frame.columns) == ["a"]


def test_metrics_count_what_is_exactly_right() -> None:
    target = np.array([[[0, 4, 0], [6, 9, 1]], [[2, 3, 0], [-1, -1, -1]]], np.int32)
    said = [[(0, 4, 0, 0.9), (6, 8, 1, 0.9)], [(2, 3, 1, 0.9)]]
    predicted = spans.predicted(said, 2, 5)
    assert ENTITY_PRECISION.score(target, predicted) == pytest.approx(1 / 3)
    assert ENTITY_RECALL.score(target, predicted) == pytest.approx(1 / 3)
    assert ENTITY_F1.score(target, predicted) == pytest.approx(1 / 3)
    assert ENTITY_F1.score(target, spans.nothing(2)) == ENTITY_PRECISION.score(target, spans.nothing(2)) == 0
    assert spans.trimmed(predicted).shape == (2, 2, 4)
    assert ENTITY_F1.score(target, np.concatenate([target, target[:, :, :1]], axis=2)) == 1


async def test_a_model_is_trained_judged_and_served(base: Path) -> None:
    params, into = asked(), base / "model.zip"
    read = table(base, [annotated(text) for text in TEXTS], params)
    trained = train(task_of(params), read, SETTINGS, into)
    card = model_card_of(
        trained, params, read.signature,
        Lineage(dataset_id="d", dataset_name="mills", dataset_version="v", table_sha256="0", rows=16, job_id="j",
                code_version="0", seed=0),
        model_id="m", version="v", noticed=[],
    )  # fmt: skip
    assert [(each.name, each.baseline) for each in card.metrics] == [
        ("entity-f1", 0), ("entity-precision", 0), ("entity-recall", 0)
    ]  # fmt: skip
    assert card.metrics[0].value > 0.5
    assert [(each.label, each.actual) for each in card.entities] == [("place", 16), ("tool", 16)]
    assert "Entities by label" in render(card)

    model, threads = TrainedModel.load(into), torch.get_num_threads()
    said = model.predict(frame_of([{"text": text} for text in TEXTS], model.signature)).values
    shelf = Shelf()
    shelf.add("mills", into.read_bytes())
    async with open_inference(
        InferenceSettings(models_dir=base / "models", device="cpu", dtype="float32"), shelf
    ) as inference:
        result = await find_entities.run(task(FindEntities(model="registry:mills", inputs=TEXTS)), inference)
    torch.set_num_threads(threads)
    served = [[each.model_dump(exclude={"text", "score"}) for each in found] for found in result.outputs]
    assert served == [[{key: each[key] for key in ("start", "end", "label")} for each in found] for found in said]
    assert {each["label"] for found in served for each in found} == {"place", "tool"}


def test_interrupted_it_is_the_same_bit_by_bit(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_ROWS", 8)
    params = asked()
    read = table(base, [annotated(text) for text in TEXTS], params)
    wanted = replace(problem(), task=LearningTask.TOKEN_CLASSIFICATION)
    through = TRANSFORMER.start(TRANSFORMER.config(base_model="base", epochs=2), wanted)
    resumed = TRANSFORMER.load(TRANSFORMER.dump(through))
    for _ in range(3):
        through = TRANSFORMER.fit(through, matrix(read.frame), read.target).state
        resumed = TRANSFORMER.load(TRANSFORMER.dump(TRANSFORMER.fit(resumed, matrix(read.frame), read.target).state))
    assert TRANSFORMER.dump(through) == TRANSFORMER.dump(resumed)
