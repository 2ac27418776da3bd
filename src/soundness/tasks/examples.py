"""Worked examples for models that were never taught to answer a message, written for this project; no data set holds them."""

from __future__ import annotations

from collections.abc import Sequence

from soundness.records import Problem

__all__ = ["built_in_examples"]

_NUMBERS = (
    Problem(
        "example-1",
        "A shelf holds 12 books. Mia puts 5 more on it and then takes 3 away. How many books are on the shelf?",
        "14",
        steps=("With the new ones there are 12 + 5 = 17 books.", "After she takes some away there are 17 - 3 = 14 books."),
    ),
    Problem(
        "example-2",
        "A ticket costs 8 dollars. Four friends buy one each and share a snack for 6 dollars. What do they spend in all?",
        "38",
        steps=("The tickets cost 4 * 8 = 32 dollars.", "With the snack they spend 32 + 6 = 38 dollars."),
    ),
    Problem(
        "example-3",
        "A ferry takes 45 minutes for one crossing. How many hours do 8 crossings take?",
        "6",
        steps=("The crossings take 8 * 45 = 360 minutes.", "That is 360 / 60 = 6 hours."),
    ),
    Problem(
        "example-4",
        "Half of the 30 pupils of a class walk to school. A third of the others cycle. How many pupils cycle?",
        "5",
        steps=("30 / 2 = 15 pupils walk, so 30 - 15 = 15 pupils do not.", "Of these, 15 / 3 = 5 cycle."),
    ),
)

_TEXTS = (
    Problem(
        "example-1",
        "Ben is older than Ida, and Ida is older than Tom. Who of the three is the youngest?",
        "Tom",
        steps=("Ida is younger than Ben.", "Tom is younger than Ida, so he is younger than both."),
    ),
    Problem(
        "example-2",
        "Today is Monday. Which day of the week is it in ten days?",
        "Thursday",
        steps=("In seven days it is Monday again.", "Three days after that it is Thursday."),
    ),
    Problem(
        "example-3",
        "Is a whale a fish?",
        "no",
        steps=(
            "Whales breathe air and feed their young with milk.",
            "Animals that do so are mammals, and mammals are no fish.",
        ),
    ),
    Problem(
        "example-4",
        "A recipe needs 200 grams of flour for 4 people. How many grams does it need for 6 people?",
        "300",
        steps=("For one person it needs 200 / 4 = 50 grams.", "For 6 people it needs 6 * 50 = 300 grams."),
    ),
)

_CHOICES = (
    Problem(
        "example-1",
        "Which of these is a liquid at room temperature?",
        "B",
        choices=("iron", "olive oil", "oxygen", "salt"),
        steps=("Iron and salt are solid at room temperature.", "Oxygen is a gas.", "Olive oil flows, so it is a liquid."),
    ),
    Problem(
        "example-2",
        "A box weighs 3 kilograms. How much do seven such boxes weigh?",
        "D",
        choices=("10 kilograms", "14 kilograms", "18 kilograms", "21 kilograms"),
        steps=("Seven boxes weigh seven times as much as one.", "7 * 3 = 21 kilograms."),
    ),
    Problem(
        "example-3",
        "Lea leaves after Max, and Max leaves after Jo. Who leaves first?",
        "C",
        choices=("Lea", "Max", "Jo"),
        steps=("Jo leaves before Max.", "Lea leaves after Max, so Jo is the first."),
    ),
    Problem(
        "example-4",
        "What do plants take from the air to grow?",
        "A",
        choices=("carbon dioxide", "helium", "sand", "sugar"),
        steps=("Plants make sugar from light, water and a gas.", "The gas is carbon dioxide."),
    ),
)


def built_in_examples(problems: Sequence[Problem], choices: bool) -> tuple[Problem, ...]:
    """Return four worked examples of the kind that `problems` mostly are: with choices, with a number for an answer, or other."""
    if choices:
        return _CHOICES
    answers = [problem.answer for problem in problems if problem.answer is not None and problem.choices is None]
    numbers = sum(_is_number(answer) for answer in answers)
    return _TEXTS if answers and numbers < len(answers) / 2 else _NUMBERS


def _is_number(text: str) -> bool:
    bare = text.strip().strip("$€£%").replace(",", "").lstrip("-+")
    return bool(bare) and bare.replace(".", "", 1).replace("/", "", 1).isdigit()
