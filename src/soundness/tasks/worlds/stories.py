"""Short stories of whole numbers: a few things happen to somebody's things, one after the other, in plain English.

    Mia has 12 marbles. At the fair, Mia wins 6 more marbles. Mia shares the marbles equally among 3 people and keeps one share. How
    many marbles does Mia have now?

    With 6 more won, the number is 12 + 6 = 18 marbles.
    One share of 3 is 18 / 3 = 6 marbles.
    Answer: 6

Every step is a sentence with its equation, worked on whole numbers. Each result is used by the step behind it, so another one in the
middle leads to another answer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from soundness.errors import SettingError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds.base import Puzzle, World

__all__ = ["Event", "Stories", "Story", "StoryPuzzle", "draw", "generate", "parse", "question"]

NAMES = tuple("Mia Omar Lena Tariq Nora Felix Priya Jonas Aisha Bruno Keiko Marta Paulo Signe Yusuf".split())
THINGS = tuple("marbles stickers apples pencils postcards shells buttons coins cookies beads walnuts stamps".split())
PLACES = (
    "At the fair",
    "On Monday",
    "After lunch",
    "In the garden",
    "On the way home",
    "At school",
    "The next day",
    "Later that week",
)

MOST = 400
"""No value in a story is larger: people reckon with such numbers in their heads."""


class _Phrase(NamedTuple):
    """One way in which something happens, told in the question and worked out in a step."""

    sign: str
    told: str
    """A sentence of the story; {who}, {things} and {n} stand for the name, the things and the number."""
    step: str
    """The beginning of the step, up to its equation."""


_PHRASES = (
    _Phrase("+", "{who} buys {n} more {things}", "{who} buys {n} more, so there are"),
    _Phrase("+", "{who} finds {n} {things} under a bench", "Another {n} are found, and that makes"),
    _Phrase("+", "a friend gives {who} {n} {things}", "The friend brings {n}, which means"),
    _Phrase("+", "{who} wins {n} more {things}", "With {n} more won, the number is"),
    _Phrase("+", "an aunt sends {n} {things} to {who}", "The aunt sends {n}, so now it is"),
    _Phrase("-", "{who} gives away {n} {things}", "Giving away {n} leaves"),
    _Phrase("-", "{who} loses {n} of the {things}", "After {n} are lost there are"),
    _Phrase("-", "{who} sells {n} {things} to a neighbour", "The neighbour takes {n}, so what is left is"),
    _Phrase("-", "{n} {things} turn out to be broken and are thrown out", "Without the {n} broken ones there are"),
    _Phrase("-", "a little brother takes {n} of the {things}", "The brother takes {n}, which leaves"),
    _Phrase("*", "{who} trades every one of the {things} for {n} smaller ones", "Each one becomes {n}, so there are"),
    _Phrase("*", "{who} ends up with {n} times as many {things}", "{n} times as many makes"),
    _Phrase(
        "*", "a rich uncle makes the number of {things} {n} times as large", "The uncle multiplies them by {n}, and that gives"
    ),
    _Phrase("/", "{who} shares the {things} equally among {n} people and keeps one share", "One share of {n} is"),
    _Phrase("/", "{who} packs the {things} evenly into {n} bags and keeps only one bag", "One bag out of {n} holds"),
    _Phrase("/", "only one out of every {n} {things} is any good, and the rest are left behind", "One out of every {n} means"),
)
"""What may happen. No two tell a story in the same words."""

_OPENINGS = (
    "{who} has {n} {things}.",
    "{who} starts with {n} {things}.",
    "There are {n} {things} in the box that belongs to {who}.",
)
_QUESTIONS = (
    "How many {things} does {who} have now?",
    "How many {things} are left in the end?",
    "What is the number of {things} that {who} ends up with?",
)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens."""

    phrase: int
    """Which of the phrases tells it."""
    number: int
    """The number in it, 2 or more."""
    place: int | None
    """Which of the places it begins with, or None."""

    @property
    def sign(self) -> str:
        """The operation: "+", "-", "*" or "/"."""
        return _PHRASES[self.phrase].sign


@dataclass(frozen=True, slots=True)
class Story:
    """Who has how many of what, and what happens to them."""

    who: str
    things: str
    start: int
    events: tuple[Event, ...]
    opening: int
    """Which of the openings it begins with."""
    asks: int
    """Which of the questions it ends with."""


def apply(value: Fraction, sign: str, number: Fraction | int) -> Fraction:
    """Return what one operation leaves.

    >>> apply(Fraction(12), "/", 4), apply(Fraction(3), "*", 5)
    (Fraction(3, 1), Fraction(15, 1))
    """
    if sign == "+":
        return value + number
    if sign == "-":
        return value - number
    return value * number if sign == "*" else value / number


def values(story: Story) -> list[Fraction]:
    """Return the running values, the start first and the answer last."""
    running = [Fraction(story.start)]
    for event in story.events:
        running.append(apply(running[-1], event.sign, event.number))
    return running


def written(value: Fraction) -> str:
    """Return a value as a step writes it: a whole number, or a decimal of two places at most.

    >>> written(Fraction(12)), written(Fraction(17, 2)), written(Fraction(1, 3))
    ('12', '8.5', '0.33')
    """
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.2f}".rstrip("0").rstrip(".")


def question(story: Story) -> str:
    """Return the question's text; `parse` inverts it."""
    words = {"who": story.who, "things": story.things}
    sentences = [_OPENINGS[story.opening].format(n=story.start, **words)]
    for event in story.events:
        told = _PHRASES[event.phrase].told.format(n=event.number, **words)
        sentences.append(f"{PLACES[event.place]}, {told}." if event.place is not None else f"{told[0].upper()}{told[1:]}.")
    return " ".join([*sentences, _QUESTIONS[story.asks].format(**words)])


def _pattern(template: str, **groups: str) -> str:
    """Return a regular expression for what a template tells, its places matched by `groups`."""
    parts = re.split(r"\{(\w+)\}", template)
    return "".join(re.escape(part) if index % 2 == 0 else groups[part] for index, part in enumerate(parts))


_ANY = {"who": rf"(?:{'|'.join(NAMES)})", "things": rf"(?:{'|'.join(THINGS)})", "n": r"(\d{1,3})"}
_FIRST = [
    re.compile(
        _pattern(opening, who=rf"(?P<who>{'|'.join(NAMES)})", things=rf"(?P<things>{'|'.join(THINGS)})", n=r"(?P<n>\d{1,3})")
    )
    for opening in _OPENINGS
]
_TOLD = [re.compile(_pattern(phrase.told, **_ANY), re.IGNORECASE) for phrase in _PHRASES]
_ASKED = [re.compile(_pattern(asked, **_ANY)) for asked in _QUESTIONS]
_PLACE = re.compile(rf"(?:(?P<place>{'|'.join(PLACES)}), )?")


def parse(text: str) -> Story | None:
    """Return the last story in `text` that ends in its question, or None where there is none.

    >>> story = draw(random.Random(0), 3)
    >>> parse(f"Read this. {question(story)} Think.") == story
    True
    """
    found = sorted(
        (match.start(), opening, match) for opening, pattern in enumerate(_FIRST) for match in pattern.finditer(text)
    )
    for _, opening, match in reversed(found):
        story = _told(text, match.end(), opening, match)
        if story is not None:
            return story
    return None


def _told(text: str, place: int, opening: int, first: re.Match[str]) -> Story | None:
    events: list[Event] = []
    while text[place : place + 1] == " ":
        place += 1
        for asks, pattern in enumerate(_ASKED):
            end = pattern.match(text, place)
            if end is not None:
                story = Story(first["who"], first["things"], int(first["n"]), tuple(events), opening, asks)
                # The same name and things throughout, which the patterns do not ask for.
                return story if events and question(story) == text[first.start() : end.end()] else None
        where = _PLACE.match(text, place)
        assert where is not None
        for phrase, told in enumerate(_TOLD):
            match = told.match(text, where.end())
            if match is not None and text[match.end() : match.end() + 1] == ".":
                events.append(Event(phrase, int(match[1]), PLACES.index(where["place"]) if where["place"] else None))
                place = match.end() + 1
                break
        else:
            return None
    return None


def draw(rng: random.Random, steps: int) -> Story:
    """Return a random story of `steps` events on whole numbers up to `MOST`, no value before the last equal to the last."""
    while True:
        value = rng.randrange(4, 40)
        start = value
        events: list[Event] = []
        phrases: list[int] = []
        for _ in range(steps):
            fitting = [
                (number, phrase)
                for number, phrase in ((_number(rng, value, one.sign), place) for place, one in enumerate(_PHRASES))
                if number is not None and phrase not in phrases[-2:]
            ]
            number, phrase = rng.choice(fitting)
            phrases.append(phrase)
            free = [place for place in range(len(PLACES)) if place not in {event.place for event in events}]
            events.append(Event(phrase, number, rng.choice(free) if rng.random() < 0.5 else None))
            value = int(apply(Fraction(value), _PHRASES[phrase].sign, number))
        story = Story(rng.choice(NAMES), rng.choice(THINGS), start, tuple(events), rng.randrange(3), rng.randrange(3))
        running = values(story)
        if running[-1] not in running[:-1]:
            return story


def _number(rng: random.Random, value: int, sign: str) -> int | None:
    """Return a number for an operation on `value` that leaves a whole number from 3 to `MOST`, or None where there is none."""
    if sign == "+":
        return rng.randrange(2, 31) if value + 30 <= MOST else None
    if sign == "-":
        return rng.randrange(2, min(value - 3, 30) + 1) if value >= 5 else None
    if sign == "*":
        fitting = [number for number in (2, 3, 4, 5) if value * number <= MOST]
    else:
        fitting = [number for number in (2, 3, 4, 5, 6) if value % number == 0 and value // number >= 3]
    return rng.choice(fitting) if fitting else None


def generate(n: int, seed: int = 0, steps: int = 0) -> Task:
    """Return a task of `n` stories of `steps` steps each (2 to 6; 0 draws the number for every story).

    Item i depends on the string "stories/{seed}/{i}" and on `steps` alone.
    """
    if n < 1 or not (steps == 0 or 2 <= steps <= 6):
        raise SettingError(f"stories needs n of at least 1 and 2 to 6 steps (0 for a mixture), and they are {n} and {steps}")
    problems = []
    for index in range(n):
        name = f"stories/{seed}/{index}"
        rng = random.Random(name)
        story = draw(rng, steps or rng.randrange(2, 7))
        asked = puzzle(story)
        true = asked.true_steps()
        problems.append(
            Problem(
                id=name,
                question=asked.canonical,
                answer=asked.running[-1],
                rationale="\n".join(true),
                steps=true,
                facts=true,
                meta={"steps": len(true)},
            )
        )
    return Task("stories" + (f":steps={steps}" if steps else ""), tuple(problems))


_NUMBER = r"-?\d+(?:\.\d+)?"
# The result may go on where the text ends in it: "12 + 5 = 1" is not finished. A digit, or a point and a digit, goes on too.
_EQUATION = re.compile(
    rf"(?<![\d.])(?<![-+*/×÷] )({_NUMBER}) ?([-+*/×÷]) ?({_NUMBER}) ?= ?({_NUMBER})(?=[^\d.]|\.(?!\d)(?!\Z))"
)
_SIGN = {"×": "*", "÷": "/"}


@dataclass(frozen=True, slots=True)
class StoryPuzzle(Puzzle):
    """One story of this world."""

    asked: Story
    canonical: str
    start: str
    running: tuple[str, ...]

    def step(self, index: int, value: str) -> tuple[str, str] | None:
        """Return the sentence about an event up to its result, and the result."""
        event = self.asked.events[index]
        told = _PHRASES[event.phrase].step.format(who=self.asked.who, things=self.asked.things, n=event.number)
        return f"{told} {value} {event.sign} {event.number} = ", written(apply(Fraction(value), event.sign, event.number))

    def close(self, line: str) -> str:
        """Return what is missing of the things' name and the full stop, and the line end."""
        ending = f" {self.asked.things}."
        done = next(length for length in range(len(ending), -1, -1) if line.endswith(ending[:length]))
        return f"{ending[done:]}\n"

    def num_written(self, text: str) -> int:
        """Return how many finished equations stand in `text`."""
        return sum(1 for _ in _EQUATION.finditer(text))

    def follow(self, text: str) -> str | None:
        """Return the value that the equations lead to."""
        value: Fraction | None = None
        for first, sign, second, result in _EQUATION.findall(f"{text}\n"):
            sign = _SIGN.get(sign, sign)
            if value is None or Fraction(first) == value:
                value = Fraction(result)
            elif sign != "/" or Fraction(second):
                value = apply(value, sign, Fraction(second))
        return None if value is None else written(value)

    def last_value(self, text: str) -> str | None:
        """Return the last number in `text`."""
        numbers = re.findall(r"\d+(?:\.\d+)?", text)
        return numbers[-1] if numbers else None

    def wrong_results(self, index: int) -> Sequence[str]:
        """Return wrong results near the true one from which every later step leaves a whole number above zero, as in the story."""
        true = int(self.running[index + 1])
        fitting = []
        for wrong in range(max(1, true - 40), true + 41):
            value = Fraction(wrong)
            whole = wrong != true
            for event in self.asked.events[index + 1 :]:
                value = apply(value, event.sign, event.number)
                whole = whole and value.denominator == 1 and value > 0
            if whole:
                fitting.append(str(wrong))
        return fitting

    def wildcard(self, draw: float) -> str:
        """Return a whole number up to twice the answer, and a hundred at least."""
        return str(int(draw * max(100, 2 * int(self.running[-1]))))

    def check(self, statement: str) -> bool | None:
        """Return whether every equation in `statement` holds."""
        truths = []
        for first, sign, second, result in _EQUATION.findall(f"{statement}\n"):
            sign = _SIGN.get(sign, sign)
            if sign == "/" and not Fraction(second):
                truths.append(False)
            else:
                truths.append(written(apply(Fraction(first), sign, Fraction(second))) == written(Fraction(result)))
        return all(truths) if truths else None


def puzzle(story: Story) -> StoryPuzzle:
    """Return the puzzle that a story is."""
    running = tuple(map(written, values(story)))
    return StoryPuzzle(story, question(story), running[0], running)


class Stories(World):
    """Short stories of whole numbers."""

    name = "stories"

    def generate(self, n: int, seed: int = 0, steps: int = 0) -> Task:
        """Return a task of `n` stories of `steps` steps each (2 to 6; 0 draws the number for every story)."""
        return generate(n, seed, steps)

    def parse(self, text: str) -> StoryPuzzle | None:
        """Return the last story that `text` tells and asks about."""
        story = parse(text)
        return None if story is None else puzzle(story)
