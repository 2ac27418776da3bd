"""Numbers as they stand in prose and equations: where they are and what they are worth."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Number", "as_number", "find_numbers"]

# A letter right in front makes it part of a name (x4, H2O); "1.2.3" is a version, whose last part is no number of its own.
_DIGITS = re.compile(
    r"(?<![A-Za-z_0-9])(?<![0-9]\.)(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
    r"|(?<![A-Za-z_0-9.)\]}])\.[0-9]+"
)
_NO_QUANTITY = re.compile(r"(?:st|nd|rd|th)\b|:[0-9]", re.IGNORECASE)
_MARKER = re.compile(
    r"^[ \t]*(?:[-*#>•]+[ \t]*)*"
    r"(?:(?:step|part|case)[ \t]+(?P<named>[0-9]{1,3})(?=[ \t]*(?:[:.)*–-]|$))|\(?(?P<listed>[0-9]{1,3})[.)](?=\**[ \t]+\S))",
    re.IGNORECASE | re.MULTILINE,
)
_WHOLE = re.compile(r"[^\w.+\-−(]*(?P<rest>.*?)\s*(?:%|\\%)?(?:\s+[^\W\d_][^\d=+*/^\\]*)?[\s.!]*", re.DOTALL)


class Number(NamedTuple):
    """One number in a text."""

    start: int
    """Character where it starts, its minus sign included."""
    stop: int
    """Character after it."""
    text: str
    """As written, such as `-1,200.50` or `-$5`."""
    value: Fraction
    """What it is worth."""


def _has_sign(text: str, start: int) -> bool:
    """Return whether the digits at `start` follow a minus sign, rather than a hyphen, a range or a subtraction."""
    if start == 0 or text[start - 1] not in "-−":
        return False
    ahead = text[: start - 1]
    if ahead and (ahead[-1].isalnum() or ahead[-1] in ")]}%-−"):
        return False
    last = ahead.rstrip(" \t")[-1:]
    return not (last.isdigit() or last in (")", "]", "}"))


def find_numbers(text: str) -> tuple[Number, ...]:
    """Return the numbers of `text` in order.

    List markers ("2. ...", "Step 2:"), ordinals ("4th"), clock times and digits inside names ("x4") are left out. "3-4" holds
    3 and 4; "= -4" holds -4; "1,200" is one number.

    >>> [number.text for number in find_numbers("1. He pays $1,200.50 for 3-4 of them, so x4 = -7.")]
    ['1,200.50', '3', '4', '-7']
    """
    markers = {match.start(group) for match in _MARKER.finditer(text) for group in ("named", "listed") if match.group(group)}
    found = []
    for match in _DIGITS.finditer(text):
        start, stop = match.span()
        clock = text[start - 1 : start] == ":" and text[max(start - 2, 0) : start - 1].isdigit()
        if start in markers or clock or _NO_QUANTITY.match(text, stop):
            continue
        value = Fraction(match.group().replace(",", ""))
        sign = start - 1 if text[max(start - 1, 0) : start] in ("$", "€", "£") else start
        if _has_sign(text, sign):
            start, value = sign - 1, -value
        found.append(Number(start, stop, text[start:stop], value))
    return tuple(found)


@lru_cache(maxsize=1 << 14)  # the same few answers are compared with every step of every chain
def as_number(text: str) -> Fraction | None:
    """Return what `text` is worth where it is one number or simple fraction, currency and unit allowed; None otherwise.

    >>> as_number("$70,000"), as_number("18 dollars"), as_number("1/2"), as_number("3x + 1")
    (Fraction(70000, 1), Fraction(18, 1), Fraction(1, 2), None)
    """
    match = _WHOLE.fullmatch(text.strip())
    rest = match.group("rest") if match else ""
    plain = rest.replace("−", "-").removeprefix("+")
    if re.fullmatch(r"-?[0-9]+/0*[1-9][0-9]*", plain):
        return Fraction(plain)
    numbers = find_numbers(plain)
    return numbers[0].value if len(numbers) == 1 and numbers[0].text == plain else None
