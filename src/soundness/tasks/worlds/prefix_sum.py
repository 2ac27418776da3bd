"""Additions modulo 10 in prefix notation, worked from the inside out with a chosen number of operators a step (2502.07266).

    + 3 + + 1 4 2 <BEGIN> <2> ; + + 1 4 2 = 7 ; + 3 7 = 0 ; <end>

Every operator has a digit on one side and the rest on the other, so there is one order of work. `<t>` tells how many operators each
step takes: with T operators there are ceil(T / t) steps, and whoever writes the chain chooses t before the first of them. A step is
hard in two ways: the next operators have to be found, and their sum has to be known without writing anything in between.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from soundness.errors import SettingError

__all__ = [
    "BEGIN",
    "CONTROLS",
    "END",
    "PAD",
    "VOCABULARY",
    "Expression",
    "Reading",
    "chain",
    "control",
    "draw",
    "item",
    "num_steps",
    "parse",
    "question",
    "read",
    "steps",
    "value",
    "written",
]

PAD, END, BEGIN, NEXT = "<pad>", "<end>", "<BEGIN>", ";"
DIGITS = tuple("0123456789")
CONTROLS = tuple(f"<{count}>" for count in range(1, 13))
"""Control tokens: one to twelve operators a step, as in the authors' code."""

VOCABULARY = (PAD, END, BEGIN, NEXT, "+", "=", *DIGITS, *CONTROLS)
"""Every token there is, the padding first and the end second."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A digit and the operators around it, the innermost first."""

    start: int
    """The digit inside, 0 to 9."""
    leaves: tuple[tuple[str, int], ...]
    """(side, digit) per operator: its own digit stands "left" or "right" of what is inside; the innermost one's stands right."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a chain says, read from its tokens."""

    control: int | None
    """Operators per step as announced; None where the chain does not begin with a control token."""
    steps: tuple[tuple[tuple[str, ...], int], ...]
    """(sub-expression as written, its written value) of each well-formed step, up to the first ill-formed one."""
    answer: int | None
    """The last step's value; None where the chain is ill-formed, has no step, or never ends."""


def draw(rng: random.Random, operators: int) -> Expression:
    """Return a random expression with `operators` operators: digits uniform, sides by coin flip."""
    leaves = tuple(("right" if place == 0 else rng.choice(("left", "right")), rng.randrange(10)) for place in range(operators))
    return Expression(rng.randrange(10), leaves)


def item(index: int, seed: str | int, low: int, high: int) -> Expression:
    """Return expression `index` of a seed, its number of operators uniform from `low` to `high`.

    It depends on the string "prefix-sum/{seed}/{index}" and on the two bounds alone.
    """
    if not 1 <= low <= high:
        raise SettingError(f"prefix-sum needs 1 <= low <= high operators, and they are {low} and {high}")
    rng = random.Random(f"prefix-sum/{seed}/{index}")
    return draw(rng, rng.randint(low, high))


def value(expression: Expression) -> int:
    """Return the last digit of the sum.

    >>> value(Expression(1, (("right", 4), ("right", 2), ("left", 3))))
    0
    """
    return (expression.start + sum(digit for _, digit in expression.leaves)) % 10


def written(expression: Expression) -> list[str]:
    """Return the expression's tokens in prefix notation; `parse` inverts it.

    >>> " ".join(written(Expression(1, (("right", 4), ("right", 2), ("left", 3)))))
    '+ 3 + + 1 4 2'
    """
    before: list[str] = []
    after: list[str] = []
    for side, digit in reversed(expression.leaves):
        before.append("+")
        (before if side == "left" else after).append(str(digit))
    return [*before, str(expression.start), *reversed(after)]


def parse(tokens: Sequence[str]) -> Expression | None:
    """Return the expression that the tokens are, or None where they are none of this world.

    >>> parse("+ 3 + + 1 4 2".split())
    Expression(start=1, leaves=(('right', 4), ('right', 2), ('left', 3)))
    >>> parse("+ + 1 2 + 3 4".split()) is None
    True
    """
    left, right = 0, len(tokens)
    outside: list[tuple[str, int]] = []
    while right - left >= 3 and tokens[left] == "+":
        # "+ a b": either digit could be called the inner one; the right one is the leaf.
        side = "left" if tokens[left + 1] in DIGITS and right - left > 3 else "right"
        digit = tokens[left + 1] if side == "left" else tokens[right - 1]
        if digit not in DIGITS:
            return None
        outside.append((side, int(digit)))
        left, right = (left + 2, right) if side == "left" else (left + 1, right - 1)
    if right - left != 1 or tokens[left] not in DIGITS or not outside:
        return None
    return Expression(int(tokens[left]), tuple(reversed(outside)))


def num_steps(operators: int, per_step: int) -> int:
    """Return how many steps the work takes, ceil(T / t).

    >>> num_steps(7, 3)
    3
    """
    return -(-operators // per_step)


def steps(expression: Expression, per_step: int) -> list[tuple[tuple[str, ...], int]]:
    """Return the true steps: the innermost `per_step` operators that are left (fewer in the last step) and their value.

    >>> for sub, result in steps(Expression(1, (("right", 4), ("right", 2), ("left", 3))), 2):
    ...     print(" ".join(sub), "=", result)
    + + 1 4 2 = 7
    + 3 7 = 0
    """
    if per_step < 1:
        raise SettingError(f"prefix-sum needs at least one operator per step, and there are {per_step}")
    found = []
    carried = expression.start
    for first in range(0, len(expression.leaves), per_step):
        part = Expression(carried, expression.leaves[first : first + per_step])
        carried = value(part)
        found.append((tuple(written(part)), carried))
    return found


def control(per_step: int) -> str:
    """Return the token that announces `per_step` operators a step."""
    if not 1 <= per_step <= len(CONTROLS):
        raise SettingError(f"prefix-sum has control tokens for 1 to {len(CONTROLS)} operators a step, and it is {per_step}")
    return CONTROLS[per_step - 1]


def question(expression: Expression) -> list[str]:
    """Return the tokens that ask: the expression and <BEGIN>."""
    return [*written(expression), BEGIN]


def chain(expression: Expression, per_step: int) -> list[str]:
    """Return the tokens of the true chain, the control token first and <end> last; `read` inverts it.

    >>> " ".join(chain(Expression(3, (("right", 9),)), 1))
    '<1> ; + 3 9 = 2 ; <end>'
    """
    tokens = [control(per_step), NEXT]
    for sub, result in steps(expression, per_step):
        tokens += [*sub, "=", str(result), NEXT]
    return [*tokens, END]


def read(tokens: Sequence[str]) -> Reading:
    """Return what a chain says.

    >>> read("<1> ; + 3 9 = 2 ; <end>".split())
    Reading(control=1, steps=((('+', '3', '9'), 2),), answer=2)
    >>> read("<1> ; + 3 9 = 2 ;".split()).answer is None
    True
    """
    announced = CONTROLS.index(tokens[0]) + 1 if tokens and tokens[0] in CONTROLS else None
    found: list[tuple[tuple[str, ...], int]] = []
    if announced is None or tokens[1:2] != [NEXT]:
        return Reading(announced, (), None)
    rest = list(tokens[2:])
    while NEXT in rest:
        stop = rest.index(NEXT)
        line, rest = rest[:stop], rest[stop + 1 :]
        if len(line) < 3 or line[-2] != "=" or line[-1] not in DIGITS or parse(line[:-2]) is None:
            return Reading(announced, tuple(found), None)
        found.append((tuple(line[:-2]), int(line[-1])))
    ended = bool(found) and rest[:1] == [END]
    return Reading(announced, tuple(found), found[-1][1] if ended else None)
