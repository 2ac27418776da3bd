r"""Answers in words: what counts as the same text, and what of a sentence is the answer.

>>> same_text("The Blue whale.", "blue  whale"), same_text("Paris (the capital)", "Paris"), same_text("New York City", "New York")
(True, True, False)
>>> same_text("-x", "x"), same_text("A - B", "A + B"), same_text("well-known", "well known")
(False, False, True)
"""

from __future__ import annotations

import ast
import re
import unicodedata
from functools import lru_cache

from soundness.answers.markup import tidy

__all__ = ["REFUSAL", "alternatives", "binary", "core", "plain", "same_text"]

_ARTICLES = frozenset({"a", "an", "the"})
_TOKENS = re.compile(
    # Words, with the marks that belong to them (C++, C#); then marks of mathematics and logic, which are never dropped.
    r"[^\W_]+(?:\+\+|#)?|(?<=\d):(?=\d)|[^\w\s.,;:?\"'`…«»„“”·•、。，！？；：]"
)
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)|(?<=s)'(?=\s|$)")
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z)])_\{?(\d{1,3}|[a-z])\}?(?![A-Za-z])")
_SPACED_INITIALS = re.compile(r"(?<=\b[^\W\d_]\.)\s+(?=[^\W\d_]\.)")
_INITIALS = re.compile(r"\b(?:[^\W\d_]\.){2,}|\b(?:Mr|Mrs|Ms|Dr|St|Mt|Jr|Sr|vs|etc|No|Prof)\.")
_HYPHEN = re.compile(r"(?<=[^\W\d])[-/](?=\w)|(?<=\w)[-/](?=[^\W\d])")
_QUOTES = re.compile(r"[\"`«»„“”]|(?<!\w)'|'(?!\w)")
_CHARGE = re.compile(r"(?<=[A-Z0-9a-z])([+-])(?=\s|$|[,.;)])")
_END = " \t\n.,;:!?…。，、！？；"


def _letters(text: str) -> str:
    """Return `text` without case and, for Latin letters, without accents."""
    folded = text.casefold()
    if folded.isascii():
        return folded
    parts = unicodedata.normalize("NFKD", folded)
    bare = "".join(mark for place, mark in enumerate(parts) if not (unicodedata.combining(mark) and parts[place - 1].isascii()))
    return unicodedata.normalize("NFC", bare)


@lru_cache(maxsize=1 << 15)
def plain(text: str) -> str:
    """Return `text` without case, accents, articles, quotes and closing marks, one blank between words.

    Signs stay where they stand for something: in front of a word, behind it, or alone; a hyphen or slash inside a word joins two.
    """
    bare = tidy(text).strip().rstrip(_END)
    if re.fullmatch(r"[^\W\d_]'+", bare):
        return bare.casefold()  # x' is not x
    bare = _SUBSCRIPT.sub(r"\1", bare)
    bare = _SPACED_INITIALS.sub("", bare)
    bare = _INITIALS.sub(lambda found: found[0].replace(".", ""), bare)
    bare = _APOSTROPHE.sub("", _QUOTES.sub(" ", bare))
    if re.fullmatch(r"[!¬~]\s?\w+|[-+]\s?\w+|\w+\s?[-+]", bare) is None:
        bare = _HYPHEN.sub(" ", bare)
    tokens = _TOKENS.findall(_letters(bare))
    words = sum(token[0].isalnum() for token in tokens)
    if not words:
        return " ".join(tokens) or " ".join(text.split())
    signs = any(not token[0].isalnum() and token not in "()[]{}\\&%:$€£" for token in tokens)
    kept = [token for token in tokens if token not in "()[]{}\\" and not (words > 1 and not signs and token in _ARTICLES)]
    return " ".join("and" if token == "&" and words > 1 else token for token in kept) or " ".join(tokens)


_GLOSS = re.compile(
    # What only explains the answer in front of it: "(the capital of France)", ", the capital ...", " - which ...", " because ...".
    r"\s+\([^()]{1,200}\)\s*$"
    r"|\s+\[[^\[\]]{1,200}\]\s*$"
    r"|\s*,\s+(?:the|an?|which|who|where|whose|when|as|because|since|so|i\.e\.|that is|namely"
    r"|not|although|though|being|according|based"
    r"|meaning|making|due|given|also known|aka|or simply|known|located|la|le|el|der|die|das)\b.*$"
    r"|\s+[-–—]+\s+.*$|\s*—\s*.*$"
    r"|\s*;\s.*$"
    r"|,?\s+(?:because|since|due to|as it|as the|as they|as this|which|who (?:was|is)|aka|a\.k\.a\.|also known as|i\.e\.)\b.*$"
    r"|\s*[(（][^()（）]{1,80}[)）]\s*$(?<=[）])"
    r"|[。！]\s*.*$",
    re.IGNORECASE | re.DOTALL,
)
_INTRODUCED = re.compile(
    r"^(?:(?:so|thus|hence|therefore|clearly|probably|likely|most likely|definitely|certainly|simply|just|i think|i believe|i'd say"
    r"|i would say|it seems|it appears|perhaps|maybe|that)[,:]?\s+)*"
    r"(?:(?:it|this|that|they|he|she|there|these|which|the (?:correct |right |final |best"
    r" )?answer)(?:'s| is| was| are| were| would be| must be| should be| has to be)\s+"
    r"(?:called |known as |named |likely |probably |most likely |definitely |clearly |simply )?)?",
    re.IGNORECASE,
)

REFUSAL = re.compile(
    r"\W*(?:i (?:do not|don't|cannot|can't|am not|am unable|could not|couldn't)\b|i'm (?:not"
    r"|unable|sorry)\b|(?:un|not )known\b|unclear\b"
    r"|undetermined\b|unanswerable\b|none of the\b|none$|neither\b|n/?a\b|not (?:listed"
    r"|provided|given|possible|available|specified|enough"
    r"|determinable|sure|certain)\b|cannot be\b|can't be\b|could not be\b|impossible to\b|there is (?:no|not enough)\b|insufficient\b"
    r"|no (?:answer|idea)\b|unable to\b|\?+$)",
    re.IGNORECASE,
)
"""How texts say that they have no answer; to be looked for only where it is none of the options or the reference."""

_YES = {
    "yes": True,
    "true": True,
    "yeah": True,
    "yep": True,
    "correct": True,
    "no": False,
    "false": False,
    "nope": False,
    "incorrect": False,
}
_OTHER_YES = {
    "是": True,
    "是的": True,
    "对": True,
    "否": False,
    "不是": False,
    "不": False,
    "はい": True,
    "いいえ": False,
    "네": True,
    "예": True,
    "아니요": False,
    "아니오": False,
    "ja": True,
    "nein": False,
    "oui": True,
    "non": False,
    "sí": True,
    "si": True,
    "sim": True,
    "não": False,
    "да": True,
    "нет": False,
}
_BOTH = re.compile(
    r"\b(?:yes|true)\b\W+(?:or|and|/|nor)?\W*\b(?:no|false)\b|\b(?:no|false)\b\W+(?:or|and|/"
    r"|nor)?\W*\b(?:yes|true)\b",
    re.IGNORECASE,
)


def binary(text: str) -> bool | None:
    """Return what a bare yes, no, true or false says, in the common languages, or None for any other text.

    >>> binary("Yes."), binary("FALSE"), binary("yes or no"), binary("no effect")
    (True, False, None, None)
    """
    word = tidy(text).strip(_END + "\"'*()[]").casefold()
    return _YES.get(word, _OTHER_YES.get(word))


def opening_binary(text: str) -> str | None:
    """Return the yes, no, true or false that `text` opens with ("Yes, it is so"); None where it names both or opens otherwise."""
    bare = tidy(text).strip("\"'*([ ")
    if _BOTH.search(bare[:60]):
        return None
    bare = bare[_INTRODUCED.match(bare).end() :] if _INTRODUCED.match(bare) else bare  # type: ignore[union-attr]
    words = re.match(
        r"(?:definitely |probably |clearly |actually |likely |certainly )?(yes|no|true|false"
        r"|correct|incorrect)\b(?!\s+(?:one|other|effect|more|longer|matter|way|doubt))",
        bare,
        re.IGNORECASE,
    )
    if words is not None:
        return words[1]
    for word in sorted(_OTHER_YES, key=len, reverse=True):
        if bare.casefold().startswith(word) and not bare[len(word) : len(word) + 1].isalpha():
            return bare[: len(word)]
    return None


def core(text: str) -> str:
    """Return an answer in words without what introduces it ("it is") and what explains it ("(the capital of France)").

    >>> core("It is Paris, the capital of France"), core("Lisbon - the capital of Portugal"), core("f(x)")
    ('Paris', 'Lisbon', 'f(x)')
    """
    bare = tidy(text).strip().strip("\"'").strip()
    introduced = _INTRODUCED.match(bare)
    if introduced is not None and introduced.end() < len(bare):
        bare = bare[introduced.end() :]
    without = _GLOSS.sub("", bare, count=1).strip()
    bare = without if without else bare
    if not re.fullmatch(r"\W+", bare):
        bare = bare.rstrip(_END + "*")
    return bare.strip().strip("\"'").strip()


@lru_cache(maxsize=1 << 14)
def alternatives(text: str) -> tuple[str, ...]:
    """Return the answers that one written as a list of texts ("['Paris', 'City of Light']") or as "22/7 ≈ 3.14" allows; else itself.

    >>> alternatives("['Paris', 'City of Light']"), alternatives("[1, 2]")
    (('Paris', 'City of Light'), ('[1, 2]',))
    """
    bare = text.strip()
    if "≈" in text or "\\approx" in text:
        sides = [side.strip() for side in tidy(text).split("≈")]
        return tuple(side for side in sides if side) or (text,)
    if len(bare) > 4 and bare[0] == "[" and bare[-1] == "]" and bare[1:].lstrip()[:1] in ("'", '"') and len(bare) < 20_000:
        try:
            several = ast.literal_eval(bare)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return (text,)
        if several and all(isinstance(one, str) and one.strip() for one in several):
            return tuple(several)
    return (text,)


def same_text(a: str, b: str) -> bool:
    """Return whether two texts are the same answer: without case, accents, articles, closing marks and glosses that only one has."""
    if plain(a) == plain(b):
        return True
    one, other = binary(a), binary(b)
    if one is not None or other is not None:
        return one is other
    cores = core(a), core(b)
    if plain(cores[0]) == plain(b) or plain(a) == plain(cores[1]):
        return True
    introduced = [_INTRODUCED.sub("", tidy(text), count=1) for text in (a, b)]
    return plain(introduced[0]) == plain(introduced[1]) and plain(introduced[0]) != ""
