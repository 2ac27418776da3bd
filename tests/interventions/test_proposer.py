from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.interventions.proposer import RULES, StepToCorrupt, ask_mistakes, ask_rewrites, meaning_change, no_mistake
from soundness.models.scripted import ScriptedModel
from soundness.tasks.worlds import chain_sum, lookup


@pytest.mark.parametrize("operator", list(RULES))
@given(seed=st.integers(0, 10_000))
def test_worlds_understand_every_rule(operator: str, seed: int) -> None:
    """A reworded true chain leads where the chain leads."""
    rule = RULES[operator]
    problem = chain_sum.generate(1, seed=seed).problems[0]
    told = [rule(step) for step in problem.steps]
    assert all(text is not None and text != step for text, step in zip(told, problem.steps, strict=True))
    assert str(chain_sum.follow("\n".join(map(str, told)))) == problem.answer
    problem = lookup.generate(1, seed=seed % 50, hops=3).problems[0]
    told = [rule(step) for step in problem.steps]
    facts = lookup.read_facts(problem.context[0])
    assert lookup.follow("\n".join(map(str, told)), facts) == problem.answer
    assert all(
        not meaning_change(step, str(text), problem.answer, problem) for step, text in zip(problem.steps, told, strict=True)
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("12 * 3 = 36 eggs.", "Multiplying 12 by 3 gives 36 eggs."),
        ("$1,200 / 4 = $300", "Dividing $1,200 by 4 gives $300"),
        ("9.5 - 2 = 7.5", "Subtracting 2 from 9.5 gives 7.5"),
        ("3 + 4 = 7, 7 - 2 = 5", "Adding 4 to 3 gives 7, Subtracting 2 from 7 gives 5"),
    ],
)
def test_arithmetic(text: str, sentence: str) -> None:
    assert RULES["sentence"](text) == sentence


@pytest.mark.parametrize(
    "text", ["2 + 3 + 4 = 9", "He walks home.", "The answer of course is clear", "The colour of it is not red.", "x4 + 2"]
)
def test_what_no_rule_says_better_is_left_alone(text: str) -> None:
    assert RULES["sentence"](text) is None and RULES["words"](text) is None


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("Tom has 3 cats.", "Tom owns 3 cats.", ""),
        ("Tom has 3 cats.", "Tom  has 3 cats.", "nothing"),
        ("Tom has 3 cats.", "Tom owns three cats.", "number"),
        ("It is not red.", "It is red.", "negation"),
        ("So Tom met Ann.", "So Tom met Bob.", "name"),
        ("It is red.", "Its colour is a warm one.", "answer"),
    ],
)
def test_a_rewrite_has_to_say_the_same(before: str, after: str, why: str) -> None:
    found = meaning_change(before, after, "red")
    assert (why in found) if why else found == ""


def test_a_proposer_sees_the_text_alone_and_blanks_stay() -> None:
    seen = []

    def other_words(question: str, written: str) -> str:
        seen.append(question)
        return "" if written else '"Cats are what Tom has."'

    model = ScriptedModel(other_words, name="proposer")

    assert ask_rewrites([" Tom has cats.\n", " Tom has cats.\n", "  "], model) == {
        " Tom has cats.\n": " Cats are what Tom has.\n"
    }
    assert len(set(seen)) == 1 and "Tom has cats." in seen[0]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("3 + 4 = 7", "3 + 4 = 8", ""),
        ("3 + 4 = 7", "3 - 4 = 7", ""),
        ("7 - 2 = 5", "2 - 7 = 5", ""),
        ("So it is not wet.", "So it is wet.", ""),
        ("The train is faster.", "The train is slower.", ""),
        ("Tom met Ann at noon.", "Tom met Bob at noon.", ""),
        ("3 + 4 = 7", "", "wrote nothing"),
        ("3 + 4 = 7.", "3 + 4  = 7", "changed nothing"),
        ("The train is fast.", "So the train was fast.", "no number"),
        ("3 + 4 = 7", "I cannot help you with making a mistake.", "another sentence"),
        ("3 + 4 = 7", "3 + 4 = 9", "own answer"),
    ],
)
def test_a_mistake_has_to_be_that_step_and_not_say_the_same(before: str, after: str, why: str) -> None:
    found = no_mistake(before, after, "9")
    assert (why in found) if why else found == ""


@pytest.mark.parametrize(
    ("reply", "text", "reason"),
    [
        ("3 + 4 = 8", " 3 + 4 = 8\n", ""),
        (' "3 + 4 = 8"\n\nQuestion: and the next example', " 3 + 4 = 8\n", ""),
        ("Mistaken step: 3 + 4 = 8", " 3 + 4 = 8\n", ""),
        ("", None, "the proposer wrote nothing"),
        ("3 + 4 = 7", None, "the proposer changed nothing"),
        ("3 + 4 = 8" + " and so on" * 40, None, "the proposer's text was cut off"),
    ],
)
def test_a_step_as_a_model_spoils_it(reply: str, text: str | None, reason: str) -> None:
    seen = []

    def spoils(question: str, written: str) -> str:
        seen.append(question)
        return reply[len(written) :]

    model = ScriptedModel(spoils, name=f"spoils {reply}")

    step = StepToCorrupt("What is 3 + 4 + 2?", "First the sum.\n", " 3 + 4 = 7\n", "9")
    (found,) = ask_mistakes([step], model)
    assert (found.text, found.reason) == (text, reason)
    tail = "Question: What is 3 + 4 + 2?\nReasoning so far: First the sum.\nNext step: 3 + 4 = 7\nMistaken step:"
    assert all(tail in question for question in seen) and seen
    assert ask_mistakes([], model) == []
