r"""What a free text answers, and whether that is right.

The last stated answer counts. Right, wrong, unreadable and cut off are four things: a text that states no answer is not wrong,
and one that the token limit cut before its answer is not even unreadable.

>>> grade("3 + 4 = 7, so the answer is 7.", "stop", Problem("1", "3 + 4?", "7"))
Grade(outcome=<Outcome.RIGHT: 'right'>, answer='7')
>>> grade("First, 3 + 4", "length", Problem("1", "3 + 4?", "7"))
Grade(outcome=<Outcome.CUT_OFF: 'cut_off'>, answer=None)
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from soundness.errors import MissingPackage
from soundness.records import LETTERS, Finish, Outcome, Problem

__all__ = ["Grade", "grade", "read_answer", "same_answer"]


class Grade(NamedTuple):
    """What became of one free text."""

    outcome: Outcome | None
    """Right, wrong, unreadable or cut off; None where the problem has no reference answer."""
    answer: str | None
    """The last stated answer as written (a letter where there are choices), or None where none could be read."""


class _Statement(NamedTuple):
    start: int
    """Where it begins in the text."""
    open: bool
    """Whether what was read reaches the text's end, so that more of it may have been coming."""
    answer: str | None
    """What it states; None where it states something that cannot be read as one answer."""


def read_answer(text: str, problem: Problem) -> str | None:
    r"""Return the last answer that `text` states, as written (a letter where there are choices), or None.

    Text up to the last `</think>` is passed over. Where nothing is stated outright, a numeric problem is answered by the
    last number in the text and a choice problem by a last line that is an option and nothing else; inside a thinking span
    that was never closed only an outright statement counts.

    >>> read_answer("<think>maybe 12?</think>She pays **$1,200**.\n\n**Answer:** 1,200 dollars", Problem("1", "?", "1200"))
    '1,200'
    """
    text, thinking = _spoken(text)
    statements = _statements(text, problem)
    if statements:
        return statements[-1].answer
    return None if thinking else _unmarked(text, problem)


def grade(text: str, finish: Finish, problem: Problem) -> Grade:
    """Return outcome and answer of a text that ended by `finish`.

    A text cut by the token limit is CUT_OFF unless it states an answer outright. An answer that the limit itself may have
    cut (it touches the end: "18" may be the beginning of "180") counts where it equals the reference and is CUT_OFF otherwise.
    """
    spoken, thinking = _spoken(text)
    statements = _statements(spoken, problem)
    if finish == "length":
        if thinking:
            return _graded(problem, Outcome.CUT_OFF, None)
        last = statements[-1] if statements else None
        if last is not None and last.open:
            stated = last.answer is not None and problem.answer is not None
            if not (stated and same_answer(str(problem.answer), str(last.answer), problem)):
                statements = [statement for statement in statements if not statement.open]
        if not statements:
            return _graded(problem, Outcome.CUT_OFF, None)
        answer = statements[-1].answer
    elif statements:
        answer = statements[-1].answer
    else:
        answer = None if thinking else _unmarked(spoken, problem)
    if answer is None:
        return _graded(problem, Outcome.UNREADABLE, None)
    if problem.answer is None:
        return Grade(None, answer)
    same = _same(problem.answer, answer, problem)
    if same is None:
        return Grade(Outcome.UNREADABLE, answer)
    return Grade(Outcome.RIGHT if same else Outcome.WRONG, answer)


def same_answer(a: str, b: str, problem: Problem) -> bool:
    """Return whether two answers to `problem` are the same; `a` is the reference where one of them is.

    Choices compare as letters. Numbers and formulas compare by value, through math-verify unless both are plain decimals.
    Other text compares whole, without case, articles and punctuation.

    >>> same_answer("51.0", "$51", Problem("1", "?", "51.0")), same_answer("42", "142", Problem("1", "?", "42"))
    (True, False)
    """
    return bool(_same(a, b, problem))


def _graded(problem: Problem, outcome: Outcome, answer: str | None) -> Grade:
    return Grade(None if problem.answer is None else outcome, answer)


def _spoken(text: str) -> tuple[str, bool]:
    """Return what stands after the last closed thinking span, and whether an unclosed one is open in it."""
    spoken = text.rpartition("</think>")[2]
    return spoken, "<think>" in spoken


# --- statements -------------------------------------------------------------------------------------------------------

_LINK = r"[\s*_]*(?::|=|\bis\b|\bwas\b|\bwould be\b|\bshould be\b|\bmust be\b|\bwill be\b|\bequals\b)[\s*_:]*"
_MARKER = re.compile(
    r"(?P<hashes>^[ \t]*####[ \t]*)"
    rf"|(?P<lead>\banswer(?:\s+(?:choice|option))?\b(?:\s+(?:to|for|of)\s+[^.:\n]{{1,80}}?)?{_LINK})"
    rf"|(?P<pick>\b(?:correct|right|best|chosen|final)\s+(?:option|choice)\b{_LINK})"
    r"|(?P<bare>\bfinal answer[\s*_]+(?=[\d$\\(-]))",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_NOT = re.compile(r"\s*(?:not\b|n't|neither\b)", re.IGNORECASE)
_REFUSED = re.compile(
    r"\W*(?:i (?:do not|don't|cannot|can't) |(?:un|not )known\b|unclear\b|undetermined\b|none of the|n/?a\b"
    r"|not (?:listed|provided|given|possible|available)|cannot be |can't be |impossible to )",
    re.IGNORECASE,
)
_ABBREVIATIONS = "".join(rf"(?<!\b{short})" for short in ("St", "Dr", "Mr", "Mrs", "Ms", "Mt", "Jr", "Sr", "vs", "No", "Prof"))
_SENTENCE_END = re.compile(rf"(?<!\b[A-Z]){_ABBREVIATIONS}[.!?](?=[\s*_\"')\]]|$)")
_NEW_SENTENCE = re.compile(r"[\s*_\"')\]]+[A-Z][\w']*[ ,][^\n]")
_MAX_STATED = 600
"""Characters in which an answer must be stated; without a limit, text that repeats itself for ever takes for ever to read."""
_LINE = re.compile(rf"[^\n]{{0,{_MAX_STATED}}}")
_NEXT_LINE = re.compile(rf"\s*([^\n]{{0,{_MAX_STATED}}})")


def _statements(text: str, problem: Problem) -> list[_Statement]:
    """Return the outright answer statements of `text` in order."""
    found = _reversed_statements(text, problem)
    for box in _BOXED.finditer(text):
        inside = _braced(text, box.end())
        if inside is not None:
            found += _state(box.start(), text, box.end(), box.end() + len(inside), problem, boxed=True)
    for marker in _MARKER.finditer(text):
        colon = marker["hashes"] is not None or ":" in marker[0]
        start, stop, runs_on = _segment(text, marker.end(), colon)
        if _NOT.match(text, start, stop):
            continue
        if colon and _is_working(text[start:stop], runs_on, problem):
            continue
        found += _state(marker.start(), text, start, stop, problem)
    return sorted(found, key=lambda statement: statement.start)


def _state(begin: int, text: str, start: int, stop: int, problem: Problem, boxed: bool = False) -> Iterator[_Statement]:
    """Yield the statement that `text[start:stop]` makes; nothing where it names no answer at all."""
    segment = text[start:stop]
    at_end = not boxed and not text[stop:].strip(" *")
    if _REFUSED.match(segment):
        yield _Statement(begin, at_end, None)
        return
    read = _reader(problem)(segment, problem, boxed)
    if read is not None:
        yield _Statement(begin, at_end and not read.rest.strip(" *"), read.answer)


def _segment(text: str, start: int, colon: bool) -> tuple[int, int, bool]:
    """Return where what follows a marker starts and stops, and whether another sentence follows it on its line.

    That is its sentence, or its line where the marker ends in a colon; the next line where its own is empty.
    """
    line = _LINE.match(text, start)
    assert line is not None
    stop = line.end()
    if not line[0].strip(" \t*_:"):
        following = _NEXT_LINE.match(text, stop)
        assert following is not None
        start, stop = following.span(1)
    end = _SENTENCE_END.search(text, start, stop)
    if end is None:
        return start, stop, False
    runs_on = _NEW_SENTENCE.match(text, end.end(), stop) is not None
    # After a colon a full stop may belong to the answer ("J. Smith et al. 1990"): cut only where a sentence follows.
    return start, end.start() if runs_on or not colon else stop, runs_on


def _is_working(segment: str, runs_on: bool, problem: Problem) -> bool:
    """Return whether "Answer:" opens worked lines ("Answer: She has 16 - 3 = 13 left. Then ...") and states nothing itself."""
    if problem.choices is not None or problem.answer is None or _plain(problem.answer) is None:
        return False
    words = re.match(r"\W*[A-Za-z]{2,}\s+\w", segment) is not None
    return words and (runs_on or re.search(r"\d\s*[-+*/×÷]\s*\$?\d[^=]*=", segment) is not None)


def _braced(text: str, start: int) -> str | None:
    depth = 1
    for position in range(start, min(len(text), start + _MAX_STATED)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start:position]
    return None


_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!,?\d)|\d+(?:\.\d+)?|\.\d+"
_TOKEN = re.compile(
    r"(?<![\w.])(?<!\d[-,/:])(?P<sign>[-+]?)(?:[$€£]\s?)?(?P<minus>-?)"
    rf"(?P<number>{_NUMBER})(?!\d|(?:st|nd|rd|th)\b)"
)
_IS_ANSWER = re.compile(
    rf"(?<![\w.,])[-+]?[$€£]?(?P<number>{_NUMBER})[\s*_]*(?:[a-z]+\s+)?is\s+(?:the|my)\s+(?:final\s+|correct\s+)?answer\b",
    re.IGNORECASE,
)
_IS_CORRECT = re.compile(
    r"(?:\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ss]tatement)\s+\(?|\(|(?:^|[.!?:]\s+|\b(?:[Ss]o|[Tt]hus|[Tt]herefore|[Hh]ence),?\s+)[*_]*)"
    r"(?P<letter>[A-Z])\b\)?[*_]*(?:[.:)]\s[^.\n]{0,80}?)?"
    r"\s+is\s+(?:therefore\s+|thus\s+|clearly\s+|the\s+|most\s+likely\s+)*(?:correct|right|best|answer|most appropriate)\b",
    re.MULTILINE,
)


def _reversed_statements(text: str, problem: Problem) -> list[_Statement]:
    """Return statements that name the answer first: "18 is the answer", "Option B is correct"."""
    if problem.choices is not None:
        letters = LETTERS[: len(problem.choices)]
        return [_Statement(m.start(), False, m["letter"]) for m in _IS_CORRECT.finditer(text) if m["letter"] in letters]
    if problem.answer is not None and _plain(problem.answer) is not None:
        return [_Statement(m.start(), False, ("-" if m[0][0] == "-" else "") + m["number"]) for m in _IS_ANSWER.finditer(text)]
    return []


class _Read(NamedTuple):
    """What a segment states."""

    answer: str | None
    """The answer as written; None where the segment cannot be read as one answer."""
    rest: str
    """What of the segment stands after it."""


def _reader(problem: Problem) -> Callable[[str, Problem, bool], _Read | None]:
    if problem.choices is not None:
        return _read_choice
    if problem.answer is None:
        return _read_unknown
    if _plain(problem.answer) is not None:
        return _read_number
    return _read_formula if _is_formula(problem.answer) else _read_text


# --- numbers and formulas ---------------------------------------------------------------------------------------------

_UNITS = (
    "dollars?|cents?|euros?|pounds?|percent|points?|hours?|hrs?|minutes?|mins?|seconds?|secs?|days?|weeks?|months?|years?|miles?"
    "|feet|foot|ft|inch(?:es)?|yards?|degrees?|lit(?:er|re)s?|gallons?|grams?|kilograms?|met(?:er|re)s?|kilomet(?:er|re)s?"
    "|centimet(?:er|re)s?|km|cm|mm|kg|mg|ml|lbs?|mph|units?"
)
_PLAIN = re.compile(rf"([-+]?)[$€£]?\s?(-?)({_NUMBER})\s?%?(?:\s?(?:{_UNITS}))?\.?", re.IGNORECASE)
_ALTERNATIVE = re.compile(rf"[\s*%]*(?:{_UNITS})?\s*(?:or|and/or)\s+[$€£]?(?:{_NUMBER})", re.IGNORECASE)
_ARITHMETIC = re.compile(r"[-+]?[\d.,()\s]*\d[\d.,()\s]*(?:[-+*/×÷][-+\d.,()\s]+)+")
_FORMULA_WORDS = {"pi", "sqrt", "sin", "cos", "tan", "log", "ln", "exp", "frac", "infty", "inf"}
_MAX_FORMULA = 200


def _tidy(text: str) -> str:
    r"""Return `text` without the marks that surround numbers: emphasis, TeX delimiters, units set as text."""
    text = text.replace("\\$", "$").replace("\\%", "%").replace("{,}", ",").replace("−", "-").replace("–", "-")
    if "\\" in text:
        text = re.sub(r"\\[,;:!]|\\(?:left|right|displaystyle)(?![a-zA-Z])|\\quad|\\\(|\\\)|\\\[|\\\]|\^\{?\\circ\}?", "", text)
        text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
        text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    return text.replace("**", "").replace("__", "").strip()


@lru_cache(maxsize=65536)
def _plain(text: str) -> Fraction | None:
    """Return the exact value of a plain decimal, currency, percent sign, unit and thousands commas aside, or None."""
    found = _PLAIN.fullmatch(_tidy(text).strip("$ *")) if len(text) <= _MAX_FORMULA else None
    if found is None or (found[1] and found[2]):
        return None
    value = Fraction(found[3].replace(",", ""))
    return -value if "-" in (found[1], found[2]) else value


def _is_formula(text: str) -> bool:
    if any(mark in text for mark in "\\^="):
        return True
    words = re.findall(r"[A-Za-z]+", text)
    if any(len(word) > 1 and word.lower() not in _FORMULA_WORDS for word in words):
        return False
    of_letters = re.fullmatch(r"\s*[a-z](?:\s*[-+*/]\s*[a-z0-9])+\s*", text) is not None
    return of_letters or bool(re.search(r"\d", text) and re.search(r"[-+*/(),]", text))


def _read_number(segment: str, problem: Problem, boxed: bool) -> _Read | None:
    tidy = _tidy(segment)
    right = tidy.rpartition("=")[2]
    right = right if re.search(r"\d", right) else tidy
    stripped = right.strip(" $.")
    if re.search(r"\\(?:frac|sqrt|pi|times|cdot)|\^", stripped) or _ARITHMETIC.fullmatch(stripped):
        return _Read(stripped.replace("×", "*").replace("÷", "/"), "")
    found = _TOKEN.search(right)
    if found is None:
        return None
    rest = right[found.end() :]
    if _ALTERNATIVE.match(rest):
        return _Read(None, rest)
    mixed = re.match(r"\s(\d+)\s?/\s?(\d+)\b", rest)
    if mixed is not None and found["number"].isdigit():
        return _Read(f"{_written(found)} {mixed[1]}/{mixed[2]}", rest[mixed.end() :])
    fraction = re.match(r"\s?/\s?\d+\b", rest)
    if fraction is not None:
        return _Read(_written(found) + fraction[0], rest[fraction.end() :])
    return _Read(_written(found), rest)


def _written(token: re.Match[str]) -> str:
    return token["sign"].replace("+", "") + token["minus"] + token["number"]


def _read_formula(segment: str, problem: Problem, boxed: bool) -> _Read | None:
    marked = None if boxed else re.search(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$(.+?)\$", segment)
    if marked is not None:
        return _Read(_tidy(next(group for group in marked.groups() if group)), ".")
    tidy = _tidy(segment).strip(" $").rstrip(".,;")
    return _Read(tidy, "") if tidy else None


def _read_unknown(segment: str, problem: Problem, boxed: bool) -> _Read | None:
    tidy = _tidy(segment)
    if boxed:
        return _Read(tidy, "") if tidy else None
    if "\\" in tidy or "$" in tidy.strip("$ ")[1:]:
        return _read_formula(segment, problem, boxed)
    if re.match(rf"[-+]?[$€£]?(?:{_NUMBER})(?![\w(])", tidy):
        return _read_number(segment, problem, boxed)
    return _read_text(segment, problem, boxed)


def _same(reference: str, candidate: str, problem: Problem) -> bool | None:
    """Return whether the two agree, or None where the comparison of two formulas could not be finished."""
    if reference.strip() == candidate.strip():
        return True
    if problem.choices is not None:
        return False
    a, b = _plain(reference), _plain(candidate)
    if a is not None and b is not None:
        # Decimals written to many places may differ in the last by rounding; whole numbers never.
        return a == b or (a.denominator > 1 and b.denominator > 1 and abs(a - b) <= abs(a) / 10**9)
    if a is not None or _is_formula(reference):
        return _formulas_agree(reference, candidate)
    return _plain_text(reference) == _plain_text(candidate)


@lru_cache(maxsize=65536)
def _formulas_agree(reference: str, candidate: str) -> bool | None:
    if re.sub(r"\s+", "", _tidy(reference)).strip("$.") == re.sub(r"\s+", "", _tidy(candidate)).strip("$."):
        return True
    if _boundless(reference) or _boundless(candidate):
        return None
    try:
        import math_verify
        from math_verify.errors import TimeoutException
    except ImportError:
        raise MissingPackage("math-verify", "comparing mathematical answers") from None
    # math-verify keeps its time limit with a signal, which only the main thread can set. Elsewhere `_boundless` has to do, and
    # the library's warning that nobody limits the time would be noise.
    limit = 5 if threading.current_thread() is threading.main_thread() else None
    if limit is None:
        logging.getLogger("math_verify").setLevel(logging.ERROR)
    try:
        wanted, given = (
            math_verify.parse(_for_parser(text), parsing_timeout=limit, raise_on_error=True, fallback_mode="no_fallback")
            for text in (reference, candidate)
        )
        return bool(wanted and given) and bool(math_verify.verify(wanted, given, timeout_seconds=limit, raise_on_error=True))
    except TimeoutException:
        return None
    except (ValueError, TypeError, ArithmeticError, AttributeError, NotImplementedError, RecursionError):
        # What the library cannot compare it reports through these; the two are then neither equal nor unequal.
        return None


def _for_parser(text: str) -> str:
    tidy = re.sub(r"^(-?)(\d+) (\d+)/(\d+)$", r"\1(\2+\3/\4)", _tidy(text).strip("$ ."))
    return f"${tidy}$" if re.search(r"[\\^a-zA-Z(+*/]", tidy) else tidy


def _boundless(text: str) -> bool:
    """Return whether working `text` out might take for ever: too long, towers of powers, huge exponents or factorials."""
    powers = re.findall(r"(?:\^|\*\*)\s*\{?\s*[-(]*(\w*)", text)
    return (
        len(text) > _MAX_FORMULA
        or len(powers) > 4
        or bool(re.search(r"(?:\^|\*\*)[^-+=,]{0,12}(?:\^|\*\*)", text))
        or any(len(power) > 4 and power.isdigit() for power in powers)
        or bool(re.search(r"\d{4,}\s*!|!\s*!", text))
    )


# --- text -------------------------------------------------------------------------------------------------------------

_BINARY = ("yes", "no", "true", "false")
_REASON = re.compile(r",?\s+(?:because|since|as it|as the)\b")


@lru_cache(maxsize=65536)
def _plain_text(text: str) -> str:
    """Return `text` without case, articles, punctuation and repeated spaces; unchanged where it is all punctuation."""
    words = re.findall(r"[^\W_]+[+#]*", text.casefold().replace("'", "").replace("’", ""))
    kept = [word for word in words if word not in ("a", "an", "the")] or words
    return " ".join(kept) or " ".join(text.split())


def _read_text(segment: str, problem: Problem, boxed: bool) -> _Read | None:
    cut = _REASON.split(segment, maxsplit=1)[0]
    stripped = cut.strip().strip("*_\"'`").strip()
    stripped = re.sub(r"^\\text\{(.*)\}$", r"\1", stripped)
    if not re.fullmatch(r"\W+", stripped):
        stripped = stripped.rstrip(".!?,;:* ")
    if (problem.answer or "").strip().casefold() in _BINARY:
        leading = re.match(r"(?:yes|no|true|false)\b", stripped, re.IGNORECASE)
        stripped = leading[0] if leading else stripped
    return _Read(stripped, segment[len(cut) :]) if stripped else None


# --- choices ----------------------------------------------------------------------------------------------------------

_MARKUP = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\b|\*\*|__|\$|\\\(|\\\)")
_OPENING = re.compile(
    r"(?:\W|\b(?:therefore|thus|clearly|definitely|probably|likely|most|indeed|option|choice|letter|answer|the|is|either)\b)*",
    re.IGNORECASE,
)
_JOINED = re.compile(
    r"[\s*)\].]*(?:,|/|&|\bor\b|\band\b)[\s*]*(?:or\s+|and\s+)?(?:option\s+|choice\s+)?\(?\[?([A-Z])\b(?!['’])"
)
_INSIDE = re.compile(r"[(\[]([A-Z])[)\]]|\b(?:[Oo]ption|[Cc]hoice)\s+[(\[]?([A-Z])\b")
_CLOSED = re.compile(r"\W*$|[,.;:!](?=\s)|\s+(?:because|since|as|or|and)\b|\s*\(")
_ARTICLE = re.compile(r"^(?:the|an?)\s+")


def _read_choice(segment: str, problem: Problem, boxed: bool) -> _Read | None:
    assert problem.choices is not None
    letters = LETTERS[: len(problem.choices)]
    tidy = _MARKUP.sub("", segment)
    if boxed or "\\" in segment:
        tidy = tidy.replace("{", "").replace("}", "")
    stripped = tidy.strip(" \t*_`\"'.:")
    whole = _option_letters(stripped, problem.choices)
    if whole and len(stripped) > 1:
        return _Read(whole if len(whole) == 1 else None, "")
    led = _leading_letter(tidy, letters)
    if led is not None:
        letter, rest = led
        joined = _JOINED.match(rest)
        named = _option_letters(re.sub(r"^[\s.):*\]-]+", "", rest).strip(" .*"), problem.choices)
        if (joined is not None and joined[1] in letters and joined[1] != letter) or (named and letter not in named):
            return _Read(None, "")
        return _Read(letter, rest)
    opening = _option_opening(stripped, problem.choices)
    if opening:
        return _Read(opening if len(opening) == 1 else None, "")
    inside = {one or other for one, other in _INSIDE.findall(tidy)} & set(letters)
    if inside:
        return _Read(inside.pop() if len(inside) == 1 else None, ".")
    return None


def _leading_letter(segment: str, letters: str) -> tuple[str, str] | None:
    """Return the letter that opens `segment`, and what stands after it, or None."""
    small = re.fullmatch(r"\s*[(\[]?([a-z])(?:[)\].]*\s*|[)\].:]+\s+\S.*)", segment)
    if small is not None and small[1].upper() in letters:
        return small[1].upper(), segment[small.end(1) :]
    opening = _OPENING.match(segment)
    start = opening.end() if opening is not None else 0
    found = re.compile(rf"([{letters}])(?![\w'’-])").match(segment, start)
    if found is None:
        return None
    rest = segment[found.end() :]
    called = re.search(r"(?:option|choice|letter)\W*$", segment[:start], re.IGNORECASE) is not None
    # "A dog runs", "C cells": a letter before a plain word opens a phrase, unless a connecting word follows.
    phrase = re.match(r"[ \t]+(?!(?:because|since|as|is|and|or|which|for|with)\b)[\w-]", rest)
    if phrase and not called and segment[max(start - 1, 0) : start] not in ("(", "["):
        return None
    return found[1], rest


def _option_letters(text: str, choices: tuple[str, ...]) -> str:
    """Return the letters of the options whose text is `text` as a whole."""
    wanted = _plain_text(text)
    return "".join(LETTERS[i] for i, choice in enumerate(choices) if wanted and _plain_text(choice) == wanted)


def _option_opening(text: str, choices: tuple[str, ...]) -> str:
    """Return the letter of the longest option that opens `text` and is closed there; several where two options are named."""
    best, letters = 0, ""
    folded = _ARTICLE.sub("", text.casefold())
    for i, choice in enumerate(choices):
        option = _ARTICLE.sub("", choice.strip().rstrip(".").casefold())
        if not option or not folded.startswith(option) or not _CLOSED.match(folded[len(option) :]):
            continue
        if len(option) > best:
            best, letters = len(option), LETTERS[i]
        elif len(option) == best:
            letters += LETTERS[i]
    joined = re.match(r",?\s*(?:or|and)\s+(.*)", folded[best:]) if letters else None
    return letters + _option_letters(joined[1], choices) if joined is not None else letters


# --- texts that state nothing outright --------------------------------------------------------------------------------

_DENIED = re.compile(
    r"\b(?:not|wrong|incorrect|unlikely|false|rule[sd]? out|eliminate\w*|except|less)\b|n['’]t\b", re.IGNORECASE
)
_HENCE = re.compile(r"^(?:so|thus|therefore|hence)\b[,:]?\s*", re.IGNORECASE)


def _unmarked(text: str, problem: Problem) -> str | None:
    """Return what a text answers that never says so: a last line that is an option, or the last number."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if problem.choices is not None:
        return _unmarked_choice(lines[-1], problem.choices)
    if problem.answer is None or _plain(problem.answer) is None:
        return None
    numbers = [*_TOKEN.finditer(_tidy(text))]
    return _written(numbers[-1]) if numbers else None


def _unmarked_choice(line: str, choices: tuple[str, ...]) -> str | None:
    letters = LETTERS[: len(choices)]
    sentence = re.split(r"(?<=[.!?])\s+", line)[-1]
    for said in (_HENCE.sub("", line), _HENCE.sub("", sentence)):
        whole = _option_letters(said, choices)
        # A sentence inside a line counts only if it draws the conclusion ("So, False."), not if it is merely short.
        if whole and len(said) > 1 and (said != sentence or said == line):
            return whole if len(whole) == 1 else None
    said = _HENCE.sub("", line)
    alone = re.fullmatch(r"[*_\s]*[(\[]?([A-Za-z])[)\]]?[.:]?[*_\s]*", said)
    if alone is not None and alone[1].upper() in letters:
        return alone[1].upper()
    listed = re.fullmatch(r"[*_\s]*[(\[]?([A-Z])[)\]]?[.:)]\s*(.+)", said)
    if listed is not None and listed[1] in _option_letters(listed[2].strip(" *_"), choices):
        return listed[1]
    named = {one or other for one, other in _INSIDE.findall(sentence)} & set(letters)
    return named.pop() if len(named) == 1 and not _DENIED.search(sentence) else None
