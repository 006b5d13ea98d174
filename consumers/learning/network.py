"""The multi-layer perceptron behind the trainer `mlp`: the only module of learning on tables that loads torch."""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from consumers.learning.archive import ModelBroken
from consumers.learning.frame import Array
from consumers.learning.plugins import Fitted, Problem
from consumers.learning.trainers.mlp import MlpConfig
from schemas.learning import LearningTask

_STEPS = 200
"""Of one chunk, at least: so many batches, in whole epochs."""
_PER_CHUNK = 1_000_003
"""Between the seeds of chunks; a prime, so that those of neighbouring seeds do not meet."""


@dataclass(frozen=True)
class State:
    config: MlpConfig
    problem: Problem
    epochs: int = 0
    """How many are done."""
    weights: dict[str, Tensor] | None = None
    moments: dict[str, Tensor] | None = None
    """Of AdamW, by parameter: `0.exp_avg` and so on."""
    centre: float = 0.0
    """Of the target of a regression, as is the scale."""
    scale: float = 1.0
    network: nn.Module | None = None
    """With these weights, to answer."""


def chunk(state: State, values: Array, target: Array) -> Fitted[State]:
    """Some epochs. Whatever is drawn follows from the seed and the number of epochs done, so that nothing of a
    generator has to be kept."""
    torch.set_num_threads(state.problem.threads)
    if state.weights is None and not state.problem.classes:
        state = replace(state, centre=float(target.mean()), scale=float(target.std()) or 1.0)
    config = state.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(state.problem.seed + _PER_CHUNK * state.epochs)
        network = _network(config, values.shape[1], state.problem)
        optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        _restore(state, network, optimizer)
        inputs, wanted = torch.from_numpy(values).float(), _wanted(state, target)
        steps = math.ceil(len(values) / config.batch)
        until = min(config.epochs, state.epochs + math.ceil(_STEPS / steps))
        network.train()
        for epoch in range(state.epochs, until):
            for step, rows in enumerate(torch.split(torch.randperm(len(values)), config.batch)):
                _descend(
                    network, optimizer, inputs[rows], wanted[rows], (epoch + step / steps) / config.epochs, state
                )
    fitted = replace(
        state,
        epochs=until,
        weights={name: tensor.detach() for name, tensor in network.state_dict().items()},
        moments={
            f"{number}.{name}": tensor
            for number, kept in optimizer.state_dict()["state"].items()
            for name, tensor in kept.items()
        },
        network=network.eval(),
    )
    return Fitted(fitted, until / config.epochs)


def answers(state: State, values: Array) -> Array:
    assert state.network is not None, "nothing is fitted yet"  # noqa: S101  # the caller's mistake
    with torch.inference_mode():
        found = state.network(torch.from_numpy(values).float()).double()
        if not state.problem.classes:
            return np.asarray(found[:, 0].numpy() * state.scale + state.centre)
        return np.asarray(found.softmax(dim=1).numpy())


def dump(state: State) -> bytes:
    about = {
        "config": state.config.model_dump(),
        "problem": {**asdict(state.problem), "task": str(state.problem.task)},
        "epochs": state.epochs,
        "centre": state.centre,
        "scale": state.scale,
    }
    tensors = {f"weights.{name}": tensor for name, tensor in (state.weights or {}).items()}
    tensors |= {f"moments.{name}": tensor for name, tensor in (state.moments or {}).items()}
    return save_tensors(tensors, {"state": json.dumps(about)})


def load(content: bytes) -> State:
    """Raises ModelBroken."""
    try:
        about = json.loads(_metadata(content)["state"])
        tensors = load_tensors(content)
        config = MlpConfig.model_validate(about["config"])
        problem = Problem(**{**about["problem"], "task": LearningTask(about["problem"]["task"])})
        state = State(config, problem, about["epochs"], centre=about["centre"], scale=about["scale"])
        return _with(state, _under("weights.", tensors), _under("moments.", tensors)) if tensors else state
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ModelBroken(f"a network does not load: {error}") from None


def _with(state: State, weights: dict[str, Tensor], moments: dict[str, Tensor]) -> State:
    network = _network(state.config, weights["0.weight"].shape[1], state.problem)
    network.load_state_dict(weights)
    return replace(state, weights=weights, moments=moments, network=network.eval())


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _metadata(content: bytes) -> dict[str, str]:
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return found


def _network(config: MlpConfig, features: int, problem: Problem) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(config.layers):
        parts += [
            nn.Linear(features, config.width),
            nn.LayerNorm(config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        ]
        features = config.width
    return nn.Sequential(*parts, nn.Linear(features, max(1, problem.classes)))


def _restore(state: State, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if state.weights is None or state.moments is None:
        return
    network.load_state_dict(state.weights)
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.moments.items():
        number, what = name.split(".", 1)
        kept.setdefault(int(number), {})[what] = tensor.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": kept})


def _wanted(state: State, target: Array) -> Tensor:
    if state.problem.classes:
        return torch.from_numpy(target)
    return torch.from_numpy((target - state.centre) / state.scale).float()


def _descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, wanted: Tensor, done: float, state: State
) -> None:
    """One step; `done` is the share of all steps before it."""
    optimizer.param_groups[0]["lr"] = state.config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    said = network(inputs)
    loss: Any = nn.functional.cross_entropy if state.problem.classes else nn.functional.mse_loss
    optimizer.zero_grad(set_to_none=True)
    loss(said if state.problem.classes else said[:, 0], wanted).backward()
    optimizer.step()
