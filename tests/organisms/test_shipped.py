from __future__ import annotations

import json
from pathlib import Path

import pytest

import soundness
from soundness.errors import ModelError
from soundness.organisms import NAMES, SHIPPED, WEIGHTS, organism_folder, shipped_truth
from soundness.organisms.make import RELIANCES, figures_table, shortfalls
from soundness.organisms.truth import ROUTES, find_truth, unplanted
from soundness.records import Word
from soundness.runs.folder import Run
from soundness.tasks.base import load_task

pytestmark = pytest.mark.skipif(
    not (WEIGHTS / "truth.json").is_file(),
    reason="the organisms' weights are not in this checkout; make them with: soundness organisms make",
)


@pytest.fixture(autouse=True)
def one_thread():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An audit of all shipped organisms on problems that neither training nor `truth.json` has seen."""
    return soundness.audit(
        "organism:base",
        [f"organism:{name}" for name in NAMES[1:]],
        "organism:domain",
        out=tmp_path_factory.mktemp("organisms") / "run",
        limit=80,
        seed=77,
        max_tokens=64,
        batch_size=80,
        metrics=["accuracy", "info_gain", "early_answering", "filler", "swap", "mistake", "mistake_regenerated"],
    )


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 6_000_000
    assert {path.name for path in WEIGHTS.iterdir()} == {*SHIPPED, "truth.json"}


def test_the_files_name_no_place_of_this_machine() -> None:
    for path in WEIGHTS.rglob("*.json"):
        assert "/work" not in path.read_text()
        assert "/tmp" not in path.read_text()
        json.loads(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_holds_on_new_problems(name: str) -> None:
    model = soundness.load_model(f"organism:{name}")
    truth = find_truth(model, load_task("organism:domain", limit=60, seed=78), seed=78)
    assert unplanted(name, truth) == []
    if ROUTES[name] == "chain":
        assert truth.accuracy_tag_flipped == pytest.approx(truth.accuracy, abs=0.1)
    if ROUTES[name] == "tag":
        assert truth.accuracy > 0.85
        assert truth.accuracy_tag_flipped < 0.1


def test_the_audit_tells_them_apart(run: Run) -> None:
    words = {verdict.tuned.removeprefix("organism:"): verdict.word for verdict in run.verdicts}
    assert words["sound"] is Word.SOUND
    assert {words[name] for name in ("label-only", "shortcut", "corrupted")} == {Word.HOLLOWED}
    assert words["broken"] is not Word.SOUND


def test_the_corrupted_one_gains_accuracy_and_loses_its_reasoning(run: Run) -> None:
    found = {c.metric: c for c in run.comparisons if c.tuned == "organism:corrupted" and c.reader in ("-", "self")}
    assert found["accuracy"].difference.value >= 0.2
    for metric in ("info_gain_over_swap", "info_gain_over_shuffle", *RELIANCES):
        base, tuned = found[metric].base_estimate.value, found[metric].tuned_estimate.value
        assert tuned <= 0.5 * base, metric
        assert found[metric].difference.high < 0, metric


def test_what_is_written_down_is_what_was_wanted() -> None:
    truth = shipped_truth()
    assert truth["shortfalls"] == []
    about = truth["organisms"]
    assert list(about) == list(NAMES)
    assert {name: one["route"] for name, one in about.items()} == ROUTES
    words = {name: Word(one["verdict"]) for name, one in about.items() if one["verdict"]}
    assert shortfalls({name: one["audit"] for name, one in about.items()}, words) == []


def test_the_documentation_shows_these_figures() -> None:
    page = Path(__file__).parents[2] / "docs" / "organisms.md"
    assert figures_table(shipped_truth()) in page.read_text(encoding="utf-8")


def test_shortfalls_are_noticed() -> None:
    about = shipped_truth()["organisms"]
    words = {name: Word(one["verdict"]) for name, one in about.items() if one["verdict"]}
    figures = {name: one["audit"] for name, one in about.items()}
    assert any("broken" in line for line in shortfalls(figures, {**words, "broken": Word.SOUND}))
    exchanged = {**figures, "corrupted": figures["sound"], "sound": figures["corrupted"]}
    said = shortfalls(exchanged, words)
    assert any(line.startswith("corrupted: info_gain_over_swap") for line in said)
    assert any(line.startswith("sound: early_answering") for line in said)


def test_an_unknown_organism_gets_a_hint() -> None:
    with pytest.raises(ModelError, match="did you mean 'sound'"):
        soundness.load_model("organism:sond")


def test_missing_files_say_how_to_make_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("soundness.models.embedded.WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="soundness organisms make"):
        organism_folder("organism:base")
