"""Models that think, through a whole audit: what is measured is the reasoning, wherever it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundness.auditing import audit
from soundness.errors import SettingError
from soundness.models.planted import Plant
from soundness.models.scripted import ScriptedModel
from soundness.records import Word

OPTIONS = {"profile": "quick", "noise_floor": False, "max_tokens": 500, "limit": 45}


def behind(block: str) -> ScriptedModel:
    """Return a model that writes `block` first and then what the plain one writes."""
    plain = Plant().model()

    def behaviour(question: str, written: str) -> str:
        if block.startswith(written):
            return block[len(written) :] + plain._behaviour(question, "")
        return plain._behaviour(question, written.removeprefix(block))

    return ScriptedModel(behaviour, name=f"behind {len(block)} characters")


def test_a_block_without_reasoning_is_no_loss_of_reasoning(tmp_path: Path) -> None:
    blocks = ["<think>\n\n</think>\n\n", "<think>Let me work through this slowly.</think>\n"]
    run = audit(Plant().model(), [behind(block) for block in blocks], "chain-sum", out=tmp_path / "run", **OPTIONS)  # type: ignore[arg-type]
    assert [verdict.word for verdict in run.verdicts] == [Word.SOUND] * 2
    assert {value for name, value in steps_of(run).items()} == {4.0}


def test_which_part_of_a_chain_is_measured_is_said(tmp_path: Path) -> None:
    thinking = Plant(opening="thinking-summary").model("thinks")
    runs = {
        part: audit(Plant().model(), thinking, "chain-sum", out=tmp_path / part, chain=part, **{**OPTIONS, "limit": 6})  # type: ignore[arg-type]
        for part in ("auto", "thinking", "visible", "both")
    }
    steps = {part: steps_of(run)["thinks"] for part, run in runs.items()}
    assert steps["auto"] == steps["thinking"] == 4.0
    assert steps["both"] == steps["thinking"] + steps["visible"]
    assert steps["visible"] >= 1


def steps_of(run) -> dict[str, float]:
    """Return the mean number of steps that each model writes."""
    counts: dict[str, list[float]] = {}
    for score in run.scores():
        if score.metric == "length_steps" and score.value is not None:
            counts.setdefault(score.writer, []).append(score.value)
    return {name: sum(found) / len(found) for name, found in counts.items()}


@pytest.mark.parametrize("part", ["thinkin", "", "visible "])
def test_a_part_that_no_chain_has_is_refused_before_any_work(tmp_path: Path, part: str) -> None:
    with pytest.raises(SettingError, match="chain"):
        audit(Plant().model(), Plant().model("x"), "chain-sum", out=tmp_path / "run", chain=part, **OPTIONS)  # type: ignore[arg-type]
