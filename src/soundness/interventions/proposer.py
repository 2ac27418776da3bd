r"""Say a step in other words: by rule where the step is an equation or a stated fact, by any model otherwise.

A rewrite is accepted only if it says the same: the same numbers, names and negations, and the answer stated in both texts or in
neither. A model that proposes sees the step alone, never the question.

>>> RULES["sentence"]("3 + 4 = 7\n"), RULES["words"]("3 + 4 = 7\n")
('Adding 4 to 3 gives 7\n', '3 plus 4 equals 7\n')
>>> RULES["sentence"]("The stone of Belu is slate.")
'slate is the stone of Belu.'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from soundness.chains.numbers import find_numbers
from soundness.chains.steps import states
from soundness.models.base import Model
from soundness.records import Generation, Problem

__all__ = ["RULES", "Continue", "Rewrite", "ask_rewrites", "same_meaning"]

Rewrite = Callable[[str], str | None]
"""A step's text in other words, or None where there is no rule for it."""

_NUMBER = r"\$?\d[\d,]*(?:\.\d+)?%?"
# In the middle of a longer expression ("2 + 3 + 4 = 9") the first two numbers are not what the result is made of.
_EQUATION = re.compile(
    rf"(?<![\d.,$])(?<![-+*/×÷=(] )(?P<a>{_NUMBER}) ?(?P<sign>[-+*/×÷]) ?(?P<b>{_NUMBER}) ?= ?(?P<c>-?{_NUMBER})(?![\d,.]*\d)"
)
_FACT = re.compile(
    r"(?<!if )\bThe (?P<relation>[a-z]+) of (?P<head>[A-Z]\w*) is (?P<tail>(?!not\b|a\b|an\b|the\b)\w+)(?=[.,;\n]|$)"
)
_RULE = re.compile(r"\bIf the (?P<premise>[a-z]+ of an? \w+ is \w+), then (?P<then>its [a-z]+ is \w+)")

_SENTENCES = {
    "+": "Adding {b} to {a} gives {c}",
    "-": "Subtracting {b} from {a} gives {c}",
    "*": "Multiplying {a} by {b} gives {c}",
    "/": "Dividing {a} by {b} gives {c}",
}
_WORDS = {
    "+": "{a} plus {b} equals {c}",
    "-": "{a} minus {b} equals {c}",
    "*": "{a} times {b} equals {c}",
    "/": "{a} divided by {b} equals {c}",
}
_PLAIN_SIGN = {"×": "*", "÷": "/"}


def _equations(text: str, forms: Mapping[str, str]) -> str:
    def say(found: re.Match[str]) -> str:
        sign = _PLAIN_SIGN.get(found["sign"], found["sign"])
        return forms[sign].format(a=found["a"], b=found["b"], c=found["c"])

    return _EQUATION.sub(say, text)


def _sentence(text: str) -> str | None:
    """Return equations as sentences and facts the other way round."""
    new = _equations(text, _SENTENCES)
    new = _FACT.sub(lambda found: f"{found['tail']} is the {found['relation']} of {found['head']}", new)
    new = _RULE.sub(lambda found: f"It holds that if the {found['premise']} then {found['then']}", new)
    return None if new == text else new


def _words(text: str) -> str | None:
    """Return equations with words for signs, facts as something known."""
    new = _equations(text, _WORDS)
    new = _FACT.sub(lambda found: f"We know that the {found['relation']} of {found['head']} is {found['tail']}", new)
    new = _RULE.sub(lambda found: f"We know that if the {found['premise']}, then {found['then']}", new)
    return None if new == text else new


RULES: dict[str, Rewrite] = {"sentence": _sentence, "words": _words}
"""Operator -> rewrite by rule. Both leave the result of an equation last."""

_NEGATION = re.compile(r"\b(?:not|no|never|none|nor|cannot|without)\b|n't\b", re.IGNORECASE)


def same_meaning(before: str, after: str, answer: str | None, problem: Problem | None = None) -> str:
    """Return why `after` may not stand for `before`, or an empty string where it may.

    >>> same_meaning("Tom has 3 cats.", "Tom owns 3 cats.", None), same_meaning("Tom has 3 cats.", "Tom has 4 cats.", None)
    ('', 'the rewrite changes a number')
    """
    if not after.strip() or " ".join(after.split()) == " ".join(before.split()):
        return "the rewrite changes nothing"
    if Counter(n.value for n in find_numbers(before)) != Counter(n.value for n in find_numbers(after)):
        return "the rewrite changes a number"
    if len(_NEGATION.findall(before)) != len(_NEGATION.findall(after)):
        return "the rewrite changes a negation"
    if not _names(before) <= _capitals(after) or not _names(after) <= _capitals(before):
        return "the rewrite changes a name"
    choices = problem.choices if problem is not None else None
    if answer is not None and states(before, answer, choices) != states(after, answer, choices):
        return "the rewrite changes where the answer is stated"
    return ""


def _capitals(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Z]\w*", text))


def _names(text: str) -> set[str]:
    """Return capitalised words that do not begin a sentence."""
    return set(re.findall(r"(?<=[a-z0-9,;:] )[A-Z]\w*", text)) - {"I"}


class Continue(Protocol):
    """Anything that continues prefixes as `Recorded.continue_all` does."""

    def __call__(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix, in order."""
        ...


# 2307.13702, appendix: the prompt of the paraphrasing model.
_REQUEST = (
    "Please rewrite the following text, conveying exactly the same information but using different wording. "
    'Reply with the rewritten text only. Text: "{}"'
)
_MOST_TOKENS = 256


def ask_rewrites(
    texts: Sequence[str], model: Model, ask: Continue, *, temperature: float = 0.0, seed: int = 0
) -> dict[str, str | None]:
    """Return each distinct text as `model` rewrites it, or None where nothing came back; blanks around a text are kept.

    Above temperature 0 the draw depends on `seed` and the text alone.
    """
    distinct = list(dict.fromkeys(text for text in texts if text.strip()))
    prompts = [model.render(_REQUEST.format(text.strip())).ids for text in distinct]
    keys = [f"rewrite/{seed}/{text}" for text in distinct]
    longest = max((len(model.encode(text)) for text in distinct), default=1)
    limit = min(_MOST_TOKENS, 2 * longest + 32)
    made = ask(prompts, max_tokens=limit, temperature=temperature, keys=keys) if distinct else []
    found: dict[str, str | None] = {}
    for text, generation in zip(distinct, made, strict=True):
        said = model.decode(generation.ids).strip().strip('"').strip()
        bare = text.strip()
        start = text.index(bare)
        found[text] = text[:start] + said + text[start + len(bare) :] if said and generation.finish == "stop" else None
    return found
