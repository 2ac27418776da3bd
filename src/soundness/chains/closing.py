r"""Where a text stops reasoning and states its answer.

The closing is the last outright statement of an answer with the words that lead to it, and whatever restates it right before. It
begins at a character, not at a step: "7 - 2 = 5, so the answer is 5." reasons up to the comma. An equation that is the statement
("Answer: 3 + 4 = 7", "7 - 2 = \boxed{5}") is reasoning, with the answer as its result.

>>> text = "3 + 4 = 7, then 7 - 2 = 5, so the answer is 5."
>>> closing = find_closing(text, Stretch(0, len(text)), Problem("1", "3 + 4 - 2?", "5"))
>>> text[: closing.start], text[closing.start : closing.value.start], closing.value.of(text)
('3 + 4 = 7, then 7 - 2 = 5', ', so the answer is ', '5')
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from soundness.answers.channels import Channels, Stretch
from soundness.answers.equality import same_answer
from soundness.answers.reader import outright_answers
from soundness.chains.sentences import has_equation
from soundness.records import Problem

__all__ = ["Closing", "find_closing", "has_reasoning", "said_region", "short_report"]


@dataclass(frozen=True, slots=True)
class Closing:
    """How a text states its answer."""

    start: int
    """Where the closing begins; what stands before it is reasoning. The text's end where the reasoning follows the answer."""
    value: Stretch
    """The stated answer."""
    answer_first: bool
    """Whether the answer is stated before the reasoning."""


@dataclass(frozen=True, slots=True)
class _Stated:
    """One outright statement."""

    start: int
    answer: str | None
    value: Stretch
    stop: int
    """Where it ends, the closing brace of a box included."""


_CLAUSE = 300
"""Characters that are looked back on for the beginning of a clause."""
_BOUNDARY = re.compile(r"[.!?:](?=[\s*_\"')\]$]|$)|[\n;；。！？，：]|,(?=\s)")
_FUNCTION_WORDS = re.compile(
    # Words that carry nothing but lead to "the answer", and the marks of emphasis and headings around them.
    r"(?:[\s*_#>\-\"'($\\\[\]]|\b(?:so|thus|therefore|hence|then|and|now|finally|which|means?|that|this|it|gives?|giving|making|we|i"
    r"|answers?|solution|antwort|réponse|respuesta|答案|答え|get|have|can|conclude|see|say|our|my|the|your|a|final|correct|right|overall|is|are|be|as|to|of|in|conclusion|summary|result"
    r"|also|daher|somit|donc|alors|por|lo|tanto|la|le|die|das)\b)+\Z",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_WORD = re.compile(r"[^\W_]+")
_FEW_WORDS = 8
"""What is said before an answer, with no number in it and fewer words than this, only leads to it: "Sure, let me see."."""
_MANY_WORDS = 15
"""What follows an answer, with no equation in it and fewer words than this, only closes: "I hope this helps."."""


def has_reasoning(text: str, least_words: int = _FEW_WORDS) -> bool:
    """Return whether `text` holds anything that could be a step: a number, or `least_words` words and more."""
    return bool(re.search(r"\d", text)) or len(_WORD.findall(text)) >= least_words


def find_closing(text: str, region: Stretch, problem: Problem) -> Closing | None:
    """Return how `text[region.start:region.stop]` closes, places being those of `text`, or None where it states nothing outright."""
    statements, end = _located(text, region, problem)
    region = Stretch(region.start, min(region.stop, end))
    if not statements:
        return _hashes(text, region)
    last = statements[-1]
    kept = last
    start = _opening(text, region, last)
    if start == last.stop and has_equation(text[start : region.stop]):
        return None  # "Answer: 3 + 4 = 7" and further lines of work: the steps stand behind the word, and nothing closes them
    for before in reversed(statements[:-1]):
        between = text[before.stop : start]
        if before.start >= start:
            continue
        if not _same(before, last, problem) or has_equation(between) or has_reasoning(between, _MANY_WORDS):
            break
        kept, start = before, _opening(text, region, before)
    first = statements[0]
    behind = text[first.stop : region.stop]
    reasoned = has_equation(behind) or len(_WORD.findall(behind)) >= _MANY_WORDS
    answer_first = _same(first, last, problem) and not has_reasoning(text[region.start : first.start]) and reasoned
    if answer_first and start <= first.start:
        # Nothing but the answer stands before the closing: the reasoning is what follows it.
        return Closing(region.stop, first.value, True)
    answer_first = answer_first and start > first.stop
    return Closing(start, kept.value, answer_first)


def _hashes(text: str, region: Stretch) -> Closing | None:
    """Return how a text closes that ends in GSM8K's mark and an answer, without a line of their own, or None where it does not."""
    # The last few characters: a search from the start for a mark before the end is quadratic in a text of marks.
    tail = max(region.start, region.stop - _CLAUSE)
    found = re.search(r"(?<=\s)####[ \t]*([^\s#][^\n#]{0,80}?)\s*\Z", text[tail : region.stop])
    if found is None:
        return None
    start = tail + found.start()
    return Closing(start - 1 if text[start - 1] == " " else start, Stretch(tail + found.start(1), tail + found.end(1)), False)


def said_region(channels: Channels) -> Stretch:
    """Return where what is said stands: the whole text up to the end of the turn where no thinking is marked in it."""
    if channels.form is None:
        return Stretch(0, channels.end)
    if channels.thinking is None and channels.before.stop > channels.before.start:
        return Stretch(channels.before.start, channels.said.stop)  # an empty block in the middle is no border
    return channels.said


def short_report(text: str, region: Stretch, answer: str | None) -> Closing | None:
    """Return how a region of a few words without an equation states `answer`, or None where it is more or holds none."""
    if answer is None or has_equation(region.of(text)) or len(_WORD.findall(region.of(text))) >= _MANY_WORDS:
        return None
    value = _find(text, region.start, region.stop, answer)
    return Closing(region.start, value, False) if value is not None else None


def _same(one: _Stated, other: _Stated, problem: Problem) -> bool:
    if one.answer is None or other.answer is None:
        return False
    return one.answer == other.answer or same_answer(one.answer, other.answer, problem.choices)


def _located(text: str, region: Stretch, problem: Problem) -> tuple[list[_Stated], int]:
    """Return the outright statements in the region, in order, with what they state, and where the answer to the question ends."""
    found, end = outright_answers(text, region, problem)
    # "Result: 7" may head a step: it closes only where nothing is stated outright and no reasoning follows.
    strong = [one for one in found if one.strong] or [
        one for one in found[-1:] if not has_reasoning(text[one.stop : end], _MANY_WORDS)
    ]
    statements = []
    for one in strong:
        value = (_find(text, one.begin, one.stop, one.answer) if one.answer is not None else None) or one.span
        stop = value.stop
        if one.how == "boxed":
            closed = text.find("}", stop, region.stop)
            stop = closed + 1 if closed >= 0 else stop
        statements.append(_Stated(one.begin, one.answer, value, stop))
    return statements, end


def _find(text: str, start: int, end: int, answer: str) -> Stretch | None:
    """Return where `answer` stands as a whole in `text[start:end]`, or None where it does not.

    That is the first place, unless an equation leads up to it or goes on from there: its result is the last place.
    """
    bare = answer.strip()
    pattern = re.compile(rf"(?<![\w.]){re.escape(bare)}(?!\w|\.\d|,\d)" if re.match(r"\w", bare) else re.escape(bare))
    places = list(pattern.finditer(text, start, end))
    for place in places:
        if not has_equation(text[start : place.start()]) and not re.match(r"\s*[-+*/×÷=]", text[place.end() : end]):
            return Stretch(*place.span())
    return Stretch(*places[-1].span()) if places else None


def _opening(text: str, region: Stretch, statement: _Stated) -> int:
    """Return where the words that lead to a statement begin."""
    if statement.value.stop > statement.value.start and _is_working(text, statement):
        return statement.stop
    place = behind = statement.start
    own = True
    while True:
        low = max(region.start, behind - _CLAUSE)
        boundary = next(iter([*_BOUNDARY.finditer(text, low, behind)][-1:]), None)
        begin = boundary.end() if boundary is not None else low
        clause = text[begin:behind]
        leads = not clause.strip() or _FUNCTION_WORDS.fullmatch(clause) is not None
        # "Adding up the apples the answer is": words without a number are the closing's own, in its own clause.
        if (boundary is None and low > region.start) or not (leads or (own and not re.search(r"[\d=]", clause))):
            return behind - len(_trailing(clause)) if own else place
        place = begin
        if boundary is None or boundary[0] not in ",;；，:：":
            return place
        # What leads on over a comma or a colon ("Therefore, the answer is: 5") is looked at too; the comma goes with the closing.
        behind = boundary.start()
        place = behind if boundary[0] in ",;；，" else place
        own = False


def _trailing(clause: str) -> str:
    """Return the words at the end of `clause` that only lead on."""
    found = _FUNCTION_WORDS.search(clause)
    return found[0] if found is not None else ""


def _is_working(text: str, statement: _Stated) -> bool:
    """Return whether the statement is an equation with the answer as its result, rather than a word about it."""
    if has_equation(text[statement.start : statement.value.stop]):
        return True
    return _BOX.match(text, statement.start) is not None and text[: statement.start].rstrip(" $\\([{&")[-1:] in ("=", "≈")
