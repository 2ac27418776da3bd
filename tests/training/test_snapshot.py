from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.errors import MetricError
from soundness.models.load import load_model
from soundness.records import Estimate
from soundness.scoring.score import Sampling
from soundness.tasks.base import Task, load_task
from soundness.training.snapshot import ALWAYS, Snapshot, affordable, first_problems, logged_metrics, loss_of, take_snapshot


def snapshot(**values: dict[str, float | None]) -> Snapshot:
    """A snapshot with these values and, as estimates, their means with an interval of 0.1 around them."""
    known = {name: [value for value in by.values() if value is not None] for name, by in values.items()}
    means = {name: sum(found) / len(found) for name, found in known.items() if found}
    estimates = {name: Estimate(mean, mean - 0.1, mean + 0.1, len(known[name]), 0) for name, mean in means.items()}
    return Snapshot(1, values, estimates, 20, 2.0)


def gains(level: float, spread: float = 0.0) -> Snapshot:
    values: dict[str, float | None] = {str(i): level + spread * (-1) ** i for i in range(20)}
    return snapshot(info_gain_over_swap=values, swap_reliance=dict.fromkeys(values, 0.5), brier=dict.fromkeys(values, 0.2))


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        (gains(1.0), True),
        (gains(1.9), False),  # beyond the noise, not a tenth
        (gains(1.7, spread=5.0), False),  # a tenth, within the noise
        (gains(2.5), False),
        (snapshot(), False),  # unknown is no loss
        (snapshot(info_gain_over_swap={"other": 0.0}), False),  # of no problem that the base knows
    ],
)
def test_what_counts_as_a_loss(now: Snapshot, lost: bool) -> None:
    found = loss_of("info_gain_over_swap", gains(2.0), now, seed=0)
    assert (found is not None) == lost
    if found is not None:
        assert (found.metric, found.base, found.now) == ("info_gain_over_swap", pytest.approx(2.0), pytest.approx(1.0))


def test_what_is_worse_when_it_rises_is_lost_when_it_rises() -> None:
    base, now = gains(2.0), gains(2.0)
    higher = {**now.values, "brier": dict.fromkeys(now.values["brier"], 0.4)}
    assert loss_of("brier", base, replace(now, values=higher), seed=0) is not None
    assert loss_of("brier", replace(now, values=higher), base, seed=0) is None
    slightly = {**now.values, "brier": dict.fromkeys(now.values["brier"], 0.23)}
    assert loss_of("brier", base, replace(now, values=slightly), seed=0) is None  # .05 of a share is material


def test_answers_without_steps_are_a_loss_where_they_become_the_rule() -> None:
    def silent(count: int) -> Snapshot:
        return snapshot(no_steps={str(i): float(i < count) for i in range(20)})

    assert loss_of("no_steps", silent(2), silent(20), seed=0) is not None
    assert loss_of("no_steps", silent(2), silent(17), seed=0) is not None
    assert loss_of("no_steps", silent(2), silent(11), seed=0) is None  # the rule, within the noise
    assert loss_of("no_steps", silent(18), silent(20), seed=0) is None  # there was nothing to lose
    assert loss_of("no_steps", silent(2), snapshot(), seed=0) is None


def test_a_snapshot_has_the_audits_names_and_survives_a_file() -> None:
    import json

    model = load_model("organism:sound", dtype="float32", device="cpu")
    problems = load_task("organism:domain", limit=6, seed=1)
    told: list[tuple[str, int, int]] = []
    metrics = ["info_gain", "info_gain_over_swap", "ece", "swap"]
    found = take_snapshot(
        model,
        problems,
        metrics,
        sampling=Sampling(0, 0.0, 1.0, 64, "auto"),
        step=7,
        on_progress=lambda *now: told.append(now),
    )
    assert (found.step, found.num_problems) == (7, 6)
    assert set(found.estimates) <= set(logged_metrics(metrics))
    assert set(ALWAYS) | {"info_gain", "info_gain_over_swap", "ece", "swap_reliance"} <= set(found.estimates)
    gain = found.estimates["info_gain_over_swap"]
    assert gain.low is not None and gain.value is not None and gain.high is not None
    assert gain.low <= gain.value <= gain.high
    assert gain.value == pytest.approx(sum(found.known("info_gain_over_swap").values()) / gain.n)
    assert 0 <= (found.value("ece") or 0) <= 1
    assert found.value("nothing") is None
    assert {what for what, _, _ in told} >= {"sampling", "reading"}
    assert Snapshot.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_what_is_logged_is_what_was_asked_for() -> None:
    assert logged_metrics(()) == ALWAYS
    assert "info_gain_per_step" not in logged_metrics(["info_gain"])  # the metric of that name, not all of its group
    assert "confidence" in logged_metrics(["calibration"])
    with pytest.raises(MetricError, match="unknown metric 'info_gian'"):
        logged_metrics(["info_gian"])


def test_as_many_problems_as_fit(coin_task: Task) -> None:
    measured = replace(gains(1.0), num_problems=4, seconds=2.0)
    assert [affordable(seconds, measured, 16) for seconds in (0.1, 0.5, 3.0, 100.0)] == [1, 1, 6, 16]
    assert affordable(1.0, replace(measured, seconds=0.0), 16) == 16
    assert first_problems(coin_task, 3).problems == coin_task.problems[:3]


def test_problems_without_a_reference_have_no_accuracy(coin_model: Path, coin_task: Task) -> None:
    unknown: Any = replace(coin_task, problems=tuple(replace(one, answer=None) for one in coin_task.problems[:2]))
    model = load_model(str(coin_model), dtype="float32", device="cpu")
    found = take_snapshot(model, unknown, ["accuracy"], sampling=Sampling(0, 0.0, 1.0, 24, "auto"))
    assert found.value("accuracy") is None
    assert found.value("cut_off") == 0
