"""A back end of one's own: a model that answers sums, in plain Python, without weights.

soundness audit examples/backend.py:Adder examples/backend.py:Guesser --task chain-sum --limit 40 --out RUN
"""

import re

from soundness.models.scripted import ScriptedModel


def add(question: str, written: str) -> str:
    """Return all that a model which adds step by step means to write after `written`; once asked, it says its last result."""
    numbers = [int(number) for number in re.findall(r"-?\d+", question)]
    steps = "".join(f"{sum(numbers[:i])} + {numbers[i]} = {sum(numbers[: i + 1])}.\n" for i in range(1, len(numbers)))
    body, asked, _ = written.partition("Answer:")
    if asked:
        results = re.findall(r"= (-?\d+)", body)
        return f" {results[-1] if results else sum(numbers)}\n"
    return f"{steps}Answer: {sum(numbers)}\n"[len(written) :]


class Adder(ScriptedModel):
    """`ScriptedModel` turns a function of question and text so far into a model that can be sampled and read."""

    def __init__(self) -> None:
        super().__init__(add, name="adder")


class Guesser(ScriptedModel):
    """Answers 7 whatever is asked."""

    def __init__(self) -> None:
        super().__init__(lambda question, written: "Answer: 7\n"[len(written) :], name="guesser")
