from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soundness.chains.sample import sample_chains
from soundness.errors import ModelError
from soundness.metrics import GROUPS
from soundness.metrics.knowledge import NO_JUDGE
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel
from soundness.models.store import Store
from soundness.records import Problem
from soundness.scoring.facts import Judge
from soundness.scoring.score import Helpers, Sampling, ScoredChains, score_chains
from soundness.tasks.base import Task
from soundness.tasks.retrieval import Documents

CHAIN = "Grass is green.\nSnow is black.\nLet me think.\nWater is dry.\nAnswer: 4\n"


def wrote(question: str, written: str) -> str:
    return "" if written else CHAIN


def verdicts(question: str, written: str) -> str:
    if written:
        return ""
    statement = question.partition("Statement: ")[2].partition("\n")[0]
    return {"Grass is green.": "True.", "Snow is black.": "false", "Let me think.": "none"}.get(statement, "hard to say")


def judged(folder: Path, judge: Callable[[str, str], str], **of_problem: object) -> ScoredChains:
    task = Task("t", (Problem("p", "What?", "4", **of_problem),))  # type: ignore[arg-type]
    writer = ScriptedModel(wrote, name="writer")
    with Store(folder / "store.sqlite") as store:
        helper = Judge(CachedModel(ScriptedModel(judge, name="judge"), store), DOCUMENTS.get("use"))
        chains = sample_chains(writer, task)
        cached = CachedModel(writer, store)
        return score_chains(
            chains, task, [GROUPS["knowledge"]], cached, reader="self", sampling=Sampling(), helpers=Helpers(judge=helper)
        )


DOCUMENTS: dict[str, Documents] = {}


def test_true_false_none_and_unreadable(tmp_path: Path) -> None:
    found = judged(tmp_path, verdicts, facts=("Grass is green.", "Snow is white."))
    values = {score.metric: score.value for score in found.scores}
    assert values == {"knowledge_index": 0.5, "knowledge_coverage": 0.5, "knowledge_failed": 0.25}
    assert [one.raw for one in found.cases[0].judgements] == ["True.", "false", "none", "hard to say"]
    assert all("Snow is white." in one.evidence for one in found.cases[0].judgements)


def test_documents_stand_in_for_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DOCUMENTS, "use", Documents(["Grass is green.", "Coal is black."]))
    found = judged(tmp_path, verdicts)
    assert found.cases[0].judgements[1].evidence[0] == "Coal is black."


def test_nothing_to_judge_by(tmp_path: Path) -> None:
    assert {score.reason for score in judged(tmp_path, verdicts).scores} == {NO_JUDGE}


def test_a_judge_that_says_nothing_of_use_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gave 4 replies and none of them says true, false or none"):
        judged(tmp_path, lambda question, written: "" if written else "well", facts=("Grass is green.",))


def test_a_judge_that_fails_is_named(tmp_path: Path) -> None:
    def down(question: str, written: str) -> str:
        raise ModelError("the server is down")

    with pytest.raises(ModelError, match="the judge judge failed: the server is down"):
        judged(tmp_path, down, facts=("Grass is green.",))
