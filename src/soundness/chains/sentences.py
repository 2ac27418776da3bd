r"""Where sentences and worked equations begin in running text.

Places are characters. The blank in front of a word starts the new sentence, because tokenizers write it into the word's token. Every
function is linear in the length of the text: looking back is bounded.

>>> text = "Dr. Wu adds 3.5 and 1. Then she stops."
>>> [text[start:stop] for start, stop in pairwise([0, *sentence_starts(text, 0, len(text)), len(text)])]
['Dr. Wu adds 3.5 and 1.', ' Then she stops.']
>>> text = "3 + 4 = 7, then 7 - 2 = 5"
>>> [text[start:stop] for start, stop in pairwise([0, *equation_starts(text, 0, len(text)), len(text)])]
['3 + 4 = 7,', ' then 7 - 2 = 5']
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

__all__ = ["equation_starts", "has_equation", "link_starts", "sentence_starts"]

# A few of these may follow a full stop before the blank that ends the sentence: quotes, brackets, emphasis, the end of a formula.
_CLOSERS = "\"'”’»)]}*_`$"
_NO_SPACE_MARKS = (
    # Marks that end a sentence without a blank behind them: Chinese and Japanese, Hindi and its neighbours, Urdu, Arabic,
    # Armenian, Ethiopic, Tibetan, Khmer, Burmese, Mongolian.
    "。！？．｡।॥۔؟։።༎។៕။᠃"
)
_END = re.compile(
    rf"(?P<spaced>[.!?…]+(?:[{re.escape(_CLOSERS)}]|\\[\])])*)(?=\s|$|(?<=[a-z0-9)]\.)(?=[A-Z][a-z]))"
    rf"|[{_NO_SPACE_MARKS}][{re.escape(_CLOSERS)}」』）】》]*"
)
_MARKER = re.compile(r"(?:[-*#>•]+\s*)*\**\(?(?:[0-9]{1,3}|[A-Za-z]|[ivx]{1,4})\.")
"""A list marker on its own: "1.", "a.", "- 2.", "iv."."""
_BEFORE_MARKER = re.compile(r"(?:[,;:]|\b(?:then|and|first|dann|und|puis))\s+\Z", re.IGNORECASE)
_INLINE_STEP = re.compile(r"(?<=\s)\**(?:Step|STEP|Schritt|Étape|Paso)\s+[0-9]{1,3}\s*[:.)—–-]")
"""Where a text without line breaks numbers its own steps."""
_NAME_BREAK = re.compile(r"[\s(\[{\"'“‘/–—-]")
_THAI_BLANK = re.compile(r"(?<=[\u0e00-\u0eff])[ \u00a0](?=[\u0e00-\u0eff])")
"""Thai and Lao set a blank between sentences and clauses, and no mark."""
_LOOK_BACK = 32  # characters; no abbreviation is longer, and an unbounded look back is quadratic in "e.g. e.g. e.g. ..."

_ALWAYS = frozenset(
    # Never the last word of a sentence.
    "e.g i.e eg ie vs cf viz resp approx ca dr mr mrs ms mx prof gen col lt capt cpt sgt cmdr maj adm rev hon gov "
    "pres sen rep insp supt st mt mts fr sra bros messrs mme mlle fig figs eq eqs eqn eqns tab sect chap pp vol ref "
    "refs thm lem prop cor def rs rt seq ibid z.b d.h u.a bzw vgl ggf evtl inkl zzgl nr p.ex p.ej núm art".split()
)
_SOMETIMES = frozenset(
    # The last word of a sentence where a new one visibly begins behind them.
    "etc inc ltd co corp llc plc jr sr esq phd ph.d m.d b.a m.a b.sc m.sc m.b.a d.c u.s u.k u.s.a u.n e.u a.m p.m a.d "
    "b.c a.k.a al est dept univ ave blvd rd apt no nos usw ch sec min max avg hr hrs secs mins oz lb lbs kg km cm mm "
    "mi mph pt qt gal yd sq ft in doz ed eds".split()
)
_MONTHS = frozenset("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thur Thurs Fri Sat Sun".split())
"""Capitalised, so that "the sun." and "he sat." stay the ends that they are."""
_GERMAN_MONTHS = frozenset("Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split())
_STARTERS = frozenset(
    # Words that begin a sentence far more often than they follow an abbreviation or an initial.
    "a an the this that these those it its he his she her they their we our i you there here my in on at by for from to with as if "
    "when while after before since because so then thus hence therefore next now but and or however also first second third "
    "finally lastly let what which who how why where is are do does each every all both another one two three step answer adding "
    "subtracting multiplying dividing".split()
)


def _is_abbreviation(text: str, sentence: int, stop: int, end: int) -> bool:
    """Return whether the full stop at `stop`, in a sentence from `sentence` on, is part of a word, initial or list marker."""
    start = max(sentence, stop - _LOOK_BACK)
    if start == sentence and _MARKER.fullmatch(text[sentence : stop + 1].strip()):
        return True
    behind = text[start:stop]
    name = _NAME_BREAK.split(behind)[-1]
    ahead = text[stop + 1 : min(end, stop + 1 + _LOOK_BACK)].lstrip(" \t\"'“‘(*")
    following = ahead[:1]
    word = re.match(r"[^\W\d_]*", ahead)
    next_word = word[0] if word is not None else ""
    begins = next_word.casefold() in _STARTERS and next_word[:1].isupper()
    low = name.casefold()
    if low in _ALWAYS or name == "Ft":
        return True
    if low in ("p", "c"):
        return following.isdigit()  # "p. 5", "c. 1900"
    if name in _MONTHS:
        return following.isdigit() or following.islower() or following == "," or next_word in _MONTHS
    if low in _SOMETIMES:
        if low == "in" and not behind[: len(behind) - len(name)].rstrip()[-1:].isdigit():
            return False  # "come in. 5 more": a word, not an inch
        if following.isupper():
            return "." in low and not begins  # "U.S. Army", "5 p.m. Then"
        return following.islower() or following.isdigit() or following in ",;:"
    if name.isdigit() and len(name) <= 2:
        # "Am 5. Mai", or the marker of an item within a line: "3 + 4 = 7; 2. 7 - 2 = 5", "then 2. halve it".
        marks = not following.isupper() and _BEFORE_MARKER.search(behind[: len(behind) - len(name)]) is not None
        return next_word in _GERMAN_MONTHS or marks
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", name):
        return not begins  # single letters in a row: "z.B.", "J.R.R. Tolkien"
    return len(name) == 1 and name.isupper() and not (begins and next_word.casefold() not in ("is", "are", "and", "or"))


def sentence_starts(text: str, begin: int, end: int, protected: Sequence[tuple[int, int]] = ()) -> Iterator[int]:
    """Yield where sentences start in `text[begin:end]`, `begin` itself left out.

    No sentence starts within a span of `protected` (ascending, apart): displayed formulas, whose full stop ends the sentence that
    they belong to.
    """
    firsts = [first for first, _ in protected]
    events: list[tuple[int, re.Match[str] | None]] = [(mark.end(), mark) for mark in _END.finditer(text, begin, end)]
    events += [(_word_start(text, step.start()), None) for step in _INLINE_STEP.finditer(text, begin, end)]
    events += [(blank.start(), None) for blank in _THAI_BLANK.finditer(text, begin, end)]
    for first, last in protected:
        inside = re.search(r"[.!?]\s*(?:\\\]|\$\$|\\end\{[a-z*]+\})?\Z", text[max(first, last - _LOOK_BACK) : last])
        if inside is not None and begin < last < end:
            events.append((last, None))
    sentence = begin
    for place, mark in sorted(events, key=lambda event: event[0]):
        following = _VISIBLE.search(text, place, end)
        if following is None:
            return
        index = bisect_right(firsts, place) - 1
        if place <= sentence or (index >= 0 and protected[index][0] < place < protected[index][1]):
            continue
        if mark is not None and not _ends_sentence(text, sentence, mark, following.start(), end):
            continue
        newline = text.rfind("\n", place, following.start())
        sentence = newline + 1 if newline >= 0 else place
        yield sentence


def _ends_sentence(text: str, sentence: int, mark: re.Match[str], following: int, end: int) -> bool:
    """Return whether the marks of `mark` end the sentence that began at `sentence`; the next visible character is at `following`."""
    if mark["spaced"] is None:
        # A full stop between fullwidth digits is their decimal point.
        return not (mark[0] == "．" and text[following].isdigit() and text[mark.start() - 1 : mark.start()].isdigit())
    sign, after = mark[0][0], text[following]
    if following == mark.end():
        # "7.Then": the blank was forgotten. Only before a word that begins sentences: names such as Math.Round have such stops.
        word = _WORD.match(text, following, min(end, following + _LOOK_BACK))
        return text[mark.start() - 1 : mark.start()].isalnum() and word is not None and word[0].casefold() in _STARTERS
    if sign == "…" or mark[0].startswith(".."):
        return after.isupper()
    if sign in "!?":
        return after not in "=+-−*/×÷<>^)&|,;:" and not after.islower()  # "5! = 120", "Why?" he asked
    return not _is_abbreviation(text, sentence, mark.start(), end)


# --- worked equations -------------------------------------------------------------------------------------------------

_EQUALS = re.compile(
    # A sign that a result follows; no comparison, no arrow, no assignment of a programming language.
    r"(?<![<>!=:≤≥])[=＝](?![=>])|[≈≃]|\\approx(?![a-zA-Z])"
    # Words for it, with the number behind them: "Adding 4 to 3 gives 7", "3 plus 4 is 7".
    r"|\b(?:gives?|makes?|equals?|leaves?|yields?|totals?|results? in|ergibt|ergeben|macht|donne|fait)\s+(?:us\s+)?[$€£]?-?(?=\d)"
    r"|\b(?:plus|minus|times|divided by|mal|fois)\s+[$€£]?\d[\d.,]*\s+(?:is|are|ist|sind|font)\s+(?=[$€£]?-?\d)",
    re.IGNORECASE,
)
_OPERATOR = re.compile(
    # An operation between two operands: "3 + 4", "7 \times 2", "１２×３", "10 % of 30", "3 plus 4", "\frac{6}{2}".
    r"[\w)\]}%$]\s*"
    r"(?:[-+*/×÷·^−–＋－＊／]|\\(?:times|cdot|div|pm)(?![a-zA-Z])|\\?%\s*of\b|\b(?:plus|minus|times|divided by|over|mal|fois)\b)\s*"
    r"[\w($€£{\\\[+\-−]|\\[dt]?frac|\\sqrt"
    # "Adding 4 to 3", "take 2 from 7", "half of 8".
    r"|\b(?:add|subtract|multiply|divide|tak|remov|sum|doubl|halv|addier|subtrahier|multiplizier|dividier)\w*\s+(?:\w+\s+){0,2}?"
    r"[$€£]?\d|\b(?:half|twice|double|a (?:third|quarter)) (?:of )?[$€£]?\d"
    r"|\d\s+(?:\w+\s+){0,3}?(?:addiert|abgezogen|subtrahiert|multipliziert|geteilt|dividiert)\b",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(
    # What may stand between two equations of one sentence. A comma followed by a digit without a blank is a thousands mark.
    r"[;；，、。]|,(?=\s)|(?:=>|⇒|⟹|→|->|\\(?:Rightarrow|implies|to|quad|qquad)(?![a-zA-Z]))"
    r"|(?<=\s)(?=(?:and|then|so|thus|hence|therefore|und|dann|also|et|puis|y|luego)\s)"
)
_BRACKET = re.compile(r"[()\[\]{}]")
_VISIBLE = re.compile(r"\S")
_WORD = re.compile(r"[^\W\d_]+")


def has_equation(text: str) -> bool:
    """Return whether `text` holds a worked equation: an operation, and a result behind an equals sign.

    >>> has_equation("so 3 + 4 = 7"), has_equation("let x = 3"), has_equation("3 + 4 apples")
    (True, False, False)
    """
    equals = _EQUALS.search(text)
    return equals is not None and (_OPERATOR.search(text) is not None)


def equation_starts(text: str, begin: int, end: int) -> Iterator[int]:
    """Yield where another worked equation starts in the sentence `text[begin:end]`, `begin` itself left out.

    A sentence is cut behind an equation where a separator follows that stands outside of brackets, and another equation is to come.
    """
    equals = [match.start() for match in _EQUALS.finditer(text, begin, end)]
    if len(equals) < 2:
        return
    operators = [match.start() for match in _OPERATOR.finditer(text, begin, end)]
    brackets = [(match.start(), match[0]) for match in _BRACKET.finditer(text, begin, end)]
    start, depth, passed = begin, 0, 0
    for separator in _SEPARATOR.finditer(text, begin, end):
        place = separator.end()
        while passed < len(brackets) and brackets[passed][0] < place:
            depth = depth + 1 if brackets[passed][1] in "([{" else max(depth - 1, 0)
            passed += 1
        if equals[-1] < place:
            return  # nothing but words is to come
        if depth == 0 and _any_between(equals, start, place) and _any_between(operators, start, place):
            start = _word_start(text, place)
            yield start


def _any_between(places: Sequence[int], start: int, stop: int) -> bool:
    """Return whether one of the ascending `places` lies in `[start, stop)`."""
    return bisect_left(places, start) < bisect_left(places, stop)


def _word_start(text: str, place: int) -> int:
    """Return `place`, or the blank in front of it: a blank goes with the word behind it."""
    return place - 1 if text[place - 1].isspace() and text[place - 1] != "\n" else place


def link_starts(text: str, begin: int, end: int) -> Iterator[int]:
    """Yield where the links of a chain of equals signs start in `text[begin:end]`: "2 * (3 + 4) = 2 * 7" and " = 14".

    The part between two equals signs has to be an operation: "x = y = 3" is no derivation.
    """
    equals = [match.start() for match in _EQUALS.finditer(text, begin, end)]
    for first, second in pairwise(equals):
        if _OPERATOR.search(text, first + 1, second) and any(character.isdigit() for character in text[first:second]):
            yield _word_start(text, second)
