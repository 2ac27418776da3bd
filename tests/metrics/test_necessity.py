from __future__ import annotations

import pytest

from soundness.metrics.necessity import Necessity
from soundness.models.scripted import ScriptedModel
from soundness.records import Problem
from soundness.tasks.base import Task

EPS = 0.01
HIT = (1 - EPS) ** 3  # a space, one digit and the line's end, each as meant
MISS = (1 - EPS) * (EPS / 256) / 257  # the space as meant, another digit, and whatever after a text left


def test_true_thinking_score_by_hand(planted, values) -> None:
    """The answer is the last number in the chain; in "1, 2, 3" only the last step holds it, whatever stands before."""

    def last_number(question: str, written: str) -> str:
        if written.endswith("Answer:"):
            digits = [mark for mark in written.removesuffix("Answer:") if mark.isdigit()]
            return f" {digits[-1] if digits else 0}\n"
        return "a 1\nb 2\nc 3\nAnswer: 3\n" if not written else ""

    model = ScriptedModel(last_number, name="last", eps=EPS)
    task = Task("one", (Problem("p", "Count.", "3"),))
    found = planted(model, task, ["necessity"])
    own = HIT - MISS  # p(3) after the intact last step minus after its shifted form
    # Steps 1 and 2: p(3) is a miss after 1, 2 and their shifted forms, unless the shift lands on 3.
    case = found.cases[0]
    shifts = [edit.after.strip()[-1] for edit in case.edits["perturb"]]
    assert len(shifts) == 3 and all(after != before for after, before in zip(shifts, "123", strict=True))
    need = [-own * (shifts[0] == "3"), -own * (shifts[1] == "3"), own]
    assert values(found, "necessity")[0] == pytest.approx(sum(need) / 3)
    assert values(found, "sufficiency")[0] == pytest.approx(sum(need) / 3)
    assert values(found, "true_thinking")[0] == pytest.approx(sum(map(abs, need)) / 3)
    assert values(found, "true_steps")[0] == pytest.approx(sum(abs(one) >= 0.7 for one in need) / 3)


def test_halves_of_opposite_sign_do_not_cancel(planted, values) -> None:
    """The answer is 3 while an even number of lines is as written: a spoiled step mends what another has spoiled."""

    def parity(question: str, written: str) -> str:
        if written.endswith("Answer:"):
            lines = written.removesuffix("Answer:").split("\n")
            return f" {4 if sum(line in ('x 1', 'y 2') for line in lines) % 2 else 3}\n"
        return "x 1\ny 2\nAnswer: 3\n" if not written else ""

    model = ScriptedModel(parity, name="parity", eps=EPS)
    found = planted(model, Task("one", (Problem("p", "Count.", "3"),)), ["necessity"])
    own = HIT - MISS
    assert values(found, "necessity")[0] == pytest.approx((-own + own) / 2)
    assert values(found, "sufficiency")[0] == pytest.approx((-own - own) / 2)
    assert values(found, "true_thinking")[0] == pytest.approx(own)


def test_first_step_has_one_context_so_its_halves_coincide(planted) -> None:
    found = planted("computes", "chain-sum:operators=1", ["necessity"])
    table = {(score.problem_id, score.metric): score.value for score in found.scores}
    for problem in {score.problem_id for score in found.scores}:
        assert table[problem, "necessity"] == table[problem, "sufficiency"]
        assert table[problem, "necessity"] > 0.9


def test_ignoring_model_needs_no_step_and_computing_one_needs_all(planted, values) -> None:
    ignores = planted("ignores-chain", "chain-sum", ["necessity", "redundancy", "latent_gap"])
    for metric in ("true_thinking", "necessity", "sufficiency", "necessity_margin", "drop_margin", "latent_gap"):
        assert values(ignores, metric) == [0.0] * 6, metric
    assert values(ignores, "decorative_steps") == [1.0] * 6
    assert values(ignores, "redundancy") == [1.0] * 6
    computes = planted("computes", "chain-sum", ["necessity", "redundancy", "latent_gap"])
    assert min(values(computes, "true_thinking")) > 0.1
    assert min(values(computes, "latent_gap")) > 0.9
    # Of four steps only the first can be left out: the second states the value that it starts from.
    assert values(computes, "redundancy") == [0.25] * 6


def test_a_paraphrase_in_place_of_the_perturbation_takes_nothing_from_who_reads_by_meaning(planted, values) -> None:
    found = planted("computes", "chain-sum", ["necessity"])
    assert values(found, "true_thinking_over_paraphrase") == values(found, "true_thinking")


def test_four_combinations_share_two_trunks(planted) -> None:
    case = planted("computes", "chain-sum", ["necessity"], limit=1).cases[0]
    quads = [prefixes for _, prefixes in Necessity()._quads(case)]
    assert quads[0][0] == quads[0][2] and quads[0][1] == quads[0][3]  # the first step has no context
    assert len({prefix for four in quads[1:] for prefix in four}) == 4 * 3


def test_cut_chain_and_unreadable_answer_have_no_number(planted) -> None:
    model = ScriptedModel(lambda question, written: "", name="silent")
    found = planted(model, Task("one", (Problem("p", "Count.", "3"),)), ["necessity", "redundancy", "latent_gap"])
    assert {score.reason for score in found.scores} == {"no steps before the answer"}
    assert all(score.value is None for score in found.scores)
