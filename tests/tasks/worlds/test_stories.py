from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.errors import SettingError
from soundness.tasks.worlds import stories
from soundness.tasks.worlds.stories import MOST, Event, Story, draw, generate, parse, puzzle, question, written

drawn = st.builds(lambda seed, steps: draw(random.Random(seed), steps), st.integers(0, 10**6), st.integers(2, 6))
MIA = Story("Mia", "marbles", 12, (Event(3, 6, 0), Event(13, 3, None)), 0, 0)


def test_by_hand():
    asked = puzzle(MIA)
    assert question(MIA) == (
        "Mia has 12 marbles. At the fair, Mia wins 6 more marbles. Mia shares the marbles equally among 3 people and keeps one "
        "share. How many marbles does Mia have now?"
    )
    assert asked.true_steps() == (
        "With 6 more won, the number is 12 + 6 = 18 marbles.",
        "One share of 3 is 18 / 3 = 6 marbles.",
    )
    assert asked.running == ("12", "18", "6")


@settings(deadline=None)
@given(drawn)
def test_a_story_is_read_back_from_its_words(story):
    assert parse(question(story)) == story
    assert parse(f"Mia has 3 apples. {question(story)}\nThink step by step.") == story
    assert all(value.denominator == 1 and 3 <= value <= MOST for value in stories.values(story))


def test_no_phrase_is_another_one():
    """A sentence tells one event and no other, whatever the name, the things and the number."""
    for index, phrase in enumerate(stories._PHRASES):
        told = phrase.told.format(who="Omar", things="shells", n=7)
        fitting = [number for number, pattern in enumerate(stories._TOLD) if pattern.fullmatch(told)]
        assert fitting == [index]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Mia shares", "Omar shares"),
        ("share the", "eat the"),
        ("How many marbles", "How many apples"),
        ("12 marbles", "twelve marbles"),
        ("At the fair, ", "At the zoo, "),
        ("?", "."),
        ("Mia has 12 marbles. ", ""),
    ],
)
def test_another_text_is_no_story(old, new):
    text = question(MIA)
    changed = text.replace(old, new)
    assert (parse(changed) is None) is (changed != text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12 + 6 = 18, then 18 / 3 = 6.", "6"),
        ("12 + 6 = 19, then 18 / 3 = 6.", "6.33"),
        ("12 + 6 = 19, then 19 / 3 = 6.", "6"),
        ("12 × 6 = 72 and 72 ÷ 8 = 9", "9"),
        ("12 + 6 = 18.5 marbles", "18.5"),
        ("18 / 0 = 7. 5 / 0 = 3.", "7"),
        ("There are 12 marbles.", None),
    ],
)
def test_what_equations_lead_to(text, value):
    assert puzzle(MIA).follow(text) == value


@pytest.mark.parametrize(
    ("statement", "truth"),
    [
        ("So there are 12 + 6 = 18 marbles.", True),
        ("12 + 6 = 18", True),
        ("17 / 2 = 8.5", True),
        ("1 / 3 = 0.33", True),
        ("12 + 6 = 8", False),
        ("12 + 6 = 18 and 18 / 3 = 9", False),
        ("5 / 0 = 0", False),
        ("There are 18 marbles.", None),
    ],
)
def test_equations_are_checked(statement, truth):
    assert puzzle(MIA).check(statement) is truth


def test_an_equation_that_may_go_on_is_not_finished():
    asked = puzzle(MIA)
    assert [asked.num_written(text) for text in ("12 + 6 = 1", "12 + 6 = 18 ", "12 + 6 = 18.", "12 + 6 = 18.\n", "")] == [
        0,
        1,
        0,
        1,
        0,
    ]


def test_wrong_results_leave_whole_numbers_to_the_end():
    asked = puzzle(MIA)
    assert asked.wrong_results(0) == [str(number) for number in range(3, 59, 3) if number != 18]
    assert all(Fraction(asked.last_after(0, wrong) or "").denominator == 1 for wrong in asked.wrong_results(0))


def test_values_are_written_short():
    assert [written(Fraction(value)) for value in ("12", "17/2", "1/3", "-5/4")] == ["12", "8.5", "0.33", "-1.25"]


def test_numbers_of_steps():
    assert {len(problem.steps) for problem in generate(60, seed=1).problems} == {2, 3, 4, 5, 6}
    assert {len(problem.steps) for problem in generate(5, seed=1, steps=4).problems} == {4}
    for steps in (1, 7, -2):
        with pytest.raises(SettingError, match="2 to 6 steps"):
            generate(3, steps=steps)
    with pytest.raises(SettingError, match="n of at least 1"):
        generate(0)
