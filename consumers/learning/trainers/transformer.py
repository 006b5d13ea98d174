"""Fine-tuning of an encoder: what `consumers.learning.finetuning.recipe` does, as a plugin.

The recipe imports transformers, which takes seconds that every process would pay that looks for plugins.
"""

from typing import TYPE_CHECKING, Any

from consumers.learning.finetuning.config import FineTuningConfig
from consumers.learning.frame import Array
from consumers.learning.plugins import Encoding, Fitted, Matrix, Problem, Trainer
from schemas.learning import LearningTask

if TYPE_CHECKING:
    from consumers.learning.finetuning.state import FineTuning


class Transformer(Trainer[FineTuningConfig, "FineTuning"]):
    """A pretrained encoder with a new head, trained further on texts, or on entities in them: reads more than words.

    On a CPU a resumed training is bit-identical; on a GPU sums come in any order, and it is the same up to rounding.
    """

    name = "transformer"
    config = FineTuningConfig
    encoding = Encoding.RAW
    tasks = frozenset({LearningTask.TEXT_CLASSIFICATION, LearningTask.TOKEN_CLASSIFICATION})

    def start(self, config: FineTuningConfig, problem: Problem) -> "FineTuning":
        """Raises Reject for a base model that is not allowed, not there or not readable."""
        from consumers.learning.finetuning import recipe

        return recipe.start(config, problem)

    def fit(self, state: "FineTuning", data: Matrix, target: Array) -> "Fitted[FineTuning]":
        from consumers.learning.finetuning import recipe

        return recipe.fit(state, data.frame, target)

    def predict(self, state: "FineTuning", data: Matrix) -> Array:
        from consumers.learning.finetuning import recipe

        return recipe.predict(state, data.frame)

    def dump(self, state: "FineTuning") -> bytes:
        return state.dump()

    def load(self, content: bytes) -> "FineTuning":
        from consumers.learning.finetuning.state import loaded

        return loaded(content)

    def suggest(self, trial: Any, problem: Problem, rows: int) -> FineTuningConfig:
        return FineTuningConfig(
            learning_rate=trial.suggest_float("learning_rate", 2e-5, 5e-4, log=True),
            epochs=trial.suggest_int("epochs", 1, 6),
            frozen_layers=trial.suggest_int("frozen_layers", 0, 3),
        )


TRANSFORMER = Transformer()
