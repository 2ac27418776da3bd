"""Where a text stops reasoning and states its answer.

Each case holds "¦" where the closing begins and "«»" around the stated value; the characters are part of no case.
"""

from __future__ import annotations

import pytest

from soundness.answers.channels import Stretch
from soundness.chains.closing import find_closing, has_reasoning, short_report
from soundness.records import Problem

NUMBER = Problem("p", "How many?", "5")
CHOICE = Problem("p", "Which one?", "B", choices=("cat", "cow", "dog"))


def marked(text: str, problem: Problem) -> str:
    closing = find_closing(text, Stretch(0, len(text)), problem)
    if closing is None:
        return text
    marks = sorted([(closing.value.start, "«"), (closing.value.stop, "»"), (closing.start, "¦")], key=lambda mark: mark[0])
    for place, mark in reversed(marks):
        text = text[:place] + mark + text[place:]
    return text


def bare(case: str) -> str:
    return case.translate(str.maketrans("", "", "¦«»"))


NUMBERS = {
    "a line": "7 - 2 = 5\n¦Answer: «5»",
    "the next line": "7 - 2 = 5\n¦Answer:\n«5»",
    "in the last sentence": "3 + 4 = 7, then 7 - 2 = 5¦, so the answer is «5».",
    "without a comma": "Taking two away gives 5¦ so the answer is «5»",
    "its own sentence": "7 - 2 = 5.¦ Therefore, the final answer is $\\boxed{«5»}$.",
    "a lone box": "7 - 2 = 5.¦ \\boxed{«5»}",
    "a result in a box": "7 - 2 = \\boxed{«5»}¦",
    "an equation is the statement": "Answer: 3 + 4 = 7, 7 - 2 = «5»¦",
    "the answer is an equation": "So the answer is 7 - 2 = «5»¦.",
    "said twice": "7 - 2 = 5\n¦So the answer is «5».\n\nAnswer: 5",
    "said three times": "7 - 2 = 5.¦ So the answer is «5».\n**Answer:** 5\n$\\boxed{5}$",
    "checked and said again": "7 - 2 = 5. The answer is 5. Check: 5 + 2 = 7.¦ Answer: «5»",
    "another answer before": "The answer is 4. No.¦ The answer is «5».",
    "a heading": "7 - 2 = 5\n\n¦### Final Answer\n\n**«5»**",
    "GSM8K": "7 - 2 = 5\n¦#### «5»",
    "GSM8K in a line": "7 - 2 = 5.¦ #### «5»",
    "in words": "Answer: Adding 4 to 3 gives 7, then taking 2 from 7 leaves «5»¦.",
    "the value first": "7 - 2 = 5¦, so «5» is the answer.",
    "its words lead to it": "7 - 2 = 5.¦ Adding up the apples the answer is «5».",
    "in Chinese punctuation": "7 - 2 = 5。¦The answer is «5»。",
    "polite words behind": "7 - 2 = 5\n¦Answer: «5»\nI hope this helps!",
    "nothing outright": "3 + 4 = 7\n7 - 2 = 5",
    "work behind the word": "Answer: 3 + 4 = 7\n7 - 2 = 5",
    "nothing at all": "",
    "a denial": "The answer is not 4, it is 7 - 2 = «5 apples»¦",
    "a colon": "7 - 2 = 5.¦ Therefore, the final answer is: $\\boxed{«5»}$",
    "a colon behind other words": "She counts them:¦ $\\boxed{«5»}$",
}
CHOICES = {
    "a letter": "Cows moo¦, so the answer is («B»).",
    "a reason behind": "Cats purr.¦ The correct answer is «B» because cows moo.",
    "with its option": "It moos.\n¦Answer: «B». cow",
    "correct option": "It moos.¦ Option «B» is correct.",
    "nothing outright": "It is a cow that moos, no cat.",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    assert marked(bare(NUMBERS[name]), NUMBER) == NUMBERS[name]


@pytest.mark.parametrize("name", CHOICES)
def test_choices(name):
    assert marked(bare(CHOICES[name]), CHOICE) == CHOICES[name]


FIRST = {
    "steps behind": "Answer: 5\n3 + 4 = 7\n7 - 2 = 5",
    "steps between": "Answer: 5\n3 + 4 = 7\n7 - 2 = 5\nAnswer: 5",
    "in one sentence": "The answer is 5 because 3 + 4 = 7 and 7 - 2 = 5.",
    "behind a greeting": "Sure! The answer is 5.\n7 - 2 = 5",
    "in words": "The answer is 5. " + "Whoever has seven of them and eats two has that many left in the end, as one sees.",
}
LAST = {
    "steps before": "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5",
    "a check behind": "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5\n5 + 2 = 7",
    "no steps": "Answer: 5\nI hope this helps.",
    "another answer first": "The answer is 4.\nNo, 7 - 2 = 5.\nAnswer: 5",
    "nothing outright": "7 - 2 = 5",
}


@pytest.mark.parametrize("name", [*FIRST, *LAST])
def test_answers_before_and_after_the_steps(name):
    text = FIRST.get(name) or LAST[name]
    closing = find_closing(text, Stretch(0, len(text)), NUMBER)
    assert (closing is not None and closing.answer_first) is (name in FIRST)


def test_a_region_alone_is_looked_at():
    text = "Answer: 4\n7 - 2 = 5\nAnswer: 5\nAnswer: 6"
    closing = find_closing(text, Stretch(10, 30), NUMBER)
    assert (closing.start, closing.value) == (20, Stretch(28, 29))


def test_reports_of_a_few_words():
    assert short_report("He has 5 left.", Stretch(0, 14), "5").value == Stretch(7, 8)
    assert short_report("He has 5 left.", Stretch(0, 14), "4") is None
    assert short_report("He has 5 left.", Stretch(0, 14), None) is None
    assert short_report("So 7 - 2 = 5", Stretch(0, 12), "5") is None
    assert short_report("word " * 20 + "5", Stretch(0, 101), "5") is None


@pytest.mark.parametrize(("text", "expected"), [("Sure, let me see.", False), ("so 3", True), ("word " * 8, True), ("", False)])
def test_what_could_be_a_step(text, expected):
    assert has_reasoning(text) is expected
