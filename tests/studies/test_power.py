from __future__ import annotations

import numpy as np
import pytest

from soundness.auditing import audit
from soundness.comparison.spread import Change, Share
from soundness.comparison.thresholds import THRESHOLDS as T
from soundness.errors import MetricError, SettingError
from soundness.runs.folder import Run
from soundness.statistics.paired import compare
from soundness.studies.power import (
    chance_of_sound,
    plan_for_sound,
    plan_for_sound_from_run,
    plan_from_pilot,
    plan_from_run,
    plan_from_sd,
)
from soundness.tasks.base import load_task


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("pilot") / "run"
    task = load_task("chain-sum:operators=2", limit=30)
    tuned = "scripted:dial:0.4?slip=0.2&seed=1"
    return audit("scripted:computes?slip=0.2", tuned, task, out=out, samples=2, metrics=["early_answering"], noise_floor=False)


def test_the_plan_from_a_run_holds_in_audits_drawn_from_it(pilot: Run) -> None:
    plan = plan_from_run(pilot, "early_answering", 0.15)
    assert plan.unit == "fraction" and "30 problems" in plan.grounds and "80%" in plan.assumption
    found = pilot.comparison("early_answering")
    by = {
        writer: {s.problem_id: 0.0 for s in pilot.scores()} | {}
        for writer in (found.base, found.tuned)
    }  # fmt: skip
    for writer in by:
        for name in by[writer]:
            values = [
                s.value
                for s in pilot.scores()
                if (s.metric, s.reader, s.writer, s.problem_id) == ("early_answering", "self", writer, name)
                and s.value is not None
            ]
            by[writer][name] = sum(values) / len(values)
    differences = np.array([by[found.tuned][name] - by[found.base][name] for name in sorted(by[found.base])])
    assert plan.sd == pytest.approx(differences.std(ddof=1), rel=0.02)
    # Audits of the planned size, drawn from the pilot's problems with the planned effect put in.
    rng = np.random.default_rng(0)
    seen, runs = 0, 200
    for _ in range(runs):
        drawn = rng.choice(differences - differences.mean() - 0.15, plan.problems)
        rows = {str(i): float(v) for i, v in enumerate(drawn)}
        high = compare(dict.fromkeys(rows, 0.0), rows, seed=0, resamples=499).difference.high
        seen += high is not None and high < 0
    assert 0.70 <= seen / runs <= 0.92


def test_more_samples_never_need_more_problems(pilot: Run) -> None:
    needed = [plan_from_run(pilot, "early_answering", 0.1, samples=samples).problems for samples in (1, 2, 8)]
    assert needed == sorted(needed, reverse=True)


def test_a_pilot_is_run_and_left_behind_nowhere() -> None:
    task = load_task("chain-sum:operators=2", limit=12)
    plan = plan_from_pilot("scripted:computes?slip=0.3", ["scripted:dial:0.5?slip=0.3&seed=2"], task, "info_gain", 3.0)
    assert plan.problems > 1 and plan.grounds.startswith("a pilot of 12 problems") and plan.table[0][0] == 20


def test_what_cannot_be_planned_is_said(pilot: Run) -> None:
    with pytest.raises(MetricError, match="did you mean"):
        plan_from_sd("info_gian", 0.3, 1.0)
    with pytest.raises(MetricError, match="are equal"):
        plan_from_run(pilot, "length_tokens", 1.0)
    with pytest.raises(SettingError, match="number other than 0"):
        plan_from_sd("info_gain", 0.0, 1.0)
    with pytest.raises(SettingError, match="--tuned"):
        plan_from_pilot("scripted:computes", [], load_task("chain-sum", limit=5), "info_gain", 0.3)


def share_of(values: dict[str, float]) -> Share:
    return Share(values, {name: (value, value) for name, value in values.items()})


def test_equal_models_are_called_sound_as_often_as_planned() -> None:
    n, differs = 60, {"accuracy": 0.18, "following": 0.06}
    planned = chance_of_sound(n, accuracy_differs=0.18, following_differs=0.06)
    rng = np.random.default_rng(0)
    kept, draws = 0, 300
    for _ in range(draws):
        passed = []
        for share, bound, least in (
            (differs["accuracy"], T.ability_bound, T.ability_least),
            (differs["following"], T.dependence_bound, T.dependence_least),
        ):
            moved = rng.choice([-1.0, 0.0, 1.0], p=[share / 2, 1 - share, share / 2], size=n)
            base, tuned = (share_of({str(i): float(d == one) for i, d in enumerate(moved)}) for one in (-1.0, 1.0))
            change = Change(base, tuned)
            passed.append(change.most_lost(T.confidence) < bound and not change.fell(T.p, least))
        kept += all(passed)
    assert planned == pytest.approx(kept / draws, abs=0.08)


def test_a_plan_for_the_word_meets_its_chance_and_grows_with_the_noise() -> None:
    quiet, loud = plan_for_sound(0.05, 0.0), plan_for_sound(0.18, 0.05)
    assert quiet.problems is not None and loud.problems is not None and quiet.problems < loud.problems
    assert chance_of_sound(loud.problems, accuracy_differs=0.18, following_differs=0.05) >= 0.9
    assert [n for n, _ in loud.table] == [50, 100, 200, 500]
    with pytest.raises(SettingError, match="lies between 0 and 1"):
        plan_for_sound(1.5, 0.0)


def test_a_plan_for_the_word_from_a_run(pilot: Run) -> None:
    plan = plan_for_sound_from_run(pilot)
    assert plan.accuracy_differs == 0.0  # the draws of both slip alike
    assert 0.2 < plan.following_differs < 0.6  # the dial ignores four in ten
    assert str(pilot.path) in plan.grounds
