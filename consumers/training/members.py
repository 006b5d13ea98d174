"""The models behind the answer: the chosen trials, fitted on all the rows that they may see."""

from collections.abc import Callable, Mapping
from typing import Any

from consumers.learning.features import Features
from consumers.learning.frame import Array, Frame
from consumers.learning.model import Member, TrainedModel
from consumers.learning.plugins import Encoding, Matrix
from consumers.training.bench import Bench
from consumers.training.fitting import fit_for
from consumers.training.logbook import Logbook
from consumers.training.memory import is_of_memory
from consumers.training.splits import Rows
from consumers.training.state import Fit
from schemas.learning import Signature

FitFeatures = Callable[[Frame, Array, Encoding], tuple[Features, Matrix]]


class DoesNotFit(Exception):
    """A chosen trial needs more memory than there is, on the rows that its model is fitted on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"trial {number}")
        self.number = number


class Members:
    """What is fitted is kept in the state, and not fitted again after a resumption."""

    def __init__(
        self, bench: Bench, fit_features: FitFeatures, signature: Signature, typical: Mapping[str, Any], log: Logbook
    ) -> None:
        self._bench, self._fit_features, self._log = bench, fit_features, log
        self._signature, self._typical = signature, typical

    def fitted(self, purpose: str, weights: Mapping[int, float], rows: Rows) -> TrainedModel:
        """`purpose` tells those apart that are fitted on different rows. Raises DoesNotFit."""
        frame, target = self._bench.frame.take(rows), self._bench.target[rows]
        members: dict[int, Member] = {}
        for encoding, numbers in self._by_encoding(weights).items():
            fitting = numbers[0]
            try:
                features, matrix = self._fit_features(frame, target, encoding)
                for fitting in numbers:
                    name = self._log.state.trials[fitting].trainer
                    self._log.tell(0.92, f"fitting {name} on {frame.rows:,} rows")
                    # Loaded in every case: a model that was interrupted must not differ from one that was not.
                    content = self._content(f"{purpose}/{fitting}", fitting, matrix, target)
                    members[fitting] = Member(
                        name, self._bench.trainers[name].load(content), features, weights[fitting]
                    )
            except Exception as error:
                if not is_of_memory(error):
                    raise
                raise DoesNotFit(fitting) from None
        return TrainedModel(self._signature, [members[number] for number in weights], self._typical)

    def _by_encoding(self, weights: Mapping[int, float]) -> dict[Encoding, list[int]]:
        """So that one matrix is in memory at a time."""
        found: dict[Encoding, list[int]] = {}
        for number in weights:
            trainer = self._bench.trainers[self._log.state.trials[number].trainer]
            found.setdefault(trainer.encoding, []).append(number)
        return found

    def _content(self, key: str, number: int, matrix: Matrix, target: Array) -> bytes:
        state, trial = self._log.state, self._log.state.trials[number]
        if key in state.members:
            return state.members[key]
        if state.fitting is None or state.fitting[0] != key:
            state.fitting = (key, Fit(trial.trainer))
        self._log.turn()
        trainer = self._bench.trainers[trial.trainer]
        config = trainer.config.model_validate(trial.config)
        content = fit_for(
            state.fitting[1], trial.fraction, trainer, config, self._bench.problem, (matrix, target), self._log.tick
        )
        state.members[key], state.fitting = content, None
        return content
