from hypothesis import given
from hypothesis import strategies as st

from schemas.lifecycle import MAX_ATTEMPT, MAX_GENERATION, MAX_SEQUENCE, JobState, Position

positions = st.builds(
    Position.of,
    st.sampled_from(JobState),
    generation=st.integers(0, MAX_GENERATION),
    attempt=st.integers(1, MAX_ATTEMPT),
    sequence=st.integers(0, MAX_SEQUENCE),
)


@given(positions, positions)
def test_orders_compare_like_positions(one: Position, other: Position) -> None:
    assert (one.order < other.order) == (one < other)


@given(positions)
def test_an_order_is_exact_as_a_javascript_number(position: Position) -> None:
    assert 0 <= position.order < 2**50


@given(st.integers(1, MAX_ATTEMPT), st.integers(1, MAX_ATTEMPT))
def test_nothing_but_a_replay_follows_an_end(ended_in: int, straggler: int) -> None:
    end = Position.of(JobState.SUCCEEDED, generation=0, attempt=ended_in)
    for state in (JobState.QUEUED, JobState.RUNNING):
        assert Position.of(state, generation=0, attempt=straggler).order < end.order
        assert Position.of(state, generation=1, attempt=1).order > end.order


def test_two_ends_of_one_generation_are_equal_so_the_first_stands() -> None:
    ends = [Position.of(s, generation=0, attempt=a).order for s in JobState if s.terminal for a in (1, 5)]
    assert len(set(ends)) == 1
