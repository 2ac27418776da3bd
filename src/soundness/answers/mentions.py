r"""Whether a text contains an answer, anywhere and however it is said: what finds the first step that states it.

>>> states("so 7 + 4 = 11", "11"), states("so 111 or 1.1", "11"), states("2. Next step", "2"), states(r"so $x = \frac{1}{2}$", "1/2")
(True, False, False, True)
>>> states("A dog runs", "A", ["cat", "cow"]), states("It must be a CAT.", "A", ["cat", "cow"])
(False, True)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from soundness.answers.equality import option_of, same_answer
from soundness.answers.formulas import is_formula
from soundness.answers.markup import tidy
from soundness.answers.numbers import as_number, find_numbers
from soundness.answers.texts import plain
from soundness.answers.values import find_values, read_value
from soundness.records import LETTERS

__all__ = ["answer_key", "states"]

_VERDICT_WORDS = frozenset({"yes", "no", "true", "false", "maybe", "unknown", "uncertain"})


def answer_key(answer: str) -> str:
    """Return a form of `answer` that is equal for equal answers: numbers by value, words without case, marks and articles.

    >>> answer_key("$51.0") == answer_key("51"), answer_key("The Blue whale.") == answer_key("blue  whale")
    (True, True)
    """
    value = as_number(answer)
    if value is not None:
        return str(value)
    words = " ".join(answer.casefold().split())
    stripped = re.sub(r"^(?:the|an|a) (?=\S)", "", words.strip(" .,;:!?\"'`*$“”‘’"))
    return stripped or words


def _without_markup(text: str) -> str:
    """Return `text` without what TeX and Markdown put around words, its white space folded."""
    bare = re.sub(r"\^\{?\\circ\}?|\\[()\[\],;!]|\\(?:left|right|displaystyle)(?![a-z])|\$|\*\*", "", text)
    return " ".join(re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", bare).split())


def _is_unspaced(character: str) -> bool:
    """Return whether a character is of a script that puts no blanks between words: Chinese, Japanese, Thai and the like."""
    return "\u0e00" <= character <= "\u0eff" or "\u2e80" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7ff"


def _holds_phrase(text: str, phrase: str) -> bool:
    """Return whether `text` contains `phrase` whole: no letter or digit touches it, nor any mark where it is made of marks."""
    if phrase and _is_unspaced(phrase[0]) and _is_unspaced(phrase[-1]):
        return phrase in text
    words = re.escape(phrase).replace(r"\ ", r"\s+")
    inside = re.search(r"\w", phrase) is not None
    left = r"(?<!\w)" if inside and re.match(r"\w", phrase) else r"(?<![^\s\"'`(:$={])"
    right = r"(?!\w)" if inside and re.search(r"\w\Z", phrase) else r"(?![^\s\"'`).,;$}\\])"
    return re.search(left + words + right, text) is not None


def _states_verdict(text: str, word: str) -> bool:
    """Return whether `text` gives `word` (yes, no, true ...) as an answer: at the edge of a sentence or after "answer"."""
    low = re.escape(word)
    edge = rf"(?:^|[.!?:;\n]|\bso,?)[\s\"'*(]*{low}(?=[\s\"'*)]*(?:[.!?,;\n]|$))|\{{{low}\}}"
    end = rf"(?<!\w){low}[\s\"'*)]*(?:[.!?](?=\s|$)|\n|$)"
    said = rf"\banswer\b(?:\s+is)?\s*:?[\s\"'*(]*{low}\b"
    return re.search(f"{edge}|{end}|{said}", text) is not None


def _states_letter(text: str, letter: str) -> bool:
    """Return whether `text` names the option `letter`: "(A)", "Answer: A", "option A", a line "A." and the like."""
    # "A" and "I" are words too: after "the answer is", a lower-case word behind them makes them one.
    no_word = r"(?!\s+[a-z])" if letter in "AI" else ""
    forms = (
        rf"\({letter}\)",
        rf"(?i:\b(?:options?|choice|answer))\s+[*_\"'(\[]*{letter}(?![\w'’])",
        rf"(?i:\b(?:answer|option|choice|correct|select|choose|pick)\b(?:\s+(?:is|be|would\s+be|option|choice|answer))*)"
        rf"\s*[:=]?[\s*_\"'(\[]*\b{letter}(?![\w'’]){no_word}",
        rf"(?m:^[\s*_\"']*{letter}[).:\]]*[\s*_\"']*$)",
        rf"(?m:^[\s*_\"']*{letter}[).:](?=\s))",
        rf"\\boxed\{{\s*(?:\\text\{{)?\(?{letter}\)?\}}?",
        rf"(?:答案|选|選|正解|정답)[^\nA-Z]{{0,6}}{letter}(?![a-zA-Z])",
    )
    return any(re.search(form, text) for form in forms)


_NEGATED = re.compile(r"(?<![\d)\]}])(?<![\d)\]}] )(?:minus|negative) \Z", re.IGNORECASE)
"""A sign in words right before a number; behind another number it subtracts."""


def _states_number(text: str, answer: str, value: Fraction) -> bool:
    """Return whether a number of `text` is worth `value`; written in digits, as a fraction, with TeX marks or a sign in words."""
    if any(
        number.value == value and not _NEGATED.search(text[max(0, number.start - 12) : number.start])
        for number in find_numbers(text)
    ):
        return True
    written = answer.strip()
    if "/" in written and _holds_phrase(text, written):
        return True
    tidied = tidy(text)
    if (
        tidied == text
        and re.search(r"minus|negative|[½-⅞²³]|\d[/.' ,_]\d|\d\s?(?:million|billion|thousand|hundred|dozen)", text) is None
    ):
        return False
    wanted = read_value(answer)
    unit = wanted.amounts[0].unit if wanted is not None and wanted.amounts else None
    for found in find_values(tidied):
        for amount in found.amounts:
            if amount.value == value or (unit is not None and amount.unit == unit and amount.value == value):
                return True
    return False


def states(text: str, answer: str, choices: Sequence[str] | None = None) -> bool:
    """Return whether `text` states `answer` as a whole.

    Numbers are compared by value and at number boundaries: "4" is stated by "= 4", "$4.00" and "3-4", not by "14", "4.5", "-4",
    "4th" or the list marker "4.". Words count whole and without case; yes, no, true, false only where they stand as an answer.
    With `choices`, a letter is stated by its own form ("(B)", "Answer: B", "option B") or by the option's text.
    """
    if choices is not None:
        letter = option_of(answer, choices)
        if letter is not None:
            return _states_letter(text, letter) or states(text, choices[LETTERS.index(letter)])
    value = _number(answer)
    if value is not None:
        return _states_number(text, answer, value)
    key = answer_key(answer)
    if not key:
        return False
    folded = text.casefold()
    if key in _VERDICT_WORDS:
        return _states_verdict(folded, key)
    if _holds_phrase(folded, key) or _holds_phrase(_without_markup(folded), _without_markup(key)):
        return True
    if is_formula(answer):
        return any(same_answer(answer, piece) for piece in _formulas(text))
    wanted = plain(answer)
    return len(wanted) > 2 and f" {wanted} " in f" {plain(text)} "


@lru_cache(maxsize=1 << 14)  # the same few answers are compared with every step of every chain
def _number(answer: str) -> Fraction | None:
    """Return what `answer` is worth where it is one number and nothing else, or None."""
    plainly = as_number(answer)
    if plainly is not None:
        return plainly
    value = read_value(answer)
    return value.amounts[0].value if value is not None and value.kind == "number" and not value.ordinal else None


_MATH = re.compile(
    r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$(.+?)\$\$"
    r"|(?<![\\$])\$(?=[^\s$])([^$\n]+?)(?<=[^\s\\])\$(?!\d)"
    r"|\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}",
    re.DOTALL,
)


def _formulas(text: str) -> list[str]:
    """Return the formulas in TeX delimiters of a step, and what stands behind the last equals sign of each."""
    found = [next(group for group in match.groups() if group) for match in _MATH.finditer(text)]
    pieces = [piece for formula in found[:20] for piece in (formula, formula.rpartition("=")[2])]
    return [piece for piece in dict.fromkeys(pieces) if piece.strip() and len(piece) <= 200]
