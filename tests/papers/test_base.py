from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from soundness.papers.base import Expectation, Finding, State, difference, find, make_once, overall


def found(values: Sequence[float | None], above: float = 0.1, below: float = 0.0, role: str = "claim") -> Finding:
    return find(Expectation("f", "it rises", "points", above, below, role), [{"figures": {"f": value}} for value in values])


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ((0.5, 0.6, 0.55), State.CONFIRMED),
        ((-0.5, -0.6, -0.55), State.REFUTED),
        ((0.02, 0.06, 0.04), State.NOT_REACHED),  # between the bounds
        ((0.5, -0.4, 0.6), State.NOT_REACHED),  # too far apart
        ((0.5, None, 0.6), State.NOT_REACHED),
        ((0.5,), State.NOT_REACHED),  # one seed has no interval
        ((None, None), State.NOT_REACHED),
    ],
)
def test_the_state_is_where_the_interval_lies(values, state):
    assert found(values).state is state


def test_what_could_not_be_computed_has_no_interval_and_is_no_zero():
    one = found((0.5, None, 0.6))
    assert (one.low, one.high) == (None, None)
    assert one.mean == pytest.approx(0.55)
    assert one.values == (0.5, None, 0.6)
    assert found((None, None)).mean is None


def test_a_difference_needs_both() -> None:
    assert difference(3.0, 1.0) == 2.0
    assert difference(0.0, 0.0) == 0.0
    assert difference(None, 1.0) is None and difference(3.0, None) is None


def test_what_is_made_is_kept_and_not_made_again(tmp_path: Path) -> None:
    made = []

    def make(value: float = 0.1) -> dict[str, float]:
        made.append(value)
        return {"value": value}

    path = tmp_path / "found.json"
    assert make_once(path, make) == make_once(path, make) == {"value": 0.1}
    assert made == [0.1]
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_once(tmp_path / "other.json", lambda: make(float("nan")))
    assert [one.name for one in tmp_path.iterdir()] == ["found.json"]


def test_the_whole_needs_every_premise_and_every_part():
    yes, no, undecided = found((0.5, 0.6, 0.55)), found((-0.5, -0.6, -0.55)), found((0.5,))
    premise, failed = found((0.5, 0.6, 0.55), role="premise"), found((-0.5, -0.6, -0.55), role="premise")
    watched = found((-0.5, -0.6, -0.55), role="observation")
    assert overall([yes, premise, watched]) is State.CONFIRMED
    assert overall([yes, no, premise]) is State.REFUTED
    assert overall([yes, undecided]) is State.NOT_REACHED
    assert overall([no, failed]) is State.NOT_REACHED
    with pytest.raises(AssertionError):
        overall([premise, watched])
