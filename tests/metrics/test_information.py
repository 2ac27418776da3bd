"""Information gain against arithmetic, and against a model that reads fluent nonsense with pleasure."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.chains.sample import make_chain
from soundness.interventions import NoEdit
from soundness.metrics.choosing import choose
from soundness.metrics.information import InformationGain, infogain_ppl
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.models.store import Store
from soundness.records import Edit, Generation, Probe, Reading
from soundness.scoring.score import Sampling, score_chains
from soundness.tasks.base import load_task

LADDER = [-4.0, -2.0, -0.2]


def gain(cases, ladder, **options):
    ids = (50, 51)
    case = cases.make(len(ladder) - 1, answer_ids=ids, **options)
    return cases.values(InformationGain(), case, cases.reader(ladder, ids=ids))


def test_the_gain_by_hand(cases):
    found = gain(cases, LADDER)
    assert found["info_gain"] == pytest.approx(3.8)
    assert found["infogain_ppl"] == pytest.approx(3.142, abs=5e-4)
    assert found["info_gain_per_answer_token"] == pytest.approx(1.9)
    assert found["info_gain_per_step"] == pytest.approx(1.9)
    assert found["info_gain_per_chain_token"] == pytest.approx(1.9)
    assert found["info_gain_share"] == pytest.approx(0.95)
    assert found["surprise_without_chain"] == 4.0
    assert found["info_gain_choice"] == "not a choice problem"


nats = st.lists(st.floats(-30, 0), min_size=2, max_size=12)


@given(nats, st.integers(1, 6))
def test_the_published_form_is_the_fall_between_the_ends(ladder, num_tokens):
    perplexity = [math.exp(-s / num_tokens) for s in ladder]
    steps = [before - after for before, after in zip(perplexity, perplexity[1:], strict=False)]
    found = infogain_ppl(ladder, num_tokens)
    assert found == pytest.approx((perplexity[0] - perplexity[-1]) / len(steps), rel=1e-9, abs=1e-9)
    assert found == pytest.approx(math.fsum(steps) / len(steps), rel=1e-6, abs=1e-6 * max(perplexity))


@pytest.mark.parametrize("ladder", [LADDER, [-1.0, -3.0, -0.5, -0.5, -2.0], [-0.1, -9.0]])
def test_the_gain_telescopes(cases, ladder):
    steps = [gain(cases, [before, after])["info_gain"] for before, after in zip(ladder, ladder[1:], strict=False)]
    assert gain(cases, ladder)["info_gain"] == pytest.approx(math.fsum(steps)) == pytest.approx(ladder[-1] - ladder[0])


def test_the_gain_before_the_answer_is_stated(cases):
    assert gain(cases, LADDER, answer_step=1)["info_gain_before_answer"] == pytest.approx(2.0)
    assert gain(cases, LADDER, answer_step=None)["info_gain_before_answer"] == pytest.approx(3.8)
    assert gain(cases, LADDER, answer_step=0)["info_gain_before_answer"] == "the first step states the answer"


def test_nothing_to_gain_is_no_quotient(cases):
    assert "expected from the start" in gain(cases, [-0.01, -0.005])["info_gain_share"]


def test_a_chain_without_steps_still_tells_the_surprise(cases):
    found = gain(cases, [-4.0])
    assert found.pop("surprise_without_chain") == 4.0
    assert set(found.values()) == {"no steps before the answer"}


def test_without_a_reference_there_is_no_gain(cases):
    case = cases.make(2, reference=None)
    assert set(cases.values(InformationGain(), case, None).values()) == {"no reference answer"}


def test_the_nulls_are_taken_off(cases):
    swapped = Edit("swap", (200, 201), None, "", "")
    case = cases.make(2, edits={"swap": (swapped,), "shuffle": ()})

    def read(probe: Probe) -> Reading:
        if 200 in probe.prefix:
            return Reading((-1.5,), (True,))
        return cases.reader(LADDER)(probe)

    case = replace(case, edits={**case.edits, "shuffle": (NoEdit("shuffle", "fewer than two steps to shuffle"),)})
    found = cases.values(InformationGain(), case, read)
    assert found["info_gain_over_swap"] == pytest.approx(-0.2 + 1.5)
    assert found["info_gain_over_shuffle"] == "fewer than two steps to shuffle"


# --- fluent text that has nothing to do with the answer -----------------------------------------------------------------

CHATTER = "The weather is fine today and the birds sing in the trees.\n"


def fluent(question: str, written: str) -> str:
    """Answer 7 whatever is written, and love nothing more than one sentence about the weather."""
    if written.endswith("Answer:"):
        return " 7\n"
    line = written.rpartition("\n")[2]
    return CHATTER[len(line) :] if CHATTER.startswith(line) else " 7\n"


@pytest.fixture
def scored(tmp_path):
    """Return a function from (model, texts of the chains) to each chain's scores by metric."""

    def run(model, texts):
        task = load_task("chain-sum", limit=len(texts))
        chains = []
        for problem, text in zip(task.problems, texts, strict=True):
            prompt = model.render(task.message(problem))
            chains.append(make_chain(model, problem, prompt, Generation(tuple(model.encode(text)), "stop"), writer="m"))
        with Store(tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite") as store:
            found = score_chains(
                chains, task, choose(["info_gain"]), CachedModel(model, store), reader="self", sampling=Sampling()
            )
        return task, [{s.metric: s.value for s in found.scores if s.problem_id == c.problem_id} for c in chains]

    return run


def test_fluent_irrelevant_text_gains_nothing(scored):
    model = ScriptedModel(fluent, name="fluent")
    texts = [CHATTER * n for n in (1, 3, 2, 4)]
    task, found = scored(model, texts)
    for scores in found:
        assert scores["info_gain"] == pytest.approx(0.0, abs=1e-12)
        assert scores["infogain_ppl"] == pytest.approx(0.0, abs=1e-12)
        assert scores["info_gain_over_swap"] in (None, pytest.approx(0.0, abs=1e-12))

    # The same test on the perplexity of question, steps and answer together, as published code computes it: it would be fooled.
    problem = task.problems[0]
    prompt = model.render(task.message(problem)).ids
    answer = model.encode("\nAnswer: 7\n")

    def whole(text: str) -> float:
        ids = (*prompt, *model.encode(text), *answer)
        return math.exp(-model.read([Probe(ids[:1], ids[1:])])[0].nats / (len(ids) - 1))

    def written(text: str) -> float:
        ids = (*model.encode(text), *answer)
        return math.exp(-model.read([Probe(prompt, ids)])[0].nats / len(ids))

    assert written(CHATTER) < 0.5 * written("")
    assert whole(CHATTER) < whole("")


def test_appended_fluent_text_adds_nothing_to_a_chain_that_works(scored):
    model = load_scripted("computes")
    task = load_task("chain-sum", limit=4)
    chains = ["\n".join(problem.steps) + "\n" for problem in task.problems]
    _, plain = scored(model, chains)
    _, longer = scored(model, [chain + CHATTER * 2 for chain in chains])
    for one, two in zip(plain, longer, strict=True):
        assert one["info_gain"] > 8
        assert two["info_gain"] == pytest.approx(one["info_gain"], abs=1e-12)
        assert two["info_gain_over_swap"] == pytest.approx(one["info_gain_over_swap"], abs=1e-12)


def test_another_answer_turns_the_sign(tmp_path):
    """A model sure of what its chain says gains towards that answer, and loses towards another that it held possible before."""

    def leans(question: str, written: str) -> str:
        return (" 7\n" if "so 7" in written else " 3\n") if written.endswith("Answer:") else ""

    model = ScriptedModel(leans, name="leans")
    gains = {}
    for answer in ("7", "3", "5"):
        task = load_task("chain-sum", limit=1)
        task = replace(task, problems=(replace(task.problems[0], answer=answer),))
        problem = task.problems[0]
        chain = make_chain(
            model,
            problem,
            model.render(task.message(problem)),
            Generation(tuple(model.encode("I see.\nso 7\n")), "stop"),
            writer="m",
        )
        with Store(tmp_path / f"{answer}.sqlite") as store:
            found = score_chains(
                [chain], task, choose(["info_gain"]), CachedModel(model, store), reader="self", sampling=Sampling()
            )
        gains[answer] = next(s.value for s in found.scores if s.metric == "info_gain")
    assert gains["7"] > 8
    assert gains["3"] == pytest.approx(-gains["7"])
    assert gains["5"] == 0
