"""Steps of a chain: token spans that join back to the chain exactly.

A splitter looks at the text alone and says where steps begin; tokens then follow. The blank in front of a word starts the new
step, because tokenizers write it into the word's token; a newline ends the old one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from statistics import median

from soundness.answers.numbers import as_number, find_numbers
from soundness.errors import SettingError, near
from soundness.records import LETTERS, Problem, Span

__all__ = ["SPLITTERS", "answer_key", "answer_step", "split_steps", "spans_at", "states", "step_texts"]

SHORT_LINE = 200
"""`auto` takes lines for steps where their median length is below this many characters."""

_OPEN_TAG, _CLOSE_TAG = "<think>", "</think>"
_CLOSERS = "\"'”’»)]}*_`"
_END = re.compile(rf"(?:[.!?…]+[{re.escape(_CLOSERS)}]*(?=\s|$))|[。！？][{re.escape(_CLOSERS)}」』）]*")
_ABBREVIATIONS = frozenset(
    "e.g i.e eg ie vs cf ca viz dr mr mrs ms prof st sr jr fig figs eq eqs approx al resp dept est vol ch sec pp ref".split()
)
_BEFORE_LOWER_CASE = frozenset("etc inc ltd co corp a.m p.m u.s u.k no nos".split())
"""Words whose full stop ends a sentence only where no lower-case letter or digit follows."""
_MARKER = re.compile(r"(?:[-*#>•]+\s*)*\**\(?(?:[0-9]{1,3}|[A-Za-z]|[ivx]{1,4})\.")
_VERDICT_WORDS = frozenset({"yes", "no", "true", "false", "maybe", "unknown", "uncertain"})


def _line_starts(text: str) -> list[int]:
    """Return where each line of `text` starts, in characters."""
    return [0, *(match.end() for match in re.finditer("\n", text) if match.end() < len(text))]


def _is_abbreviation(text: str, sentence: int, stop: int) -> bool:
    """Return whether the full stop at `stop`, in a sentence from `sentence` on, is part of a word, initial or list marker."""
    if _MARKER.fullmatch(text[sentence : stop + 1].strip()):
        return True
    word = re.search(r"[^\s(\[{\"'“‘/]*$", text[sentence:stop])
    name = word.group() if word else ""
    following = text[stop + 1 :].lstrip(" \t")[:1]
    low = name.casefold()
    if low in _BEFORE_LOWER_CASE:
        return following.islower() or following.isdigit()
    return low in _ABBREVIATIONS or re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", name) is not None


def _sentence_starts(text: str) -> list[int]:
    """Return where each sentence of `text` starts, in characters; a newline always ends one."""
    starts = []
    lines = _line_starts(text)
    for begin, end in pairwise([*lines, len(text)]):
        starts.append(begin)
        sentence = begin
        for match in _END.finditer(text, begin, end):
            mark = text[match.start()]
            following = text[match.end() : end].lstrip(" \t")[:1]
            if following in ("", "\n", "\r"):
                break
            ellipsis = mark == "…" or match.group().startswith("..")
            if ellipsis and not following.isupper():
                continue
            if mark in "!?" and following in "=+-−*/×÷<>^)&|,;:":
                continue
            if mark == "." and not ellipsis and _is_abbreviation(text, sentence, match.start()):
                continue
            sentence = match.end()
            starts.append(sentence)
    return starts


def _auto_starts(text: str) -> list[int]:
    """Return line starts for a chain written in short lines, sentence starts otherwise."""
    lines = [line.strip() for line in text.split("\n")]
    lengths = [len(line) for line in lines if line and line not in (_OPEN_TAG, _CLOSE_TAG)]
    return _line_starts(text) if len(lengths) >= 2 and median(lengths) < SHORT_LINE else _sentence_starts(text)


SPLITTERS: dict[str, Callable[[str], list[int]]] = {"auto": _auto_starts, "lines": _line_starts, "sentences": _sentence_starts}
"""Name -> function from a text to the characters where its pieces start, the first at 0; blank pieces are allowed."""


def _without_empty(text: str, starts: Sequence[int]) -> list[int]:
    """Return the starts that remain once blank pieces join their neighbour and lone thinking tags the step beside them."""
    kept: list[int] = []
    waiting = True  # nothing but blanks and tags since the last kept start
    for begin, end in pairwise([*starts, len(text)]):
        content = text[begin:end].strip()
        if not kept:
            kept.append(begin)
        elif content and content != _CLOSE_TAG and not waiting:
            kept.append(begin)
            waiting = True
        if content and content not in (_OPEN_TAG, _CLOSE_TAG):
            waiting = False
    if waiting and len(kept) > 1:
        kept.pop()
    return kept


def spans_at(pieces: Sequence[str], starts: Sequence[int]) -> tuple[Span, ...]:
    r"""Return the token spans whose steps start at the characters `starts` (ascending, the first 0).

    They partition `[0, len(pieces))`. A token that straddles a start belongs to the earlier step; a step left with blanks only
    joins the one before it (the first one: the one after it).

    >>> spans_at(["a b", "\n", "c"], [0, 4])
    (Span(start=0, stop=2), Span(start=2, stop=3))
    """
    if not pieces:
        return ()
    offsets = [0, *accumulate(len(piece) for piece in pieces)]
    cuts = sorted({bisect_left(offsets, start, 0, len(pieces)) for start in starts} | {0})
    filled = [begin for begin, end in pairwise([*cuts, len(pieces)]) if "".join(pieces[begin:end]).strip()]
    return tuple(Span(begin, end) for begin, end in pairwise([0, *filled[1:], len(pieces)]))


def split_steps(pieces: Sequence[str], splitter: str = "auto") -> tuple[Span, ...]:
    r"""Return the steps of a chain as token spans that partition `[0, len(pieces))` exactly.

    `pieces` holds one string per token. `lines`: one step per line that is not blank, blank lines going to the step before.
    `sentences`: one step per sentence, a newline always ending one. `auto`: lines where there are at least two and their
    median length is below `SHORT_LINE` characters, sentences otherwise. A `<think>` alone on its line opens the step after it,
    a `</think>` closes the step before it. No step is blank, unless the whole text is. Raises `SettingError` for an unknown
    splitter.

    >>> split_steps(["2", " +", " 2", " =", " 4", "\n", "Answer", ":", " 4"])
    (Span(start=0, stop=6), Span(start=6, stop=9))
    >>> split_steps(["It", " is", " 3.5", ".", " So", " yes", "."])
    (Span(start=0, stop=4), Span(start=4, stop=7))
    """
    if splitter not in SPLITTERS:
        known = ", ".join(SPLITTERS)
        raise SettingError(f"unknown splitter {splitter!r}{near(splitter, SPLITTERS)}: choose one of {known}")
    text = "".join(pieces)
    return spans_at(pieces, _without_empty(text, SPLITTERS[splitter](text)))


def step_texts(pieces: Sequence[str], steps: Sequence[Span]) -> tuple[str, ...]:
    """Return the text of each step; joined, the chain's text."""
    return tuple("".join(pieces[step.start : step.stop]) for step in steps)


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
    """Return `text` without what TeX and Markdown put around words: delimiters, emphasis, degree marks, text commands."""
    bare = re.sub(r"\^\{?\\circ\}?|\\[()\[\],;!]|\\(?:left|right|displaystyle)(?![a-z])|\$|\*\*", "", text)
    return " ".join(re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", bare).split())


def _holds_phrase(text: str, phrase: str) -> bool:
    """Return whether `text` contains `phrase` whole: no letter or digit touches it, nor any mark where it is made of marks."""
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
    )
    return any(re.search(form, text) for form in forms)


def states(text: str, answer: str, choices: Sequence[str] | None = None) -> bool:
    """Return whether `text` states `answer` as a whole.

    Numbers are compared by value and at number boundaries: "4" is stated by "= 4", "$4.00" and "3-4", not by "14", "4.5", "-4",
    "4th" or the list marker "4.". Words count whole and without case; yes, no, true, false only where they stand as an answer.
    With `choices`, a letter is stated by its own form ("(B)", "Answer: B", "option B") or by the option's text.

    >>> states("so 7 + 4 = 11", "11"), states("so 111 or 1.1", "11"), states("2. Next step", "2")
    (True, False, False)
    >>> states("A dog runs", "A", ["cat", "cow"]), states("It must be a CAT.", "A", ["cat", "cow"])
    (False, True)
    """
    if choices is not None:
        letter = _letter(answer, choices)
        if letter is not None:
            return _states_letter(text, letter) or states(text, choices[LETTERS.index(letter)])
    value = as_number(answer)
    if value is not None:
        written = answer.strip()
        return any(number.value == value for number in find_numbers(text)) or ("/" in written and _holds_phrase(text, written))
    key = answer_key(answer)
    if not key:
        return False
    folded = text.casefold()
    if key in _VERDICT_WORDS:
        return _states_verdict(folded, key)
    return _holds_phrase(folded, key) or _holds_phrase(_without_markup(folded), _without_markup(key))


def _letter(answer: str, choices: Sequence[str]) -> str | None:
    """Return the letter that `answer` means among `choices`, or None."""
    bare = answer.strip().strip("()[].:* ")
    if len(bare) == 1 and bare.upper() in LETTERS[: len(choices)]:
        return bare.upper()
    for letter, choice in zip(LETTERS, choices, strict=False):
        if answer_key(choice) == answer_key(answer):
            return letter
    return None


def answer_step(texts: Sequence[str], answer: str | None, problem: Problem | None = None) -> int | None:
    """Return the index of the first step that states `answer`, or None where none does or there is no answer.

    `texts` holds the text of each step; `problem` brings the choices.

    >>> answer_step(["7 + 4 = 11", "11 - 2 = 9", "Answer: 9"], "9")
    1
    """
    if answer is None:
        return None
    choices = problem.choices if problem is not None else None
    return next((index for index, text in enumerate(texts) if states(text, answer, choices)), None)
