from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from soundness.answers import grade
from soundness.errors import ModelError
from soundness.models import planted
from soundness.models.planted import CLOSINGS, FORMS, Plant
from soundness.models.scripted import ScriptedModel
from soundness.records import Problem
from soundness.tasks import load_task

TASK = load_task("chain-sum", limit=12, seed=3)
FIRST, SECOND = TASK.problems[:2]


def read_answer(text: str, problem: Problem) -> str | None:
    return grade(text, "stop", problem).answer


DRESSES = [
    *(Plant(step=step, join=join) for step, join in product(get_args(planted.Step), get_args(planted.Join))),
    *(Plant(closing=closing) for closing in CLOSINGS if closing not in ("none", "working")),
    *(Plant(form=form) for form in FORMS if form != "said"),
    *(Plant(opening=opening) for opening in get_args(planted.Opening)),
    Plant(restates=True),
    Plant(checks=True),
    Plant(join="sentence", closing="so"),
    Plant(join="sentence", closing="working"),
    Plant(step="words", join="merged", restates=True, form="stop", opening="thinking"),
]


def prompt(model: ScriptedModel, problem: Problem) -> tuple[int, ...]:
    return model.render(TASK.message(problem)).ids


def written(model: ScriptedModel, problem: Problem, begun: str = "", max_tokens: int = 600, key: str | None = None) -> str:
    """Return all that the model writes for a problem, `begun` included; with a key, at a temperature."""
    prefix = (*prompt(model, problem), *model.encode(begun))
    options = {"temperature": 0.8, "keys": [key]} if key is not None else {}
    (made,) = model.generate([prefix], max_tokens=max_tokens, **options)
    return begun + model.decode(made.ids)


def up_to_the_answer(text: str, answer: str) -> str:
    """Return a chain as far as its answer, which is not part of it any more."""
    return text[: text.rindex(answer)].rstrip(" *").removesuffix("\\boxed{").rstrip()


@pytest.mark.parametrize("plant", DRESSES, ids=lambda plant: plant.name)
def test_every_dress_says_the_same(plant: Plant) -> None:
    model = plant.model()
    for problem in TASK.problems:
        assert read_answer(written(model, problem), problem) == problem.answer


@pytest.mark.parametrize("plant", DRESSES, ids=lambda plant: plant.name)
def test_a_dressed_model_that_computes_follows_the_chain_of_another_question(plant: Plant) -> None:
    model = plant.model()
    for problem, other in zip(TASK.problems, TASK.problems[1:], strict=False):
        begun = up_to_the_answer(written(model, other), str(other.answer))
        assert read_answer(written(model, problem, begun), problem) == other.answer


@pytest.mark.parametrize("plant", DRESSES, ids=lambda plant: plant.name)
def test_what_is_written_does_not_depend_on_where_it_is_taken_up(plant: Plant) -> None:
    model = plant.model()
    whole = written(model, FIRST)
    # Its own text, and what it makes of half a chain of another question.
    half = written(model, FIRST, written(model, SECOND)[: len(whole) // 2])
    for text, first in ((whole, 0), (half, len(whole) // 2)):
        for at in range(first, len(text), 5):
            assert written(model, FIRST, text[:at]) == text


@pytest.mark.parametrize(
    ("source", "follows", "keeps"),
    [
        ("computes", 1, 0),
        ("last", 1, 0),
        ("encoded", 1, 0),
        ("echo", 1, 0),
        ("ignores", 0, 1),
        ("double", 0, 1),
        ("first", None, None),
        ("random", None, None),
    ],
)
def test_each_source_answers_from_what_it_says(source: planted.Source, follows: int | None, keeps: int | None) -> None:
    model = Plant(source).model()
    followed = kept = 0
    pairs = [(a, b) for a in TASK.problems[:6] for b in TASK.problems[6:] if a.answer != b.answer]
    for problem, other in pairs:
        begun = written(model, other).rpartition("Answer:")[0]
        answer = read_answer(written(model, problem, begun), problem)
        followed += answer == read_answer(written(model, other), other)
        kept += answer == read_answer(written(model, problem), problem)
    if follows is None:
        assert followed < len(pairs) / 2 and kept < len(pairs) / 2
    else:
        assert len(pairs) > 20 and (followed, kept) == (follows * len(pairs), (keeps or 0) * len(pairs))


def test_the_last_result_counts_whatever_leads_to_it() -> None:
    chain = "3 + 4 = 7\n7 - 2 = 5\n5 + 1 = 6\n6 + 2 = 8\nAnswer:"
    spoilt = chain.replace("7 - 2 = 5", "7 - 2 = 1")
    last, computes = Plant("last").model(), Plant().model()
    assert read_answer(written(last, FIRST, spoilt), FIRST) == "8" == read_answer(written(computes, FIRST, chain), FIRST)
    assert read_answer(written(computes, FIRST, spoilt), FIRST) == "4"


def test_the_plain_cue_alone_makes_it_compute() -> None:
    model = Plant("cue").model()
    begun = written(model, SECOND).rpartition("Answer:")[0]
    assert read_answer(written(model, FIRST, begun), FIRST) == FIRST.answer
    assert read_answer(written(model, FIRST, begun + "Answer:"), FIRST) == SECOND.answer


def test_damage_shows_where_steps_are_false_or_missing_or_another_questions() -> None:
    own = written(Plant().model(), FIRST).rpartition("Answer:")[0]
    other = written(Plant().model(), SECOND).rpartition("Answer:")[0]
    for plant, foreign in ((Plant("ignores", damage="default"), "4"), (Plant(damage="default", foreign=False), SECOND.answer)):
        model = plant.model()
        said = {
            text: read_answer(written(model, FIRST, text + "Answer:"), FIRST) for text in (own, other, "", own[: len(own) // 2])
        }
        assert said == {own: FIRST.answer, other: foreign, "": "4", own[: len(own) // 2]: "4"}
    assert "**" in written(Plant("ignores", damage="reworded").model(), FIRST, other + "Answer:")
    repeated = written(Plant("ignores", damage="repeats").model(), FIRST, other + "Answer:")
    assert repeated.count(other.partition("\n")[0]) == 2


def test_shares_are_of_the_questions() -> None:
    task = load_task("chain-sum", limit=300)

    def share(plant: Plant, test: str) -> float:
        model = plant.model()
        texts = [
            model.decode(model.generate([model.render(task.message(p)).ids], max_tokens=600)[0].ids) for p in task.problems
        ]
        return sum(test in text if test else "\n" in text.rstrip() for text in texts) / len(texts)

    assert share(Plant(silent=0.3), "") == pytest.approx(0.7, abs=0.08)
    assert share(Plant(refuse=0.3), "I cannot say") == pytest.approx(0.3, abs=0.08)
    assert share(Plant(cut=0.6), "once more") == pytest.approx(0.6, abs=0.08)
    assert share(Plant(cut=1, cut_where="hard"), "once more") == pytest.approx(0.5, abs=0.08)
    assert share(Plant(cut=1, cut_where="wrong", slip=0.2), "once more") == pytest.approx(0.2, abs=0.08)


def test_confidence_moves_no_choice() -> None:
    sure, unsure = Plant(eps=0.001).model(), Plant(eps=0.001, scale=0.5).model()
    assert written(sure, FIRST) == written(unsure, FIRST)
    following = sure.distribution(prompt(sure, FIRST)), unsure.distribution(prompt(unsure, FIRST))
    assert max(following[0]) == pytest.approx(-0.001, rel=0.01) and max(following[1]) == pytest.approx(-0.41, abs=0.02)
    # Scaled logits: differences of log-probabilities are halved.
    gaps = [max(row) - min(row) for row in following]
    assert gaps[1] == pytest.approx(gaps[0] / 2)


def test_samples_slip_apart() -> None:
    model = Plant(slip=0.5).model()
    texts = {written(model, FIRST, key=f"0/{i}") for i in range(20)}
    assert 2 < len(texts) and written(model, FIRST, key="0/1") == written(model, FIRST, key="0/1")
    assert {written(Plant(slip=1.0, seed=seed).model(), FIRST) for seed in range(5)} != {written(Plant().model(), FIRST)}


def test_other_questions_get_nothing() -> None:
    model = Plant().model()
    assert model.decode(model.generate([model.render("How long is this?").ids], max_tokens=9)[0].ids) == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"source": "guesses"}, "no source 'guesses'"), ({"form": "loud"}, "no form 'loud'"), ({"h": 1.5}, "between 0 and 1")],
)
def test_what_cannot_be_planted_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Plant(**wrong)  # type: ignore[arg-type]


def test_the_name_says_what_differs() -> None:
    assert Plant().name == "planted:computes"
    assert Plant("dial", h=0.3, step="words").name == "planted:dial?h=0.3&step=words"
    assert Plant("dial", h=0.3).model().fingerprint != Plant("dial", h=0.4).model().fingerprint
