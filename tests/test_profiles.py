"""The profiles of the audit, end to end on planted models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundness.auditing import audit
from soundness.errors import MetricError, SettingError
from soundness.metrics import DECISIVE, GROUPS, METRICS, PROFILES
from soundness.metrics.choosing import choose

BASE, TUNED = "scripted:computes?slip=0.2", "scripted:ignores-chain?slip=0.05&seed=1"


def test_profiles_grow() -> None:
    quick, standard, full = (set(PROFILES[name]) for name in ("quick", "standard", "full"))
    assert quick < standard < full == set(GROUPS)
    names = [group.name for group in choose(None, "quick")]
    assert names == [*DECISIVE, "info_gain", "early_answering", "length"]
    assert "coverage" not in {group.name for group in choose(None, "standard", samples=1)}
    assert "coverage" in {group.name for group in choose(None, "standard", samples=2)}
    assert "transfer" in {group.name for group in choose(None, "quick", other_tasks=True)}
    assert {group.name for group in choose(["redundancy"])} == {"accuracy", "length", "redundancy"}
    with pytest.raises(MetricError, match="unknown profile 'fulll' \\(did you mean 'full'"):
        choose(None, "fulll")
    with pytest.raises(MetricError, match="did you mean 'necessity'"):
        choose(["neccessity"])


def test_every_metric_says_what_it_is() -> None:
    assert sum(len(group.every_metric) for group in GROUPS.values()) == len(METRICS)  # no name twice
    for metric in METRICS.values():
        assert metric.unit and metric.higher_means and metric.description and metric.limitations and metric.source, metric.name
    for group in GROUPS.values():
        assert all(name in METRICS for corpus in group.corpus for name in corpus.inputs)


def test_full_profile_with_other_tasks(tmp_path: Path) -> None:
    panel = tmp_path / "panel.toml"
    panel.write_text('[[task]]\nname = "longer"\nworld = "chain-sum:operators=5"\nlimit = 5\n')
    run = audit(BASE, [TUNED], "chain-sum", limit=8, samples=2, profile="full", panel=panel, out=tmp_path / "run")
    compared = {(one.metric, one.reader) for one in run.comparisons}
    for group in GROUPS.values():
        assert {(metric.name, reader) for metric in group.every_metric for reader in group.readers[:1]} <= compared, group.name
    shared = run.comparison("info_gain_over_swap", reader="tuned")
    assert (
        shared.tuned_estimate.value == 0.0 and shared.base_estimate.value > 5
    )  # the ignoring model gains nothing from the base's chains
    assert not any(one.reader == "tuned" and one.metric == "mistake_regenerated" for one in run.comparisons)
    tables = run.document["tables"]
    assert set(tables) == {"coverage", "length", "panel", "reliability", "writer_reader"}
    assert json.loads((run.path / "writer_reader.json").read_text()) == tables["writer_reader"]
    table = {row["metric"]: row for row in tables["writer_reader"]}
    assert table["info_gain"]["using"]["value"] < -5 and abs(table["info_gain"]["writing"]["value"]) < 5
    assert run.comparison("forward_kl").base_estimate.value == 0.0
    assert run.comparison("transfer_accuracy").difference.n == 5
    again = audit(BASE, [TUNED], "chain-sum", limit=8, samples=2, profile="full", panel=panel, out=tmp_path / "run")
    assert again.comparisons == run.comparisons


def test_quick_reads_no_shared_chains_and_can_be_extended(tmp_path: Path) -> None:
    run = audit(BASE, [TUNED], "chain-sum", limit=4, profile="quick", out=tmp_path / "run")
    assert {one.reader for one in run.comparisons} == {"self", "base", "-"}
    assert "writer_reader" not in run.document["tables"]
    more = audit(BASE, [TUNED], "chain-sum", limit=4, profile="standard", out=tmp_path / "run")
    assert "tuned" in {one.reader for one in more.comparisons} and "writer_reader" in more.document["tables"]


def test_exact_judgements_are_kept(tmp_path: Path) -> None:
    run = audit(BASE, ["scripted:computes"], "lookup:hops=2", limit=5, metrics=["knowledge"], out=tmp_path / "run")
    lines = [json.loads(line) for line in (run.path / "judgements.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 5 * 2 and {line["by"] for line in lines} == {"world"}
    assert run.comparison("knowledge_index").tuned_estimate.value == 1.0


def test_what_does_not_fit_together_is_said(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Fact.")
    with pytest.raises(SettingError, match="--judge"):
        audit(BASE, [TUNED], "chain-sum", limit=4, documents=tmp_path / "docs", out=tmp_path / "run")
    with pytest.raises(SettingError, match="--panel"):
        audit(BASE, [TUNED], "chain-sum", limit=4, metrics=["transfer"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dry_run_says_what_each_family_reads(tmp_path: Path) -> None:
    from soundness.studies.cost import estimate_cost
    from soundness.tasks.base import load_task

    task = load_task("chain-sum", limit=8)
    quick, full = (estimate_cost(BASE, [TUNED], task, profile=name) for name in ("quick", "full"))
    assert set(quick.groups) == {"info_gain", "early_answering"}
    assert set(quick.groups) < set(full.groups) and "accuracy" not in full.groups
    assert all(tokens > 0 for tokens in full.groups.values())
    twice = estimate_cost(BASE, [TUNED], load_task("chain-sum", limit=16), profile="quick")
    assert twice.groups["info_gain"] == 2 * quick.groups["info_gain"]
