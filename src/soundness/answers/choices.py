r"""Which option a stated sentence names. Options are looked at first: "None of the above" may be one, and so may "30" beside "-30".

>>> planets = ("mercury", "venus", "earth", "mars")
>>> [read_choice(text, planets) for text in ("I think it is C", "(B) venus, of course", "the planet is earth", "A or B", "pluto")]
[Choice(letter='C'), Choice(letter='B'), Choice(letter='C'), Choice(letter=None), None]
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from soundness.answers.equality import option_of
from soundness.answers.markup import tidy
from soundness.answers.texts import REFUSAL, core, opening_binary
from soundness.answers.values import read_value
from soundness.records import LETTERS

__all__ = ["Choice", "read_choice", "read_conclusion", "read_last_line"]


class Choice(NamedTuple):
    """What a sentence says of the options."""

    letter: str | None
    """The option that it names; None where it names several, or refuses."""


_OPENING = re.compile(
    # Words between a marker and the letter: "most likely option", "I think it is", "clearly the".
    r"(?:[\s*_:\"'`,]|\b(?:therefore|thus|so|hence|clearly|definitely|probably|likely|most"
    r"|indeed|option|choice|letter|answer|the|is|it|it's|that|be|to|go|with|would|i|we|think"
    r"|believe"
    r"|guess|say|guessing|my|best|correct|right|final|number|statement|la|el|le|die|der|das"
    r"|opción|options?|réponse|option|letra|lettre|letter|alternativa|buchstabe|буква|вариант|选项|選項|选|是|为)\b|[选項项是为])*",
    re.IGNORECASE,
)
_LEADING = re.compile(r"(?P<open>[(\[{<]?)\s?(?P<letter>[A-Z])(?![A-Za-z0-9_'’]|-\w)(?P<close>\s?[)\]}>]?)(?P<mark>[.:)]?)")
_SMALL = re.compile(r"\s*(?P<open>[(\[]?)(?P<letter>[a-z])(?:(?P<close>[)\]])[.:]?|[.:)])?(?P<rest>\s+\S.*)?\s*", re.DOTALL)
_JOINED = re.compile(
    r"[\s*)\].]*(?:,|/|&|\+|\bor\b|\band\b|\bnor\b|\boder\b|\bund\b|\bou\b|\bet\b|或|和"
    r"|、)[\s*,]*(?:or\s+|and\s+|possibly\s+)?(?:option\s+"
    r"|choice\s+)?[(\[]?([A-Z])\b(?!['’\w])(?!\s+[a-z]{2})"
)
_INSIDE = re.compile(
    r"[(\[]([A-Z])[)\]]|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ll]etter)\s+[(\[]?([A-Z])\b(?!['’])|选项\s*([A-Z])"
)
_PHRASE = re.compile(r"[ \t]+(?!(?:because|since|as|is|and|or|which|for|with|due|given|by|from|[-–—])\b)[A-Za-zÀ-ÿ][\w-]*")
_CLOSED = re.compile(
    r"\W*$|[,.;:!?](?=\s)|\s+(?:because|since|as|or|and|is|was|which|due|by|for|in|with|that)\b|\s*[(—–]|\s-\s"
)
_BUT = re.compile(r"\b(?:but(?: rather)?|rather|instead|sondern|mais|sino)\b|而是", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(?:not|n't|isn't|neither|nor|rather than|instead of|unlike|except|excluding|over"
    r"|than)\s+(?:option\s+|choice\s+|the\s+|an?\s+)?[(\[\"'*]*$",
    re.IGNORECASE,
)
_FUNCTION_WORDS = frozenset(
    "yes no true false maybe not none both all neither it is the a an he she they this that"
    " correct incorrect right wrong one".split()
)
_NUMBERED = re.compile(r"(?:option|choice|answer)\s+#?\(?([1-9])\)?", re.IGNORECASE)


def read_choice(segment: str, choices: Sequence[str]) -> Choice | None:
    """Return the option that `segment`, what follows a marker, names; None where it speaks of none."""
    choices = tuple(choices)
    letters = LETTERS[: len(choices)]
    tidied = tidy(segment)
    bare = tidied.strip(" \t\n*_`\"':|")
    if not bare:
        return None
    whole = option_of(bare, choices) or option_of(core(bare), choices)
    if whole is not None:
        return Choice(whole)
    denial = re.match(r"(?:not|neither)\b", bare, re.IGNORECASE)
    if denial is not None:
        turn = _BUT.search(bare)
        return None if turn is None else read_choice(bare[turn.end() :], choices)
    led = _leading_letter(tidied, letters)
    if led is not None:
        letter, rest = led
        joined = _JOINED.match(rest)
        if joined is not None and joined[1] in letters and joined[1] != letter:
            return Choice(None)
        named = option_of(re.sub(r"^[\s.):*\]-]+", "", rest).strip(" .*"), choices) if rest.strip(" .):*]-") else None
        following = _named_options(re.split(r"[,;.(]|\s-\s|—", re.sub(r"^[\s.):*\]—-]+", "", rest))[0], choices)
        if (named is not None and named != letter) or (len(following) == 1 and letter not in following and _labels(rest)):
            return Choice(None)
        return Choice(letter)
    opening = _option_opening(bare, choices)
    if opening:
        return Choice(opening if len(opening) == 1 else None)
    said = opening_binary(bare)
    if said is not None:
        letter_said = option_of(said, choices)
        if letter_said is not None:
            return Choice(letter_said)
    inside = {next(letter for letter in found if letter) for found in _INSIDE.findall(tidied)} & set(letters)
    if inside:
        return Choice(inside.pop() if len(inside) == 1 else None)
    numbered = _NUMBERED.fullmatch(bare.strip(" ."))
    if numbered is not None and int(numbered[1]) <= len(choices) and not any(read_value(choice) for choice in choices):
        return Choice(letters[int(numbered[1]) - 1])
    named_options = _named_options(bare, choices)
    if named_options:
        return Choice(named_options if len(named_options) == 1 else None)
    value = _by_result(bare, choices)
    if value is not None:
        return Choice(value)
    return Choice(None) if REFUSAL.match(bare) else None


def _labels(rest: str) -> bool:
    """Return whether what follows a letter is set off as its option's text: ". red", ") red", ": red"."""
    return re.match(r"\s?[)\]]?[.:)\]]\s+\S|[)\]]\s*\S|\s*[—-]\s", rest) is not None


def _leading_letter(segment: str, letters: str) -> tuple[str, str] | None:
    """Return the letter that opens `segment`, and what stands after it, or None."""
    small = _SMALL.fullmatch(segment.strip(" *_"))
    if (
        small is not None
        and small["letter"].upper() in letters
        and (small["close"] or not small["rest"] or segment.strip(" *_")[1:2] in ".:)")
    ):
        return small["letter"].upper(), small["rest"] or ""
    opening = _OPENING.match(segment)
    start = opening.end() if opening is not None else 0
    found = _LEADING.match(segment, start)
    if found is None and start:  # "the A" has taken nothing, but "be" or "I" may have been the letter itself
        found = _LEADING.match(segment.lstrip(" *_\"'"))
        segment = segment.lstrip(" *_\"'") if found is not None else segment
        start = 0
    if found is None or found["letter"] not in letters:
        return None
    rest = segment[found.end("letter") :]
    called = re.search(r"(?:option|choice|letter|选项|answer is|is|be|选|是)\W*$", segment[:start], re.IGNORECASE) is not None
    bracketed = bool(found["open"])
    # "A dog runs", "C cells": a letter before a plain word opens a phrase, unless a connecting word follows.
    if (
        _PHRASE.match(rest)
        and not bracketed
        and not (called and re.search(r"(?:option|choice|letter|选项)\W*$", segment[:start], re.IGNORECASE))
    ):
        return None
    return found["letter"], rest


def _option_opening(text: str, choices: tuple[str, ...]) -> str:
    """Return the letter of the longest option that opens `text` and is closed there; several where two options are named."""
    best, letters = 0, ""
    folded = _without_article(text.casefold())
    for index, choice in enumerate(choices[: len(LETTERS)]):
        option = _without_article(tidy(choice).strip().rstrip(".").casefold())
        if not option or not folded.startswith(option) or not _CLOSED.match(folded[len(option) :]):
            continue
        if option in _FUNCTION_WORDS and re.match(r"\s+\w", folded[len(option) :]):
            continue
        if len(option) > best:
            best, letters = len(option), LETTERS[index]
        elif len(option) == best:
            letters += LETTERS[index]
    joined = re.match(r",?\s*(?:or|and|/)\s*(.*)", folded[best:], re.DOTALL) if letters else None
    if joined is not None:
        other = _named_options(joined[1], choices) or (option_of(joined[1].strip(" .?"), choices) or "")
        return letters + "".join(letter for letter in other if letter not in letters)
    return letters


def _without_article(text: str) -> str:
    return re.sub(r"^(?:the|an?)\s+", "", text)


def _named_options(text: str, choices: tuple[str, ...]) -> str:
    """Return the letters of the options whose text stands in `text` as whole words, closed there and not denied."""
    folded = tidy(text).casefold()
    spans: list[tuple[int, int, str]] = []
    for index, choice in enumerate(choices[: len(LETTERS)]):
        option = _without_article(tidy(choice).strip(" .").casefold())
        if not option or option in _FUNCTION_WORDS or (len(option) < 3 and not option.isdigit()):
            continue
        place = folded.find(option)
        while place >= 0:
            stop = place + len(option)
            whole = not (folded[place - 1 : place].isalnum() and option[0].isalnum()) and not (
                folded[stop : stop + 1].isalnum() and option[-1].isalnum()
            )
            if whole and _CLOSED.match(folded[stop:]) and not _NEGATED.search(folded[:place]):
                spans.append((place, stop, LETTERS[index]))
            place = folded.find(option, place + 1)
    outer = [
        (start, stop, letter)
        for start, stop, letter in spans
        if not any(a <= start and stop <= b and (b - a) > (stop - start) for a, b, _ in spans)
    ]
    return "".join(dict.fromkeys(letter for _, _, letter in outer))


def _by_result(text: str, choices: tuple[str, ...]) -> str | None:
    """Return the option that a sentence works out: "so the total is 3 * 4 = 12" where the options are numbers."""
    from soundness.answers.results import read_number

    if not all(read_value(choice) for choice in choices):
        return None
    reading = read_number(text)
    return None if reading is None or reading.answer is None else option_of(reading.answer, choices)


_DENIED = re.compile(
    r"\b(?:not|wrong|incorrect|unlikely|false|rule[sd]? out|eliminate\w*|except|less)\b|n['’]t\b", re.IGNORECASE
)
_HENCE = re.compile(r"^(?:so|thus|therefore|hence)\b[,:]?\s*", re.IGNORECASE)
_ALONE = re.compile(r"[*_\s\"'`]*[(\[]?([A-Za-z])[)\]]?[.:]?[*_\s\"'`]*")
_SPOKEN = re.compile(
    # "It's B.", "I'd say (B)", "so B.", "B it is!", "B, I think", "the best is B"
    r"(?:.{0,60}\b)?(?:(?:it|that)(?:'s| is| must be| has to be| would be)|(?:i|we)(?:'d|"
    r" would|'m| am)?\s+(?:say|think|guess|believe|pick|confident|sure)(?:\s+it(?:'s| is))?"
    r"|definitely|probably|certainly|clearly|go(?:ing)? with|so|thus|hence|must be|best is"
    r"|best one is)[:,]?\s+(?:option\s+|letter\s+|choice\s+)?[(\[]?([A-Z])[)\]]?\W*"
    r"|[(\[]?([A-Z])[)\]]?(?:,|\s+it\s+is|\s+is\s+it)(?:\s+(?:i\s+(?:think|believe|guess)"
    r"|definitely|probably|for sure|of course))?\W*",
    re.IGNORECASE,
)
_VERDICT = re.compile(
    r"\b(?:statement|claim|assertion|hypothesis|sentence|conclusion|proposition|it|this|that"
    r"|answer)\b[^.]{0,60}\bis\s+(?:therefore\s+|thus\s+)?(true|false)\W*$",
    re.IGNORECASE,
)
_LISTED = re.compile(r"[*_\s]*[(\[]?([A-Za-z])[)\]]?[.:)]\s*(\S.*)")


_CONCLUDES = re.compile(
    r"\b(?:therefore|thus|hence|in conclusion|in summary|to summari[sz]e|overall|accordingly|consequently)\b|^\W*so\b"
    r"|\bmost (?:likely|appropriate|probable|accurate|suitable|consistent)\b|\bbest (?:next"
    r"|choice|option|answer|descri|expl|fit|treat|step|initial|way|match)"
    r"|\bcorrect\b|\b(?:is|are) (?:strongly )?(?:suggestive of|consistent with)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[a-z0-9)%\]\"'*][.!?])\s+(?=[A-Z(\"*])|\n+")
_LABEL = re.compile(r"(?<![\w(])[(\[]?([A-Z])[)\].:]\s*(?=\w)|[(\[]([A-Z])[)\]]")


def read_conclusion(text: str, choices: Sequence[str]) -> tuple[str, str] | None:
    """Return the option that a text concludes on though it never says that this is the answer, and the sentence that does so.

    That is one of its last sentences, one that draws a conclusion and names one option and no other.

    >>> planets = ("mercury", "venus", "earth", "mars")
    >>> read_conclusion("Venus is hotter than Mars. Therefore, the most likely planet is Venus.", planets)
    ('B', 'Therefore, the most likely planet is Venus.')
    """
    choices = tuple(choices)
    sentences = [sentence for sentence in _SENTENCE.split(text[-3000:]) if sentence.strip()]
    for sentence in reversed(sentences[-4:]):
        if not _CONCLUDES.search(sentence) or _DENIED.search(sentence) or len(sentence) > 500:
            continue
        named = _named_options(sentence, choices)
        labels = {one or other for one, other in _LABEL.findall(sentence)} & set(LETTERS[: len(choices)])
        if len(named) == 1 and labels <= set(named):
            return named, sentence.strip()
        if named or labels:
            return None  # several are weighed: no conclusion
    return None


def read_last_line(line: str, choices: Sequence[str]) -> str | None:
    """Return the option that the last line of a text names though it states nothing outright: an option and nothing else."""
    choices = tuple(choices)
    letters = LETTERS[: len(choices)]
    tidied = tidy(line)
    sentence = re.split(r"(?<=[.!?])\s+", tidied)[-1]
    spoken = _SPOKEN.fullmatch(sentence.strip(" *_"))
    if spoken is not None and len(sentence) <= 80:
        letter = next(group for group in spoken.groups() if group)
        if letter in letters:
            return letter
    verdict = _VERDICT.search(sentence)
    if verdict is not None and option_of(verdict[1], choices) is not None and len(choices) == 2:
        return option_of(verdict[1], choices)
    for said in (_HENCE.sub("", tidied), _HENCE.sub("", sentence)):
        bare = said.strip(" *_\"'`")
        whole = option_of(bare, choices) if len(bare.strip(" .")) > 1 else None
        # A sentence inside a line counts only if it draws the conclusion ("So, False."), not if it is merely short.
        if whole is not None and (said != sentence or said == tidied):
            return whole
    said = _HENCE.sub("", tidied)
    alone = _ALONE.fullmatch(said)
    if alone is not None and alone[1].upper() in letters:
        return alone[1].upper()
    listed = _LISTED.fullmatch(said)
    if listed is not None and option_of(listed[2].strip(" *_"), choices) == listed[1].upper():
        return listed[1].upper()
    named = {next(letter for letter in found if letter) for found in _INSIDE.findall(sentence)} & set(letters)
    return named.pop() if len(named) == 1 and not _DENIED.search(sentence) else None
