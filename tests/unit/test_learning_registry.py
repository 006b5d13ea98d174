"""Plugins are found, and a bad one says what is wrong with it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consumers.learning.plugins import Metric, Preprocessor, Trainer
from consumers.learning.registry import (
    Found,
    chosen,
    configured,
    descriptions,
    metrics,
    preprocessors,
    registered,
    trainers,
)
from consumers.runtime.verdicts import Reject
from schemas.plugins import PluginKind

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "millrace-example-plugin"


class Half(Metric):
    """Always a half."""

    name = "half"
    greater_is_better = True

    def score(self, target: Any, predicted: Any) -> float:
        return 0.5


class BadName(Half):
    """Named as nothing may be."""

    name = "Half Price"


class Silent(Half):
    __doc__ = None


def test_ours_are_found() -> None:
    assert set(trainers()) >= {
        "dummy",
        "linear",
        "random-forest",
        "extra-trees",
        "hist-gradient-boosting",
        "lightgbm",
        "mlp",
        "neighbors",
    }
    assert set(preprocessors()) == {"numbers", "categories", "dates", "texts", "text-embedding"}
    assert {"log-loss", "roc-auc", "rmse", "r2"} <= set(metrics())
    assert all(isinstance(each, Trainer) for each in trainers().values())
    assert all(isinstance(each, Preprocessor) for each in preprocessors().values())


def test_a_description_says_what_can_be_set() -> None:
    found = {(each.kind, each.name): each for each in descriptions()}
    boosting = found[PluginKind.TRAINER, "hist-gradient-boosting"]
    assert boosting.package.startswith("millrace ")
    assert boosting.config_schema["properties"]["iterations"]["default"] == 100  # type: ignore[index,call-overload]
    assert boosting.summary.startswith("Trees fitted")


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([Found(Half(), "a", "x 1"), Found(Half(), "b", "y 1")], "declared by both a and b"),
        ([Found(BadName(), "a", "x 1")], "'Half Price' is no name of a metric"),
        ([Found(Half, "a", "x 1")], "a must be an instance of Metric"),
        ([Found(Silent(), "a", "x 1")], "a needs a docstring"),
    ],
)
def test_a_bad_plugin_dies_at_once(found: list[Found], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        registered(PluginKind.METRIC, found)


def test_a_wrong_setting_is_named() -> None:
    boosting = chosen(trainers(), "lightgbm", "/params/trainer")
    with pytest.raises(Reject, match=r"/params/config/num_leaves: .*greater than.*; /params/config/nope: Extra"):
        configured(boosting, {"num_leaves": 1, "nope": 2}, "/params/config")


def test_an_unknown_plugin_is_named_with_those_that_there_are() -> None:
    with pytest.raises(Reject, match="/params/trainer: there is no 'magic'; known are dummy, extra-trees"):
        chosen(trainers(), "magic", "/params/trainer")


TRAINS = """
import numpy as np
from consumers.learning.frame import Frame
from consumers.learning.plugins import Matrix, Problem
from consumers.learning.registry import descriptions, metrics, trainers
from schemas.learning import LearningTask
bayes = trainers()["naive-bayes"]
values = np.array([[0.0], [0.1], [5.0], [5.1]])
data = Matrix(values, [], ["x"], Frame({"x": values[:, 0]}, 4))
state = bayes.start(bayes.config(), Problem(LearningTask.BINARY, 2, 0, 1))
state = bayes.load(bayes.dump(bayes.fit(state, data, np.array([0, 0, 1, 1])).state))
assert bayes.predict(state, data).argmax(axis=1).tolist() == [0, 0, 1, 1]
assert "within-ten-percent" in metrics()
print(*(each.package for each in descriptions() if each.name == "naive-bayes"))
"""


def test_an_installed_package_brings_plugins(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path), str(EXAMPLE)], check=True, capture_output=True)
    root = EXAMPLE.parents[2]
    path = {"PYTHONPATH": f"{tmp_path}:{root}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", TRAINS], cwd=root, env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "millrace-example-plugin 1.0.0"
