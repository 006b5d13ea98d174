"""The search: the same in every run, whatever kills it, and never stopped by one bad trial."""

from collections.abc import Callable

import numpy as np
import pytest

from consumers.training.bench import Bench
from consumers.training.logbook import Logbook
from consumers.training.proposals import Proposals
from consumers.training.search import Search
from consumers.training.state import State
from tests.support.learning import Broken, Gradient, Prior, wine_bench


class Killed(BaseException):
    """The process is gone."""


def searched(
    bench: Bench,
    state: State,
    *,
    keep: Callable[[bytes], None] = lambda _content: None,
    max_trials: int | None = 8,
    budget_s: float = 1e6,
    finishing: Callable[[], bool] = lambda: False,
    every_s: float = 0.0,
    now: Callable[[], float] = lambda: 0.0,
) -> list[str]:
    told: list[str] = []
    log = Logbook(
        state,
        bench.trainers,
        keep=keep,
        tell=lambda _fraction, message, _left: told.append(message),
        finishing=finishing,
        budget_s=budget_s,
        every_s=every_s,
        now=now,
    )
    proposals = Proposals(bench.trainers, bench.problem, bench.frame.rows, bench.problem.seed)
    Search(bench, proposals.next, log, max_trials).run()
    return told


def outcome(state: State) -> object:
    trials = [trial.model_dump(exclude={"seconds"}) for trial in state.trials]
    return trials, {number: each.tobytes() for number, each in state.predictions.items()}


@pytest.fixture(scope="module")
def uninterrupted() -> State:
    state = State()
    searched(wine_bench(), state)
    return state


def test_the_baseline_and_the_defaults_come_first_and_the_search_improves_on_them(uninterrupted: State) -> None:
    trials = uninterrupted.trials
    assert [trial.trainer for trial in trials[:3]] == ["dummy", "gradient", "gradient"]
    assert trials[1].config == {"rate": 0.5, "chunks": 6}
    assert not trials[1].params
    assert trials[2].params
    assert min(trial.loss for trial in trials) < trials[1].loss < trials[0].loss
    assert len({str(trial.config) for trial in trials[1:]}) == len(trials) - 1, "nothing is tried twice"


def test_it_is_the_same_in_every_run_and_another_for_another_seed(uninterrupted: State) -> None:
    again, other = State(), State()
    searched(wine_bench(), again)
    searched(wine_bench(seed=1), other)
    assert outcome(again) == outcome(uninterrupted)
    assert [trial.config for trial in other.trials] != [trial.config for trial in uninterrupted.trials]


def test_killed_at_every_checkpoint_it_goes_on_as_if_nothing_had_happened(uninterrupted: State) -> None:
    kept: list[bytes] = [State().dump(lambda _fit: b"")]
    resumptions = 0

    def killing(content: bytes) -> None:
        kept.append(content)
        if len(kept) % 7 == 0:
            raise Killed

    state = State()
    while not state.ended:
        state = State.load(kept[-1])
        resumptions += 1
        try:
            searched(wine_bench(), state, keep=killing)
        except Killed:
            continue
    assert resumptions > 6
    assert outcome(state) == outcome(uninterrupted)


def test_every_single_checkpoint_leads_to_the_same_end(uninterrupted: State) -> None:
    kept: list[bytes] = []
    searched(wine_bench(), State(), keep=kept.append)
    assert len(kept) > 40
    for content in kept[:: len(kept) // 6]:
        state = State.load(content)
        searched(wine_bench(), state)
        assert outcome(state) == outcome(uninterrupted)


def test_a_failing_trial_is_recorded_and_the_search_goes_on() -> None:
    state = State()
    told = searched(wine_bench((Prior, Gradient, Broken)), state, max_trials=12)
    failed = [trial for trial in state.trials if trial.failure]
    assert {trial.trainer for trial in failed} == {"broken"}
    assert failed[0].failure == "it predicts what is no number"
    assert any("broken: failed" in message for message in told)
    assert len(state.trials) == 12


def test_a_trial_that_takes_its_process_with_it_is_dropped() -> None:
    kept: list[bytes] = []
    bench = wine_bench()
    searched(bench, State(), keep=kept.append)
    state = State.load(kept[20])
    assert state.running is not None
    number = state.running.trial.number
    log = Logbook(state, bench.trainers, keep=kept.append, tell=lambda *_: None, budget_s=1e6, every_s=0)
    search = Search(bench, lambda _history: None, log, None)
    search.drop_what_ran("it took its process with it")
    assert state.trials[number].failure == "it took its process with it"


def test_a_budget_that_is_over_leaves_the_first_model_that_looks_at_its_input() -> None:
    state = State()
    searched(wine_bench(), state, budget_s=1e-9, now=iter(range(10_000)).__next__)
    assert [trial.trainer for trial in state.trials] == ["dummy", "gradient"]
    assert [fold.fraction for fold in state.trials[1].folds] == pytest.approx([1 / 6] * 3)
    assert state.ended
    assert state.running is None


def test_finishing_keeps_the_trials_that_are_done_and_drops_the_one_under_way() -> None:
    state = State()
    searched(wine_bench(), state, finishing=lambda: len(state.trials) == 5, max_trials=None)
    assert len(state.trials) == 5
    assert state.running is None


def test_time_of_earlier_attempts_counts() -> None:
    state = State(elapsed_s=90.0)
    searched(wine_bench(), state, budget_s=80.0)
    assert len(state.trials) == 2


def test_progress_tells_trial_score_and_best() -> None:
    told = searched(wine_bench(), State(), max_trials=3)
    assert told[-1].startswith("trial 3, gradient: 0.")
    assert "(best 0." in told[-1]


def test_predictions_out_of_fold_are_those_of_the_validated_rows(uninterrupted: State) -> None:
    bench = wine_bench()
    best = min(uninterrupted.predictions, key=lambda number: uninterrupted.trials[number].loss)
    found = uninterrupted.predictions[best]
    assert found.shape == (178, 3)
    assert found.dtype == np.float32
    assert np.mean(found.argmax(axis=1) == bench.target[bench.division.validated]) > 0.9
