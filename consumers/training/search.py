"""The search: trial after trial, each cross-validated, until the time is up or everything was tried."""

import time
import traceback
from collections.abc import Callable

import numpy as np

from consumers.learning.frame import Array
from consumers.learning.plugins import Config
from consumers.training.bench import Bench
from consumers.training.fitting import TrialFailed, fit_judged
from consumers.training.logbook import Logbook
from consumers.training.memory import is_of_memory
from consumers.training.proposals import BASELINE, Proposal
from consumers.training.splits import Rows
from consumers.training.state import Fit, FoldScore, Running, State, Trial

Propose = Callable[[list[Trial]], Proposal | None]

_HOPELESS = 0.7
"""A trial is given up when its first folds gain less than this share of what the best gains there over the
baseline."""
_MOST_KEPT, _MOST_KEPT_BYTES = 20, 64_000_000
"""Predictions that are kept for the ensemble, and for checkpoints to carry."""


class Enough(Exception):
    """The time is up in the middle of a trial, and there is another one to show."""


class Search:
    def __init__(self, bench: Bench, propose: Propose, log: Logbook, max_trials: int | None) -> None:
        self._bench, self._propose, self._log, self._most = bench, propose, log, max_trials
        self._state: State = log.state
        self._validated: Rows = bench.division.validated

    def run(self) -> None:
        state = self._state
        while not state.ended:
            try:
                if not self._another():
                    state.ended = True
            except Enough:
                state.running, state.ended = None, True

    def drop_what_ran(self, why: str) -> None:
        """Whatever was under way has taken its process with it: a trial, or what a trial was chosen for."""
        state = self._state
        if state.running is not None:
            self._conclude(state.running, failure=why)
        elif state.fitting is not None:
            self.drop(int(state.fitting[0].rpartition("/")[2]), why)

    def drop(self, number: int, why: str) -> None:
        """A trial that was chosen, and cannot be fitted: the next best take its place."""
        state = self._state
        state.trials[number] = state.trials[number].model_copy(update={"failure": why})
        del state.predictions[number]
        state.fitting = None

    def _another(self) -> bool:
        if self._state.running is None:
            proposal = None if self._enough() else self._propose(self._state.trials)
            if proposal is None:
                return False
            self._state.running = Running(self._begun(proposal))
        running = self._state.running
        self._log.turn()
        try:
            hopeless = self._validate(running)
        except Enough:
            raise
        except TrialFailed as error:
            self._conclude(running, failure=str(error))
        except Exception as error:  # noqa: BLE001  # a trainer may raise anything; the search goes on without it
            self._conclude(running, failure=_described(error))
        else:
            self._conclude(running, pruned=hopeless)
        return True

    def _enough(self) -> bool:
        full = self._most is not None and len(self._state.trials) >= self._most
        return full or (self._log.over and self._has_found())

    def _has_found(self) -> bool:
        """Whether anything that looks at its input is finished: a model that does not is no answer."""
        return any(trial.finished and trial.trainer != BASELINE for trial in self._state.trials)

    def _begun(self, proposal: Proposal) -> Trial:
        return Trial(
            number=len(self._state.trials),
            trainer=proposal.trainer,
            config=proposal.config.model_dump(mode="json"),
            params=proposal.params,
            distributions=proposal.distributions,
        )

    def _validate(self, running: Running) -> bool:
        """Fold after fold; whether it was given up."""
        bench, trial = self._bench, running.trial
        trainer = bench.trainers[trial.trainer]
        config: Config = trainer.config.model_validate(trial.config)
        for fold in bench.division.folds[len(trial.folds) :]:
            self._log.turn()
            began = time.monotonic()
            running.fit = running.fit or Fit(trial.trainer)
            train, valid = bench.matrices(trainer.encoding, fold.train, fold.valid)
            score, predicted = fit_judged(
                running.fit,
                trainer,
                config,
                bench.problem,
                (train, bench.target[fold.train]),
                (valid, bench.target[fold.valid]),
                bench.loss,
                self._between,
            )
            trial.folds.append(score)
            trial.seconds += time.monotonic() - began
            running.predicted.append(predicted)
            running.fit = None
            self._tell(trial)
            if self._hopeless(trial) and len(trial.folds) < len(bench.division.folds):
                return True
        return False

    def _between(self) -> bool:
        """Whether a fit has to do with the chunks that it has."""
        self._log.tick()
        if self._log.over and self._has_found():
            raise Enough
        return self._log.over

    def _hopeless(self, trial: Trial) -> bool:
        done = len(trial.folds)
        finished = [each for each in self._state.trials if each.finished]
        baseline = next((each for each in finished if each.trainer == BASELINE), None)
        if baseline is None or trial.trainer == BASELINE:
            return False
        best = min(_mean(each.folds[:done]) for each in finished)
        most = _mean(baseline.folds[:done]) - best
        return most > 0 and _mean(baseline.folds[:done]) - _mean(trial.folds) < _HOPELESS * most

    def _conclude(self, running: Running, *, failure: str | None = None, pruned: bool = False) -> None:
        state = self._state
        trial = running.trial.model_copy(update={"failure": failure, "pruned": pruned})
        state.trials.append(trial)
        state.running = None
        if trial.finished:
            state.predictions[trial.number] = self._out_of_fold(running.predicted)
            self._forget()
        self._tell(trial)

    def _out_of_fold(self, predicted: list[Array]) -> Array:
        """In the order of the validated rows; the mean over repeats."""
        out = np.zeros((len(self._validated), *predicted[0].shape[1:]), dtype=np.float32)
        times = np.zeros(len(self._validated), dtype=np.float32)
        for fold, each in zip(self._bench.division.folds, predicted, strict=True):
            places = np.searchsorted(self._validated, fold.valid)
            out[places] += each
            times[places] += 1
        return out / times.reshape(-1, *[1] * (out.ndim - 1))

    def _forget(self) -> None:
        """Keep the predictions of the best."""
        kept = self._state.predictions
        most = min(_MOST_KEPT, max(3, _MOST_KEPT_BYTES // next(iter(kept.values())).nbytes))
        ranked = sorted(kept, key=lambda number: (self._state.trials[number].loss, number))
        for number in ranked[most:]:
            del kept[number]

    def _tell(self, trial: Trial) -> None:
        finished = [each.loss for each in self._state.trials if each.finished]
        where = f"trial {trial.number + 1}, {trial.trainer}"
        if trial.failure is not None:
            message = f"{where}: failed"
        else:
            best = f" (best {self._shown(min(finished))})" if finished else ""
            message = f"{where}: {self._shown(trial.loss)}{best}"
        self._log.tell(0.9 * min(1.0, self._log.searched(len(self._state.trials), self._most)), message)

    def _shown(self, loss: float) -> str:
        return f"{-loss if self._bench.metric.greater_is_better else loss:.4g}"


def _mean(folds: list[FoldScore]) -> float:
    return float(np.mean([fold.loss for fold in folds]))


def _described(error: Exception) -> str:
    if is_of_memory(error):
        return "it needs more memory than the job may take"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:300]} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
