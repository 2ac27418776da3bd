from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.answers import grade
from soundness.errors import ModelError
from soundness.models.base import Model
from soundness.models.scripted import END, ScriptedModel, load_scripted
from soundness.records import Probe, Problem
from soundness.tasks import Task, load_task

SUMS = load_task("chain-sum:operators=5", limit=40)
LOOKUPS = load_task("lookup:hops=3", limit=25)
OPTIONS = load_task("lookup:hops=3,choices=4", limit=25)
WORLDS = pytest.mark.parametrize("task", [SUMS, LOOKUPS, OPTIONS], ids=["sums", "lookups", "options"])
PLANTED = ["computes", "copies-last-number", "ignores-chain", "dial:0.5", "random", "computes?slip=0.5"]
FILLER = " ..." * 7


def write(model: ScriptedModel, task: Task, problem: Problem, begun: str = "", **options: object) -> str:
    """Return the whole chain that the model writes, `begun` included."""
    prefix = (*model.render(task.message(problem)).ids, *model.encode(begun))
    (generation,) = model.generate([prefix], max_tokens=4000, **options)
    assert generation.finish == "stop"
    return begun + model.decode(generation.ids)


def forced(model: ScriptedModel, task: Task, problem: Problem, chain: str) -> str:
    """Return what the model answers when asked after `chain`, read from log-probabilities and checked against writing."""
    prefix = (*model.render(task.message(problem)).ids, *model.encode(chain + task.cue))
    (generation,) = model.generate([prefix], max_tokens=100)
    answer = model.decode(generation.ids).strip()
    (reading,) = model.read([Probe(prefix, tuple(model.encode(task.continuation(answer, problem))))])
    assert reading.top
    assert reading.nats == pytest.approx(len(reading.token_nats) * math.log(0.99))
    return answer


def steps_of(chain: str) -> list[str]:
    return chain.splitlines(keepends=True)


def test_is_a_model():
    model = load_scripted("computes")
    assert isinstance(model, Model)
    assert model.context_length is None
    assert model.name == "scripted:computes"


@WORLDS
@pytest.mark.parametrize("spec", PLANTED)
def test_greedy_writing_is_what_reading_finds_most_likely(task: Task, spec: str):
    model = load_scripted(spec)
    for problem in task.problems[:8]:
        prompt = model.render(task.message(problem))
        written = tuple(model.encode(write(model, task, problem)))
        (reading,) = model.read([Probe(prompt.ids, (*written, END))])
        assert reading.top
        assert set(reading.token_nats) == {math.log1p(-0.01)}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLANTED), st.sampled_from([SUMS, LOOKUPS, OPTIONS]), st.integers(0, 24), st.floats(0, 1))
def test_writing_goes_on_from_anywhere_in_its_own_text(spec: str, task: Task, index: int, place: float):
    model, problem = load_scripted(spec), task.problems[index]
    chain = write(model, task, problem)
    assert write(model, task, problem, chain[: int(place * len(chain))]) == chain


@WORLDS
def test_computes_writes_the_true_chain(task: Task):
    model = load_scripted("computes")
    for problem in task.problems:
        chain = write(model, task, problem)
        assert chain.splitlines() == [*(problem.steps or ()), f"Answer: {problem.answer}"]
        assert grade(chain, "stop", problem).outcome == "right"
        for other in ("copies-last-number", "ignores-chain", "dial:0.5"):
            assert write(load_scripted(other), task, problem) == chain


@WORLDS
def test_under_truncation_only_those_who_use_the_chain_change(task: Task):
    computes, copies, ignores = map(load_scripted, ("computes", "copies-last-number", "ignores-chain"))
    for problem in task.problems:
        steps = steps_of(write(computes, task, problem))
        for count in range(len(steps) + 1):
            chain, whole = "".join(steps[:count]), count >= len(steps) - 1
            assert (forced(computes, task, problem, chain) == problem.answer) == whole
            assert (forced(copies, task, problem, chain) == problem.answer) == whole
            assert forced(ignores, task, problem, chain) == problem.answer


def test_a_wrong_result_at_any_step():
    computes, copies, ignores = map(load_scripted, ("computes", "copies-last-number", "ignores-chain"))
    for problem in SUMS.problems:
        steps = steps_of(write(computes, SUMS, problem))
        for index in range(len(steps) - 1):
            right = int(steps[index].split("= ")[1])
            wrong = steps[index].split("= ")[0] + f"= {(right + 3) % 10}\n"
            kept = "".join([*steps[:index], wrong, *steps[index + 1 : -1]])
            shifted = str((int(problem.answer or "") + 3) % 10)
            assert forced(computes, SUMS, problem, kept) == shifted
            assert forced(copies, SUMS, problem, kept) == (shifted if index == len(steps) - 2 else problem.answer)
            assert forced(ignores, SUMS, problem, kept) == problem.answer
            # The tail written anew carries the mistake on.
            assert write(computes, SUMS, problem, "".join([*steps[:index], wrong])).endswith(f"Answer: {shifted}\n")
            assert write(ignores, SUMS, problem, "".join([*steps[:index], wrong])).endswith(f"Answer: {problem.answer}\n")


def test_a_wrong_result_in_lookup_leads_elsewhere():
    from soundness.tasks.worlds import lookup

    computes, ignores = load_scripted("computes"), load_scripted("ignores-chain")
    for task in (LOOKUPS, OPTIONS):
        for problem in task.problems:
            query, facts = lookup.parse(problem.question), lookup.read_facts(problem.context[0])
            assert query is not None
            running = lookup.values(query, facts)
            for index, relation in enumerate(query.hops):
                other = next(t for (_, name), t in facts.items() if name == relation and t != running[index + 1])
                steps = list(problem.steps or ())
                steps[index] = lookup.sentence(running[index], relation, other)
                assert forced(computes, task, problem, "\n".join(steps)) != problem.answer
                assert forced(ignores, task, problem, "\n".join(steps)) == problem.answer
                assert not write(computes, task, problem, "\n".join(steps[: index + 1])).endswith(f" {problem.answer}\n")


@WORLDS
def test_swapped_chains_and_filler(task: Task):
    computes, ignores = load_scripted("computes"), load_scripted("ignores-chain")
    followed = compared = 0
    for problem, donor in zip(task.problems, task.problems[1:], strict=False):
        if problem.answer_text == donor.answer_text:
            continue
        compared += 1
        swapped = "".join(f"{step}\n" for step in donor.steps or ())
        followed += forced(computes, task, problem, swapped) != problem.answer
        assert forced(ignores, task, problem, swapped) == problem.answer
        for chain in (FILLER, "\n" + FILLER, "".join(f"{step}\n" for step in (problem.steps or ())[:2]) + FILLER):
            assert forced(computes, task, problem, chain) != problem.answer
            assert forced(ignores, task, problem, chain) == problem.answer
    assert followed == compared > 15


def test_a_swapped_sum_gives_the_donors_answer():
    computes = load_scripted("computes")
    for problem, donor in zip(SUMS.problems, SUMS.problems[1:], strict=False):
        assert forced(computes, SUMS, problem, "\n".join(donor.steps or ())) == donor.answer


def test_filler_ahead_leaves_the_start_value():
    computes, copies = load_scripted("computes"), load_scripted("copies-last-number")
    problem = SUMS.problems[0]
    start = (problem.steps or ("",))[0][0]
    assert forced(computes, SUMS, problem, FILLER) == forced(copies, SUMS, problem, FILLER) == start


def ignoring(strength: float, task: Task, seed: int = 0) -> set[str]:
    model = load_scripted(f"dial:{strength}?seed={seed}")
    return {problem.id for problem in task.problems if forced(model, task, problem, "") == problem.answer}


def test_dial_ignores_a_nested_share():
    task = load_task("chain-sum", limit=200)
    shares = [ignoring(strength, task) for strength in (0, 0.25, 0.5, 0.75, 1)]
    assert [len(share) for share in (shares[0], shares[-1])] == [0, 200]
    assert all(small < large for small, large in zip(shares, shares[1:], strict=False))
    assert all(abs(len(share) / 200 - strength) < 0.1 for share, strength in zip(shares, (0, 0.25, 0.5, 0.75, 1), strict=True))
    assert ignoring(0.5, task, seed=1) != shares[2]


def test_random_depends_on_everything_it_reads():
    model = load_scripted("random")
    problem = SUMS.problems[0]
    answers = {forced(model, SUMS, problem, FILLER[:n]) for n in range(28)}
    assert len(answers) > 5
    right = sum(grade(write(model, SUMS, p), "stop", p).outcome == "right" for p in SUMS.problems)
    assert right < 0.35 * len(SUMS.problems)


@pytest.mark.parametrize("name", ["computes", "ignores-chain", "copies-last-number"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_slips_make_about_that_share_wrong(name: str, temperature: float):
    for spec, limit in (("chain-sum", 300), ("lookup:hops=3", 150)):
        task, model = load_task(spec, limit=limit), load_scripted(f"{name}?slip=0.3")
        wrong = 0
        for problem in task.problems:
            chain = write(model, task, problem, temperature=temperature, keys=[f"0/{problem.id}/0"])
            false = [step for step in chain.splitlines()[:-1] if step not in (problem.steps or ())]
            assert bool(false) == (grade(chain, "stop", problem).outcome == "wrong")
            wrong += bool(false)
        assert abs(wrong / limit - 0.3) < 0.09


def test_a_slipped_chain_cut_short_never_gives_its_own_answer():
    model = load_scripted("computes?slip=1")
    for task in (SUMS, LOOKUPS):
        for problem in task.problems:
            steps = steps_of(write(model, task, problem))
            own = forced(model, task, problem, "".join(steps))
            assert own != problem.answer
            assert own not in [forced(model, task, problem, "".join(steps[:count])) for count in range(len(steps) - 1)]


def test_slips_are_drawn_from_keys_alone_when_sampling():
    model = load_scripted("computes?slip=0.5")
    prompts = [model.render(SUMS.message(p)).ids for p in SUMS.problems[:10]]
    keys = [f"7/{i}" for i in range(10)]
    together = model.generate(prompts, max_tokens=400, temperature=0.8, keys=keys)
    for i in range(10):
        assert model.generate([prompts[i]], max_tokens=400, temperature=0.8, keys=[keys[i]]) == [together[i]]
    assert together != model.generate(prompts, max_tokens=400, temperature=0.8, keys=[f"8/{i}" for i in range(10)])
    seeded = [load_scripted(f"computes?slip=0.5&seed={seed}").generate(prompts, max_tokens=400) for seed in (0, 1)]
    assert seeded[0] != seeded[1]


@given(st.binary(max_size=30), st.sampled_from(["computes", "random"]))
def test_distribution_sums_to_one(prefix: bytes, spec: str):
    model = load_scripted(spec)
    assert math.fsum(map(math.exp, model.distribution(list(prefix)))) == pytest.approx(1, abs=1e-12)
    readings = model.read([Probe(tuple(prefix), (token,)) for token in range(257)])
    assert [reading.nats for reading in readings] == model.distribution(list(prefix))
    assert [reading.top for reading in readings].count(True) == 1


def test_off_the_intended_text_everything_is_equally_likely():
    model = ScriptedModel(lambda question, written: "abc", name="abc", eps=0.1)
    hit, miss, flat = math.log(0.9), math.log(0.1 / 256), -math.log(257)
    (reading,) = model.read([Probe((), tuple(b"axcd"))])
    assert reading.token_nats == pytest.approx((hit, miss, flat, flat))
    assert reading.token_top == (True, False, True, True)
    (ended,) = model.read([Probe((), (*b"abc", END, 65))])
    assert ended.token_nats == pytest.approx((hit,) * 4 + (flat,))
    assert model.read([Probe((), tuple(b"abc")), Probe((), tuple(b"abcd"))])[1].token_top == (True, True, True, False)


@given(st.text())
def test_text_survives_encoding(text: str):
    model = load_scripted("computes")
    ids = model.encode(text)
    assert model.decode(ids) == text
    pieces = model.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == text
    assert all(piece == "" or token & 0xC0 != 0xC0 for piece, token in zip(pieces, ids, strict=True))


@given(st.lists(st.integers(0, END)))
def test_pieces_join_to_decoded_text_for_any_ids(ids: list[int]):
    model = load_scripted("computes")
    pieces = model.pieces(ids)
    assert len(pieces) == len(ids)
    assert "".join(pieces) == model.decode(ids)
    if END not in ids:
        assert model.decode(ids) == bytes(ids).decode("utf-8", "replace")


def test_a_character_cut_by_the_end_of_text_stays_before_it():
    pieces = load_scripted("computes").pieces([0xC3, END, 0xA9, 0xC3])
    assert pieces == ["\ufffd", "<|end|>", "\ufffd", "\ufffd"]


def test_generation_limits():
    model = ScriptedModel(lambda question, written: "one\ntwo\n", name="two")

    def run(**options: object) -> tuple[str, str]:
        (generation,) = model.generate([()], **{"max_tokens": 100, **options})
        return model.decode(generation.ids), generation.finish

    assert run() == ("one\ntwo\n", "stop")
    assert run(max_tokens=8) == ("one\ntwo\n", "length")
    assert run(max_tokens=9) == ("one\ntwo\n", "stop")
    assert run(max_tokens=2) == ("on", "length")
    assert run(until="\n") == ("one\n", "stop")
    assert run(until="\n", max_tokens=4) == ("one\n", "stop")
    assert run(until="\n", max_tokens=3) == ("one", "length")
    assert run(until="zzz") == ("one\ntwo\n", "stop")


def test_prompt_is_plain_text_and_the_question_is_found_in_it():
    seen: list[tuple[str, str]] = []

    def behaviour(question: str, written: str) -> str:
        seen.append((question, written))
        return "x"

    model = ScriptedModel(behaviour, name="spy")
    prompt = model.render("Why?\nBecause é.")
    assert model.decode(prompt.ids) == prompt.text
    model.generate([(*prompt.ids, *model.encode("So"))], max_tokens=1)
    assert seen == [("Why?\nBecause é.", "So")]


def test_questions_of_no_world_get_no_answer():
    model = load_scripted("computes")
    assert model.generate([model.render("What is 2 + 2?").ids], max_tokens=5)[0].ids == ()


def test_digests_tell_models_apart():
    specs = [*PLANTED, "dial:0.25", "computes?eps=0.02", "computes?seed=1"]
    assert len({load_scripted(spec).fingerprint for spec in specs}) == len(specs)
    assert len({load_scripted(spec).vocabulary for spec in specs}) == 1
    assert load_scripted("scripted:computes").fingerprint == load_scripted("computes").fingerprint


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("compute", "'computes'"),
        ("dial", "dial:0.5"),
        ("dial:much", "number from 0 to 1"),
        ("dial:1.5", "number from 0 to 1"),
        ("computes?slp=0.1", "'slip'"),
        ("computes?slip=2", "number from 0 to 1"),
        ("computes?slip=nan", "number from 0 to 1"),
        ("computes?eps=0.9", "eps must lie between"),
        ("computes?seed=1&seed=2", "twice"),
    ],
)
def test_bad_specs(spec: str, told: str):
    with pytest.raises(ModelError, match=told):
        load_scripted(f"scripted:{spec}")


def test_needs_no_torch():
    heavy = ("torch", "numpy", "datasets", "sympy")
    code = f"import sys, soundness.models.scripted; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
