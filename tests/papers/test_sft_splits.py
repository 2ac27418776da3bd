from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.metrics import GROUPS
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.papers import sft_splits
from soundness.papers.base import State, find, overall
from soundness.papers.sft_splits import ARMS, SCALES, SFT, WholeString, figures, lessons, recut, true_chains
from soundness.records import Chain, Generation
from soundness.scoring.score import Sampling, score_chains
from soundness.tasks.base import Task, load_task

FORMS = ("info_gain", "infogain_ppl", "infogain_sequence", "info_gain_per_step")


def quiet(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@pytest.fixture(scope="module")
def base() -> Model:
    return load_model("organism:base")


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("organism:domain", limit=4, seed=11)


def read(model: Model, task: Task, chains: list[Chain]) -> dict[str, list[float]]:
    families = [GROUPS["info_gain"], WholeString()]
    sampling = Sampling(0, 0.0, 1.0, 48, "auto")
    scores = score_chains(chains, task, families, CachedModel(model), reader="self", sampling=sampling).scores
    return {name: [score.value for score in scores if score.metric == name] for name in FORMS}  # type: ignore[misc]


def test_lessons_teach_what_their_arm_says(task: Task) -> None:
    many = load_task("organism:domain", limit=400, seed=3)
    texts = {arm: [one.meta["completion"] for one in lessons(many, arm, 0).problems] for arm in SFT}
    assert all(text == f"Answer: {one.answer}\n" for text, one in zip(texts["label"], many.problems, strict=True))
    assert all(text.count("\n") == 5 and text.endswith("\n") for text in texts["rationale"])
    alone = sum(text in texts["label"] for text in texts["shortcut"]) / 400
    assert 0.24 < alone < 0.36
    assert lessons(task, "shortcut", 0) == lessons(task, "shortcut", 0)


def test_true_chains_are_right_and_have_a_step_a_line(base: Model, task: Task) -> None:
    for chain, problem in zip(true_chains(base, task), task.problems, strict=True):
        assert chain.outcome == "right"
        assert chain.conclusion == 4
        assert tuple(text.strip() for text in chain.step_texts[:4]) == problem.steps


def test_the_whole_string_is_read_as_one_text(base: Model, task: Task) -> None:
    chain = true_chains(base, task)[0]
    found = read(base, task, [chain])["infogain_sequence"][0]
    problem = task.problems[0]
    perplexity = []
    for i in range(5):
        steps = "".join(f"{step}\n" for step in (problem.steps or ())[:i])
        ids = [*base.render(problem.question).ids, *base.encode(f"{steps}Answer: {problem.answer}\n")]
        import torch

        with torch.inference_mode():
            logits = base.module(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        nats = logits.gather(1, torch.tensor(ids[1:])[:, None]).mean().item()
        perplexity.append(math.exp(-nats))
    assert found == pytest.approx((perplexity[0] - perplexity[4]) / 5, rel=1e-4)


def test_the_count_of_steps_moves_the_published_forms_and_not_the_total(base: Model, task: Task) -> None:
    chains = true_chains(base, task)
    found = {num: read(base, task, [recut(base, chain, num) for chain in chains]) for num in (1, 2, 4, 8)}
    usual = found[4]
    for num, forms in found.items():
        assert forms["info_gain"] == pytest.approx(usual["info_gain"], abs=1e-4)
        assert forms["infogain_ppl"] == pytest.approx([value * 4 / num for value in usual["infogain_ppl"]], rel=1e-3)
        assert forms["infogain_sequence"] == pytest.approx(
            [value * 5 / (num + 1) for value in usual["infogain_sequence"]], rel=1e-3
        )


def test_recutting_leaves_every_token(base: Model, task: Task) -> None:
    chain = true_chains(base, task)[0]
    assert recut(base, chain, 4).steps == chain.steps
    for num in (1, 2, 8):
        new = recut(base, chain, num)
        assert new.ids == chain.ids and new.conclusion == num
        assert "".join(new.step_texts) == chain.text
        assert [span.start for span in new.steps[1:]] == [span.stop for span in new.steps[:-1]]
    with pytest.raises(ValueError, match="4 steps cannot be cut into 3"):
        recut(base, chain, 3)


def test_fluent_text_that_says_nothing_earns_the_published_form_and_no_information(base: Model, task: Task) -> None:
    """The code's perplexity covers the question and the steps; only the answer's tokens tell of the answer."""
    from soundness.chains.sample import make_chain

    problem = task.problems[0]
    one = Task("one", (problem,), task.instruction, task.cue)
    other = "".join(f"{step}\n" for step in task.problems[1].steps or ())
    text = other + f"Answer: {problem.answer}\n"
    chain = make_chain(
        base, problem, base.render(problem.question), Generation(tuple(base.encode(text)), "stop"), writer="another problem's"
    )
    swapped = read(base, one, [chain])
    true = read(base, one, true_chains(base, one))
    assert swapped["infogain_sequence"][0] > 0
    assert swapped["info_gain"][0] < true["info_gain"][0] - 0.5


def point(solved: float, gain: float | None, step: int = 1) -> dict[str, Any]:
    kept = {"info_gain": gain, "info_gain_over_swap": gain, "swap_reliance": 0.5, "solved": solved, "infogain_ppl": 1.0}
    return {"step": step, "own": kept, "true": kept, "fixed": {"info_gain": gain, "infogain_ppl": 1.0}}


CUT = {"base": {"4": {"infogain_ppl": 2.0, "info_gain": 3.0}, "8": {"infogain_ppl": 1.0, "info_gain": 3.0}}}


def planted(rationale: float) -> dict[str, Any]:
    """Return the figures where answers alone and the shortcut empty the steps and rationales leave `rationale` nats."""
    ends = {"label": 0.1, "rationale": rationale, "shortcut": 1.0, "rlvr": 6.5}
    points = {"base": [point(0.5, 6.0, 0)]}
    points |= {arm: [point(0.7, 0.5 * (6 + end), 1), point(0.9 if arm == "rlvr" else 1.0, end, 2)] for arm, end in ends.items()}
    return {"figures": figures(points, CUT)[0]}


def test_hollowing_confirms_and_rationales_that_keep_the_gain_refute() -> None:
    hollow = [planted(3.0), planted(3.1), planted(2.9)]
    found = {one.figure: find(one, hollow) for one in sft_splits.PAPER.expectations}
    assert found["gain_lost_label"].mean == pytest.approx(5.9)
    assert found["gain_lost_rationale"].mean == pytest.approx(3.0)
    assert found["gain_lost_rlvr"].mean == pytest.approx(-0.5)
    assert found["lost_beyond_rlvr"].mean == pytest.approx((5.9 + 3.0 + 5.0) / 3 + 0.5)
    assert found["fixed_total_lost_rationale"].mean == pytest.approx(3.0) and found["fixed_paper_lost_rlvr"].mean == 0.0
    assert found["recut_paper_lost"].mean == 0.5 and found["recut_total_kept"].mean == 1.0
    assert overall([*found.values()]) is State.CONFIRMED
    kept = [planted(8.0), planted(8.1), planted(7.9)]
    found = {one.figure: find(one, kept) for one in sft_splits.PAPER.expectations}
    assert found["gain_lost_rationale"].state is State.REFUTED
    assert overall([*found.values()]) is State.REFUTED


def test_copies_are_matched_at_an_accuracy_that_all_reach() -> None:
    points = {"base": [point(0.5, 6.0, 0)]}
    points |= {arm: [point(0.6, 5.0, 1), point(0.8, 4.0, 2), point(1.0, 1.0, 3)] for arm in SFT}
    points["rlvr"] = [point(0.6, 6.0, 1), point(0.78, 6.5, 2)]
    found, why = figures(points, CUT)
    assert found["lost_beyond_rlvr"] == pytest.approx(5.0 + 0.5)
    assert found["lost_beyond_rlvr_matched"] == pytest.approx(2.0 + 0.5)
    assert why == []


def test_what_cannot_be_read_is_missing_with_a_reason() -> None:
    points = {"base": [point(0.5, 6.0, 0)], **{arm: [point(0.8, None)] for arm in ARMS}}
    found, why = figures(points, CUT)
    assert found["gain_lost_label"] is None and found["lost_beyond_rlvr"] is None
    assert any(words.startswith("gain_lost_label:") for words in why)


def test_a_whole_run_at_the_smallest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = replace(
        SCALES["tiny"],
        train_problems=32,
        panel=3,
        sft_steps=2,
        sft_batch=4,
        shortcut_steps=2,
        rl_steps=2,
        rl_batch=16,
        copies=1,
    )
    found = sft_splits.run(scale, 0, tmp_path, quiet)
    assert {one.figure for one in sft_splits.PAPER.expectations} == set(found["figures"])
    assert found["embedded"] is None
    assert found["points"]["base"][0]["true"]["length_steps"] is not None
    assert json.dumps(found, allow_nan=False)
    from soundness.training import methods

    monkeypatch.setattr(methods, "train", lambda *_, **__: pytest.fail("trained twice"))
    assert sft_splits.run(scale, 0, tmp_path, quiet)["figures"] == found["figures"]
    for table in sft_splits.tables([found, found]):
        assert table.rows
        assert all(len(row) == len(table.head) for row in table.rows), table.title
    shares = {
        (row["form"], row["steps"]): row["share"] for row in sft_splits.pictures([found])["same-chains-recut"]["data"]["values"]
    }
    assert shares["paper's form", 8] == pytest.approx(0.5, rel=1e-3)
    assert shares["total, nats", 8] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.smollm2
@pytest.mark.slow
def test_the_embedded_model_is_tuned_and_read(tmp_path: Path) -> None:
    found = sft_splits._embedded(replace(SCALES["tiny"], embedded_steps=1, embedded_panel=2), 0, tmp_path, quiet)
    assert [*found] == ["base", "label", "rationale"]
    assert all(one["true"]["info_gain"] is not None for one in found.values())
