r"""One grammar of numbers and what is made of them: what a text is worth, in which unit, and whether two are worth the same.

Signs (also in words), thousands and decimal marks of several countries, powers of ten, fractions, mixed numbers, number words, scales
such as million, percent, currencies, units, and what is no number though it looks like one: dates, times, ratios, ranges, bounds.

>>> number = read_value("$1,234.50")
>>> number.kind, number.amounts[0].value
('number', Fraction(2469, 2))
>>> equal_values(read_value("3 hours 30 minutes"), read_value("3.5 h")), equal_values(read_value("12 km"), read_value("12 cm"))
(True, False)
>>> [equal_values(read_value("25%"), read_value(text)) for text in ("0.25", "25", "1/4", "2.5")]
[True, True, True, False]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple

from soundness.answers.markup import MAX_ANSWER, tidy
from soundness.answers.units import Unit, unit_at

__all__ = ["Amount", "Value", "equal_values", "find_values", "last_special", "read_value", "value_at"]

Kind = Literal["number", "ratio", "date", "time", "range", "bound", "division"]

MAX_DIGITS = 400
"""Digits of a number that are worked with; Python refuses to read more than 4,300, and nobody answers with as many."""
MAX_EXPONENT = 1000
"""Powers up to this are worked out exactly."""


class Amount(NamedTuple):
    """One reading of a quantity."""

    value: Fraction
    """The number."""
    unit: Unit | None = None
    """Its unit; None where it has none that is known; the dimension `%` for percent."""
    strict: bool = False
    """Whether it is a number only together with its unit: 5M is 5 molar or five million, and never 5."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a text is worth."""

    kind: Kind
    """What it is: a number, or something that is none."""
    amounts: tuple[Amount, ...] = ()
    """Readings of a number, the first the most likely."""
    parts: tuple[Fraction | None | str, ...] = ()
    """What anything else is made of: year, month and day; minutes of the day; the terms of a ratio; relation and bound."""
    start: int = 0
    """Where it starts in the text it was found in."""
    stop: int = 0
    """Where it ends."""
    ordinal: bool = False
    """Whether it names a place in an order ("12th")."""
    words: str = ""
    """Words behind a number that are no known unit ("apples")."""


_PERCENT = (Unit("%", Fraction(1, 100)),)
_PER_MILLE = (Unit("%", Fraction(1, 1000)),)

# --- literals ---------------------------------------------------------------------------------------------------------

_SPACE = "[\u2009\u202f ]"
_LITERAL = re.compile(
    # Alternatives in order; a grouped number must not run on into further digits, so that "1,2,3" is a list and "1.2.3" a version.
    rf"(?P<spaced>\d{{1,3}}(?:{_SPACE}\d{{3}})+(?!\d|{_SPACE}\d)(?:[.,]\d+(?![\d.,]*\d))?)"
    r"|(?P<english>[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?(?![\d]|,\d|\.\d))"
    r"|(?P<indian>\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?![\d]|,\d|\.\d))"
    r"|(?P<european>\d{1,3}(?:\.\d{3})+,\d+(?![\d]|[.,]\d)|\d{1,3}(?:\.\d{3}){2,}(?![\d]|[.,]\d))"
    r"|(?P<swiss>\d{1,3}(?:'\d{3})+(?:[.,]\d+)?(?![\d]|[.,]\d))"
    r"|(?P<underscored>\d+(?:_\d{3})+(?:\.\d+)?(?![\d_]))"
    r"|(?<!\d,)(?P<comma>(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+)(?![\d]|[.,]\d))"
    r"|(?P<plain>\d+(?:\.\d+)?|\.\d+)(?!\d|\.\d)"
)
_TENS = re.compile(
    r"[eE]([+-]?\d{1,6})(?![\w.])|\s?(?:[*·×xX])\s?10\s?(?:(?:\^"
    r"|\*\*)\s?\{?\s?\(?([+-]?\s?\d{1,6})\)?\s?\}?|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,6}))"
)
_POWER = re.compile(r"\s?(?:\^|\*\*)\s?(?:\{\s?([+-]?\d{1,6})\s?\}|([+-]?\d{1,6}))(?![\w.{(])|([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,6})")
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_VULGAR = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5), "⅘": (4, 5), "⅙": (1, 6),
    "⅚": (5, 6), "⅐": (1, 7), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip
_TEX_FRACTION = re.compile(
    r"\\frac\s?(?:\{\s?(-?)\s?(\d{1,40}(?:\.\d{1,40})?)\s?\}|(\d))\s?(?:\{\s?(\d{1,40}(?:\.\d{1,40})?)\s?\}|(\d))"
)
_SLASHED = re.compile(r"\s?[/⁄∕]\s?(\d{1,40})(?![\d.]\d|[/\d]|\s?[-+*^/]\s?\d)")
_MIXED = re.compile(r"(?:\s(?:and\s)?|\sand\s|\s?&\s?|-)(\d{1,9})\s?[/⁄]\s?(\d{1,9})(?![\d/.])")
_SIGN = re.compile(r"(?:[-+]|(?:minus|negative|neg\.?|moins|menos|meno|负|負|マイナス)(?![a-z]))\s?", re.IGNORECASE)
_MONEY = re.compile(r"(?:US|CA|AU|C|A|NZ|HK)?([$€£¥₹₩])\s?|(?:(USD|EUR|GBP|JPY|INR|CNY|KRW)|(Rs)\.?)\s?(?=[\d.])")
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "CNY": "元", "KRW": "₩", "Rs": "₹"}
_PERCENT_SIGN = re.compile(
    r"\s?(?:\\?%|percentage points?\b|per ?cent\b|percent\b|pct\b|Prozent\b|pour cent\b|por ciento\b|パーセント|퍼센트)",
    re.IGNORECASE,
)
_ORDINAL = re.compile(r"(?:\^?\s?\{?\s?(?:st|nd|rd|th)\s?\}?|\^?\{?[ºª]\}?)(?![a-zA-Z])", re.IGNORECASE)
_SCALES = {
    "hundred": 10**2, "hundreds": 10**2, "thousand": 10**3, "thousands": 10**3, "million": 10**6, "millions": 10**6, "mn": 10**6,
    "mln": 10**6, "billion": 10**9, "billions": 10**9, "bn": 10**9, "trillion": 10**12, "trillions": 10**12, "quadrillion": 10**15,
    "dozen": 12, "dozens": 12, "lakh": 10**5, "lakhs": 10**5, "crore": 10**7, "crores": 10**7, "score": 20,
    "tausend": 10**3, "millionen": 10**6, "milliarde": 10**9, "milliarden": 10**9, "mille": 10**3, "milliard": 10**9,
    "milliards": 10**9, "mil": 10**3, "millón": 10**6, "millones": 10**6, "cientos": 10**2,
}  # fmt: skip
_SCALE = re.compile(rf"[ -]?({'|'.join(sorted(_SCALES, key=len, reverse=True))})(?![^\W\d_])", re.IGNORECASE)
_MYRIADS = {
    "千": 10**3,
    "万": 10**4,
    "萬": 10**4,
    "億": 10**8,
    "亿": 10**8,
    "兆": 10**12,
    "천": 10**3,
    "만": 10**4,
    "억": 10**8,
    "백만": 10**6,
}
_MYRIAD = re.compile(rf"\s?({'|'.join(sorted(_MYRIADS, key=len, reverse=True))})")
_SHORT_SCALE = re.compile(r"\s?(k|K|M|m|B|b|bn|T)(?![^\W_])")
_SHORT = {"k": 10**3, "m": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12}


_FACTOR = re.compile(r"\s?[*·×]\s?")
_PER = re.compile(r"\s?(?:/|per\s|an?\s(?=day|week|month|year|hour|minute))\s?[a-z]+", re.IGNORECASE)
_MONEY_BEHIND = re.compile(r"\s?(?:USD|EUR|GBP|dollars?|euros?|pounds?)\b", re.IGNORECASE)
_UNIT_GAP = re.compile(r"\s{0,2}-?(?=\S)|\s?[*·]\s?(?=[a-zA-Z])")


def _fraction(digits: str, decimal: str = ".") -> Fraction | None:
    """Return the exact value of digits with one decimal mark, or None where there are too many of them."""
    if len(digits) > MAX_DIGITS:
        return None
    if digits.isdigit():
        return Fraction(int(digits))
    whole, _, part = digits.partition(decimal)
    return Fraction(f"{whole or '0'}.{part or '0'}")


def _power(base: Fraction, exponent: int) -> Fraction | None:
    """Return a power, or None where it is too large to be worked out (or 0 to a negative power)."""
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) > MAX_EXPONENT or size * abs(exponent) > 20_000 or (base == 0 and exponent < 0):
        return None
    return base**exponent


def _literal(match: re.Match[str], comma: bool) -> Fraction | None:
    """Return what a literal is worth; `comma`: the writer's language writes 1.234,5."""
    kind, text = match.lastgroup, match[0]
    if kind == "plain":
        if comma and re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text):
            return Fraction(text.replace(".", ""))
        return _fraction(text)
    if kind == "english":
        if comma and re.fullmatch(r"\d{1,3},\d{3}", text):
            return _fraction(text, ",")
        return _fraction(text.replace(",", ""))
    if kind == "indian":
        return _fraction(text.replace(",", ""))
    if kind == "european":
        return _fraction(text.replace(".", ""), ",")
    if kind == "comma":
        return _fraction(text, ",")
    if kind == "underscored":
        return _fraction(text.replace("_", ""))
    bare = re.sub(rf"{_SPACE}|'", "", text)
    return _fraction(bare, "," if "," in bare else ".")


# --- number words -----------------------------------------------------------------------------------------------------

_WORDS = {
    "zero": 0, "nought": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_OTHER_WORDS = {
    # Up to twenty in German, French and Spanish, without words that mean something else in English.
    "eins": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
    "elf": 11, "zwölf": 12, "dreizehn": 13, "vierzehn": 14, "fünfzehn": 15, "sechzehn": 16, "siebzehn": 17, "achtzehn": 18,
    "neunzehn": 19, "zwanzig": 20, "zéro": 0, "deux": 2, "trois": 3, "quatre": 4, "cinq": 5, "sept": 7, "huit": 8, "neuf": 9,
    "dix": 10, "onze": 11, "douze": 12, "treize": 13, "quatorze": 14, "quinze": 15, "seize": 16, "vingt": 20, "cero": 0, "uno": 1,
    "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8, "nueve": 9, "diez": 10, "doce": 12, "trece": 13,
    "catorce": 14, "quince": 15, "veinte": 20,
}  # fmt: skip
_ORDINALS = {
    "half": 2, "halves": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fifteenth": 15, "sixteenth": 16, "twentieth": 20, "thirtieth": 30,
    "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PARTS = _ORDINALS | {f"{word}s": part for word, part in _ORDINALS.items() if word not in ("half", "halves")}
_FIRSTS = {"first": 1, "second": 2} | {
    word: part for word, part in _ORDINALS.items() if word not in ("half", "halves", "quarter")
}
_SPELT = re.compile(r"[a-zéüöñ]+", re.IGNORECASE)
_JOIN = re.compile(r",?[ -]and[ -]|,? |-")
_AND_PART = re.compile(r"(?:(an?)|([a-z]+))[ -]([a-z]+)", re.IGNORECASE)
_CJK_DIGITS = {
    "零": 0,
    "〇": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "兩": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_CJK_TENS = {"十": 10, "百": 100, "千": 1000}
_CJK_WORD = re.compile(
    r"(?![个個人元只隻天年月日岁歲次本张張条條块塊米公克斤分秒小点點倍名位件支棵辆台匹枚つ円回개명원])[\u4e00-\u9fff]"
)
_CJK = re.compile(rf"[{''.join(_CJK_DIGITS)}{''.join(_CJK_TENS)}万亿億萬]{{1,20}}")


def _spelt(text: str, start: int) -> tuple[Fraction, int] | None:
    """Return the number that is written in words at `start`, and where it ends: "two hundred and five", "one and a half"."""
    total, group = Fraction(0), Fraction(0)
    place = stop = start
    seen = small = False
    last = 10**18
    for _ in range(16):  # words in the longest number that anybody writes out
        word = _SPELT.match(text, place)
        if word is None:
            break
        low = word[0].casefold()
        gap = _JOIN.match(text, word.end())
        if low in _WORDS:
            value = _WORDS[low]
            size = 10 if value >= 20 else 1
            if small and not (last == 10 and 0 < value < 10):
                break
            group += value
            seen, small, last = True, True, size
        elif low in _SCALES and (seen or low not in ("score", "mil", "mille")):
            if not seen:
                break
            scale = _SCALES[low]
            if scale == 100:
                group = (group or Fraction(1)) * 100
            else:
                total, group = total + (group or Fraction(1)) * scale, Fraction(0)
            small, last = False, 10**18
        elif low in ("a", "an") and not seen:
            following = _SPELT.match(text, word.end() + 1)
            name = following[0].casefold() if following is not None else ""
            if name in _PARTS and name not in ("second",):
                assert following is not None
                return Fraction(1, _PARTS[name]), following.end()
            if name not in _SCALES or name == "score":
                break
            group, seen, small = Fraction(1), True, True
        elif low in _PARTS and seen and group and not low.endswith(("ieth", "irst")):
            return total + group / _PARTS[low], word.end()
        elif low == "half" and not seen:
            return Fraction(1, 2), word.end()
        elif low in ("a", "an", "one") and seen:
            following = _SPELT.match(text, word.end() + 1)
            if following is not None and following[0].casefold() in _PARTS:
                return total + group + Fraction(1, _PARTS[following[0].casefold()]), following.end()
            break
        else:
            break
        stop = word.end()
        if gap is None:
            break
        if "and" in gap[0]:  # "one and a half", "two and three quarters"
            part = _AND_PART.match(text, gap.end())
            if part is not None and part[3].casefold() in _PARTS:
                many = 1 if part[1] else _WORDS.get(part[2].casefold(), 0)
                if many:
                    return total + group + Fraction(many, _PARTS[part[3].casefold()]), part.end()
        place = gap.end()
    if seen:
        return total + group, stop
    word = _SPELT.match(text, start)
    if word is not None and word[0].casefold() in _OTHER_WORDS:
        return Fraction(_OTHER_WORDS[word[0].casefold()]), word.end()
    return None


def _cjk(text: str) -> Fraction:
    """Return what a number in Chinese numerals is worth: 一百零五."""
    if all(character in _CJK_DIGITS for character in text):
        return Fraction("".join(str(_CJK_DIGITS[character]) for character in text))
    total, section, digit = 0, 0, 0
    for character in text:
        if character in _CJK_DIGITS:
            digit = _CJK_DIGITS[character]
        elif character in _CJK_TENS:
            section += (digit or 1) * _CJK_TENS[character]
            digit = 0
        else:
            total = (total + section + digit) * _MYRIADS[character]
            section = digit = 0
    return Fraction(total + section + digit)


# --- quantities -------------------------------------------------------------------------------------------------------


class _Number(NamedTuple):
    value: Fraction
    stop: int
    ordinal: bool = False
    spelt: bool = False


def _number_at(text: str, start: int, comma: bool, words: bool) -> _Number | None:
    """Return the number without sign, currency and unit that stands at `start`."""
    if start >= len(text):
        return None
    character = text[start]
    value: Fraction | None
    if character in _VULGAR:
        return _Number(Fraction(*_VULGAR[character]), start + 1)
    if character == "\\":
        return _tex_fraction(text, start)
    if not (character.isdigit() and character.isascii()) and character != ".":
        if character in _CJK_DIGITS or character in _CJK_TENS:
            match = _CJK.match(text, start)
            if match is not None and _CJK_WORD.match(text, match.end()):
                return None  # 一共 is a word, no number
            return _Number(_cjk(match[0]), match.end(), spelt=True) if match is not None else None
        spelt = _spelt(text, start) if words else None
        return _Number(*spelt, spelt=True) if spelt is not None else None
    match = _LITERAL.match(text, start)
    if match is None:
        return None
    value, stop = _literal(match, comma), match.end()
    if value is None:
        return None
    whole = match[0].isdigit()
    following = text[stop : stop + 1]
    if following == " " and text[stop + 1 : stop + 2] in _VULGAR and whole:
        return _Number(value + Fraction(*_VULGAR[text[stop + 1]]), stop + 2)
    if not following or following in "\n;:!?)]}" or (following in ",." and text[stop + 1 : stop + 2] in "\n "):
        return _Number(value, stop)  # most numbers: nothing that could belong to it follows
    if following == " " and text[stop + 1 : stop + 2] in "-+=<>≈→":
        return _Number(value, stop)  # nor in a sum
    if following in _VULGAR and whole:
        return _Number(value + Fraction(*_VULGAR[following]), stop + 1)
    if whole:
        mixed = _MIXED.match(text, stop)
        if mixed is not None and 0 < int(mixed[1]) < int(mixed[2]):
            if not (text[stop] == "-" and len(match[0]) > 2):
                return _Number(value + Fraction(int(mixed[1]), int(mixed[2])), mixed.end())
        part = (
            _tex_fraction(text, stop + (text[stop : stop + 1] == " "))
            if following in "\\ " and "\\frac" in text[stop : stop + 6]
            else None
        )
        if part is not None and 0 < part.value < 1:
            return _Number(value + part.value, part.stop)
    slashed = _SLASHED.match(text, stop)
    if slashed is not None and int(slashed[1]):
        return _Number(value / int(slashed[1]), slashed.end())
    if slashed is not None:
        return None
    tens = _TENS.match(text, stop)
    if tens is not None:
        exponent = int((tens[1] or tens[2] or "").replace(" ", "") or tens[3].translate(_SUPERSCRIPT))
        scale = _power(Fraction(10), exponent)
        return None if scale is None else _Number(value * scale, tens.end())
    power = _POWER.match(text, stop)
    if power is not None:
        raised = _power(value, int(power[1] or power[2] or power[3].translate(_SUPERSCRIPT)))
        if raised is None:
            return None
        factor = _FACTOR.match(text, power.end())  # "2^3 * 5" is a formula, not 8
        return _Number(raised, power.end()) if factor is None else None
    ordinal = _ORDINAL.match(text, stop)
    if ordinal is not None and whole:
        return _Number(value, ordinal.end(), ordinal=True)
    return _Number(value, stop)


def _tex_fraction(text: str, start: int) -> _Number | None:
    found = _TEX_FRACTION.match(text, start)
    if found is None:
        return None
    above, below = Fraction(found[2] or found[3]), Fraction(found[4] or found[5])
    if not below:
        return None
    return _Number((-above if found[1] else above) / below, found.end())


def value_at(text: str, start: int, *, comma: bool = False, words: bool = True) -> Value | None:
    """Return the quantity that starts at `start` of a tidied text (sign, currency, number, scale, percent, unit), or None.

    `comma`: the text's language writes 1.234,5. `words`: number words count. Compounds ("3 hours 30 minutes") are read whole.
    """
    place, sign, money = start, 1, ""
    for _ in range(2):  # the sign stands before the currency or behind it
        found = _SIGN.match(text, place)
        if found is not None and sign == 1:
            sign = -1 if found[0].strip() != "+" else 1
            place = found.end()
        currency = _MONEY.match(text, place)
        if currency is not None and not money:
            money = currency[1] or _CODES[currency[2] or currency[3]]
            place = currency.end()
    number = _number_at(text, place, comma, words)
    if number is None:
        return None
    value, stop = number.value if sign == 1 else -number.value, number.stop
    if number.ordinal:
        return Value("number", (Amount(value),), start=start, stop=stop, ordinal=True)
    readings = [Amount(value)]
    following = text[stop : stop + 2]
    if not money and (
        not following or following[0] in "\n;:!?)]}.,=" or (following[0] == " " and following[1:] in ("-", "+", "="))
    ):
        return Value("number", tuple(readings), start=start, stop=stop)
    scale = _SCALE.match(text, stop) or _MYRIAD.match(text, stop)
    if scale is not None and not (number.spelt and value.denominator == 1 and scale[0].strip().casefold() in _SCALES):
        value *= _SCALES.get(scale[1].casefold()) or _MYRIADS[scale[1]]
        stop = scale.end()
        again = _SCALE.match(text, stop)
        if again is not None:  # "2 hundred thousand"
            value, stop = value * _SCALES[again[1].casefold()], again.end()
        readings = [Amount(value)]
        if scale[1].casefold() in ("dozen", "dozens"):  # who is asked for dozens answers with their number
            readings.append(Amount(number.value * sign, unit_at("dozen", 0)[0][0]))  # type: ignore[index]
    elif scale is None and (short := _SHORT_SCALE.match(text, stop)) is not None:
        large = value * _SHORT[short[1].casefold()]
        if money:
            readings, stop = [Amount(large)], short.end()
        elif short[0] in ("k", "K", "M", "B", "bn", "T"):  # glued to the digits: 5k; but 300K may be kelvin, 5M molar
            unit = unit_at(text, stop)
            readings, stop = [Amount(large), *(Amount(value, one, True) for one in (unit[0] if unit else ()))], short.end()
            return Value("number", tuple(readings), start=start, stop=stop)
    if money:
        meanings = unit_at(money, 0)
        assert meanings is not None
        readings = [Amount(amount.value, meanings[0][0]) for amount in readings]
        per = _PER.match(text, stop)
        code = _MONEY_BEHIND.match(text, stop)
        stop = per.end() if per is not None else code.end() if code is not None else stop
        return Value("number", tuple(readings), start=start, stop=stop)
    percent = _PERCENT_SIGN.match(text, stop)
    if percent is not None:
        return Value("number", (Amount(value, _PERCENT[0]),), start=start, stop=percent.end())
    if text[stop : stop + 1] == "‰":
        return Value("number", (Amount(value, _PER_MILLE[0]),), start=start, stop=stop + 1)
    gap = _UNIT_GAP.match(text, stop)
    unit = unit_at(text, gap.end()) if gap is not None else None
    if unit is not None and gap is not None and not (gap[0] == "" and number.spelt):
        readings = [Amount(amount.value, one) for amount in readings for one in unit[0]]
        found_value = Value("number", tuple(readings), start=start, stop=unit[1])
        return _compound(text, found_value, comma, sign)
    return Value("number", tuple(readings), start=start, stop=stop)


_COMPOUND_GAP = re.compile(r",?\s?(?:and\s)?\s?(?=\d)")
_COMPOUNDS = frozenset({"s", "m", "kg", "month", "$", "€", "£"})


def _compound(text: str, first: Value, comma: bool, sign: int) -> Value:
    """Return 3 hours 30 minutes as one quantity, readable in either of its units."""
    unit = first.amounts[0].unit
    gap = _COMPOUND_GAP.match(text, first.stop)
    if unit is None or gap is None or gap[0] == "" or unit.dimension not in _COMPOUNDS:
        return first
    second = value_at(text, gap.end(), comma=comma, words=False)
    if second is None or second.amounts[0].unit is None:
        return first
    for large in first.amounts:
        for small in second.amounts:
            if large.unit is None or small.unit is None or large.unit.dimension != small.unit.dimension:
                continue
            if not 0 <= small.value * small.unit.factor < large.unit.factor:
                continue  # "3 feet 4 yards" is no compound
            total = large.value * large.unit.factor + sign * small.value * small.unit.factor
            amounts = (Amount(total / large.unit.factor, large.unit), Amount(total / small.unit.factor, small.unit))
            return replace(first, amounts=amounts, stop=second.stop)
    return first


# --- what is no number ------------------------------------------------------------------------------------------------

_MONTHS = {
    month: index // 2 + 1
    for index, month in enumerate(
        "january jan february feb march mar april apr may may june jun july jul august aug september sep october oct november nov"
        " december dec".split()
    )
} | {"sept": 9}
_MONTH = rf"(?P<month>{'|'.join(sorted(set(_MONTHS), key=len, reverse=True))})\.?"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"
_DATES = [
    re.compile(form, re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
        r"(?P<year>\d{4})年(?P<m>\d{1,2})月(?:(?P<d>\d{1,2})[日号])?",
        r"(?P<one>\d{1,2})[-/.](?P<two>\d{1,2})[-/.](?P<year>\d{4}|\d{2})",
        rf"{_WEEKDAY}(?:the\s+)?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?",
        rf"{_WEEKDAY}{_MONTH}\s+(?:the\s+)?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{{4}}))?",
        rf"{_MONTH},?\s+(?P<year>\d{{4}})",
    )
]
_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?:[:h.](?P<minute>[0-5]\d)(?:[:.](?P<second>[0-5]\d))?)?\s*(?P<half>[ap]\.?\s?m\b\.?"
    r"|o'?clock(?:\s+[ap]\.?m\.?)?|Uhr|hrs)?",
    re.IGNORECASE,
)
_RATIO = re.compile(
    r"(-?\d{1,12}(?:\.\d{1,12})?)\s?:\s?(-?\d{1,12}(?:\.\d{1,12})?)(?:\s?:\s?(\d{1,12}(?:\.\d{1,12})?))?(?:\s?:\s?(\d{1,12}))?"
)
_RATIO_WORDS = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s+to\s+(\d{1,12}(?:\.\d{1,12})?)")
_TO = re.compile(r"\s?(?:-|to|until|bis|à|a)\s?", re.IGNORECASE)
_AND = re.compile(r"\sand\s")
_BETWEEN = re.compile(r"(?:between|from)\s+", re.IGNORECASE)
_BOUNDS = (
    ("<=", r"at most|no more than|not more than|up to|maximum of|a maximum of|less than or equal to|<=|=<|≤"),
    (
        ">=",
        r"at least|no (?:less|fewer) than|not less than|minimum of|a minimum of|greater than or"
        r" equal to|more than or equal to|>=|=>|≥",
    ),
    ("<", r"less than|fewer than|under|below|smaller than|lower than|<"),
    (">", r"(?:strictly )?(?:more|greater|larger|bigger|higher) than|over|above|exceeding|>"),
    ("!=", r"not equal to|≠"),
)
_BOUND = re.compile("|".join(rf"(?P<b{index}>(?:{words}))" for index, (_, words) in enumerate(_BOUNDS)), re.IGNORECASE)
_BOUND_AFTER = re.compile(
    r"\s?(?:(?P<ge>or (?:more|greater|above|higher|larger|older)|and (?:above|up|more))"
    r"|(?P<le>or (?:less|fewer|below|lower|under)|and below)|(?P<plus>\+(?!\s?[\w(])))",
    re.IGNORECASE,
)
_REMAINDER = re.compile(r",?\s?(?:(?:with\s)?(?:an?\s)?remainder(?:\s?of|\s?is|:)?|R|r|rem\.?|Rest)\s?(\d{1,12})(?!\d)")
_APPROXIMATE = re.compile(
    r"(?:(?:is|are|was|equals?|be|it|only|just|exactly|precisely|approximately|approx\.?|about"
    r"|around|roughly|nearly|almost|some|circa|ca\.|the number|(?:a |the )?total(?: of)?|equal"
    r" to|环|约|大约|約|约为|etwa|ungefähr|environ|unos|alrededor de)(?![a-z])|[=≈~:])\s*",
    re.IGNORECASE,
)
_CLOSING = re.compile(r"[\s.!?,;:。！*]*$")


def _date(text: str) -> Value | None:
    for form in _DATES:
        found = form.fullmatch(text)
        if found is None:
            continue
        named = found.groupdict()
        year = Fraction(named["year"]) if named.get("year") else None
        if year is not None and len(named["year"]) == 2:
            return None if "/" not in text else _days(int(named["one"]), int(named["two"]), year)
        if named.get("one"):
            return _days(int(named["one"]), int(named["two"]), year)
        month = _MONTHS[named["month"].casefold().rstrip(".")] if named.get("month") else int(named["m"])
        day = Fraction(named["d"]) if named.get("d") else None
        if not 1 <= month <= 12 or (day is not None and not 1 <= day <= 31):
            return None
        return Value("date", parts=(year, Fraction(month), day))
    return None


def _days(one: int, two: int, year: Fraction | None) -> Value | None:
    """Return 3/4/2020, month first or, where that cannot be, day first; both are kept where both can be."""
    readings = [(month, day) for month, day in ((one, two), (two, one)) if 1 <= month <= 12 and 1 <= day <= 31]
    if not readings:
        return None
    parts = [part for month, day in dict.fromkeys(readings) for part in (year, Fraction(month), Fraction(day))]
    return Value("date", parts=tuple(parts))


def _time(text: str) -> Value | None:
    low = text.casefold()
    if low in ("noon", "midday", "12 noon", "midnight"):
        return Value("time", parts=(Fraction(0 if low == "midnight" else 720 * 60),))
    found = _TIME.fullmatch(text)
    if found is None or not (found["minute"] or found["half"]) or (found["minute"] and "." in text and not found["half"]):
        return None
    hour, minute, second = int(found["hour"]), int(found["minute"] or 0), int(found["second"] or 0)
    half = (found["half"] or "").casefold().replace("o'clock", "").replace("oclock", "").strip()
    if hour > 24 or (half[:1] in ("a", "p") and hour > 12):
        return None
    seconds = (hour % 24) * 3600 + minute * 60 + second
    if half[:1] in ("a", "p"):
        seconds = (hour % 12) * 3600 + minute * 60 + second + (43200 if half[:1] == "p" else 0)
        return Value("time", parts=(Fraction(seconds),))
    # Without am or pm an hour up to 12 may be either.
    other = (Fraction((seconds + 43200) % 86400),) if 1 <= hour <= 12 and (len(found["hour"]) == 1 or hour >= 10) else ()
    return Value("time", parts=(Fraction(seconds), *other))


def _special(text: str, comma: bool) -> Value | None:
    """Return a date, time, ratio, range, bound or division that `text` is as a whole."""
    date = _date(text)
    if date is not None:
        return date
    ratio = _RATIO.fullmatch(text) or _RATIO_WORDS.fullmatch(text)
    time = _time(text)
    if ratio is not None:
        terms = tuple(Fraction(term) for term in ratio.groups() if term is not None)
        clock: tuple[Fraction | None | str, ...] = ("time", *time.parts) if time is not None else ()
        return Value("ratio", parts=(*terms, *clock), words="" if ":" in text else "to")
    if time is not None:
        return time
    bound = _BOUND.match(text)
    if bound is not None:
        relation = _BOUNDS[int(str(bound.lastgroup)[1:])][0]
        rest = text[bound.end() :].strip()
        inside = _quantity(rest, comma)
        return None if inside is None else Value("bound", inside.amounts, (relation,))
    between = _BETWEEN.match(text)
    first = value_at(text, between.end() if between is not None else 0, comma=comma)
    if first is None or first.stop >= len(text):
        return None
    division = _REMAINDER.fullmatch(text, first.stop)
    if division is not None:
        return Value("division", first.amounts, (Fraction(division[1]),))
    after = _BOUND_AFTER.match(text, first.stop)
    if after is not None and re.fullmatch(r"[\s\w]{0,20}", text[after.end() :]):
        return Value("bound", first.amounts, ("<=" if after["le"] else ">=",))
    to = _AND.match(text, first.stop) if between is not None else _TO.match(text, first.stop)
    to = to or (_TO.match(text, first.stop) if between is not None else None)
    if (
        to is None or re.search(r"[\^{*/]", text[: first.stop]) or (text[first.stop] == " " and to[0].strip() in ("-", "a"))
    ):  # spaced, it is a difference
        return None
    second = _quantity(text[to.end() :], comma)
    if second is None or second.kind != "number" or text[to.end() : to.end() + 1] in "+-":
        return None
    low, high = first.amounts[0], second.amounts[0]
    return Value("range", (low if low.unit else Amount(low.value, high.unit), high))


def _quantity(text: str, comma: bool, words: bool = True) -> Value | None:
    """Return the quantity that `text` is as a whole, words behind it allowed that are no known unit."""
    found = value_at(text, 0, comma=comma, words=words)
    if found is None:
        return None
    rest = text[found.stop :]
    if _CLOSING.match(rest):
        return found
    follows = _FOLLOWING.fullmatch(rest)
    if follows is None or _NO_UNIT.search(rest) or (rest[0] in "+-*/^=<>," or rest[0].isdigit()):
        return None
    if (
        rest[0].isascii()
        and rest[0].isalpha()
        and not (found.amounts[0].unit is not None and found.amounts[0].unit.dimension == "%")
    ):
        return None  # "3x" is a formula
    return replace(found, words=rest.strip(" .!?,()"), stop=len(text))


_FOLLOWING = re.compile(
    # Words that say what was counted: "9 (apples)", "18 red apples a day", "18个苹果". A capital would make it a name ("7 Up").
    r"(?:\s?\(?(?![α-ωΑ-Ωµ²-³¹])[^\W\dA-Z_][^\W\d_'-]{0,24}(?:[ '-][^\W\dA-Z_]{1,24}){0,5}\)?"
    r"|\s?[\u0e00-\u0eff\u2e80-\u9fff\uac00-\ud7ff]{1,12}|\s\([^\d()=+*/^<>]{1,40}\))[\s.!?,;:。！]*"
)
_NO_UNIT = re.compile(
    r"\b(?:or|and|and/or|not|more|less|fewer|than|times|plus|minus|to|over|divided|squared"
    r"|cubed|if|but|oder|ou|o)\b",
    re.IGNORECASE,
)
_LEAD = re.compile(r"^(?:[\s\"'(\[]*)")


_BEGINNINGS = sorted(
    {*_WORDS, *_OTHER_WORDS, *_FIRSTS, *_PARTS, *_MONTHS, *_CODES, "a", "an", "the", "minus", "negative", "neg"}
)
_MAY_BEGIN = re.compile(
    # The words that a value may begin with: numbers in words, signs, bounds, months and days, currencies.
    rf"(?:{'|'.join(_BEGINNINGS)}|moins|menos|meno|half|noon|midday|midnight|between|from|at|no"
    rf"|not|up|maximum|minimum|less|fewer|under"
    r"|below|smaller|lower|strictly|more|greater|larger|bigger|higher|over|above|exceeding|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|us|ca|au|nz|hk|c)(?![^\W\d_])",
    re.IGNORECASE,
)
_ENDLESS = re.compile(r"(-?)(\d{1,40})\.(\d{2,40})(?:\.\.\.|…)")


def _repeating(sign: str, whole: str, digits: str) -> Fraction | None:
    """Return what 0.333... or 0.1666... is worth, or None where the digits do not repeat (3.14159...)."""
    for length in range(1, len(digits) // 2 + 1):
        period = digits[-length:]
        times = 3 if length == 1 else 2
        if len(digits) < times * length or digits[-times * length :] != period * times:
            continue
        head = digits
        while head.endswith(period):
            head = head[:-length]
        value = Fraction(f"{whole}.{head or 0}") + Fraction(int(period), (10**length - 1) * 10 ** len(head))
        return -value if sign else value
    return None


@lru_cache(maxsize=1 << 14)
def read_value(text: str, *, comma: bool = False) -> Value | None:
    """Return what `text` as a whole is worth, or None where it is no value: a formula, words, several values.

    `comma`: the text's language writes 1.234,5. Words such as "about" in front, and words for what was counted behind, are allowed.

    >>> read_value("about 18 red apples").words, read_value("2020-12-25").kind, read_value("more than 7").kind
    ('red apples', 'date', 'bound')
    >>> read_value("3x") is None, read_value("5 or 6") is None, read_value("7 Up") is None
    (True, True, True)
    """
    if len(text) > MAX_ANSWER:
        return None
    bare = tidy(text).strip()
    period = _ENDLESS.fullmatch(bare)
    if period is not None:
        value = _repeating(period[1], period[2], period[3])
        return None if value is None else Value("number", (Amount(value),), stop=len(bare))
    if bare[-1:] == "!" and bare[-2:-1].isdigit():
        return None  # a factorial; a reader of prose takes the mark off before
    bare = bare.rstrip(".!?,;。！ ").strip()
    if not bare:
        return None
    if bare[0] == "(" and bare[-1] == ")" and "(" not in bare[1:] and "," not in bare:
        bare = bare[1:-1].strip()
    for _ in range(3):  # "it is about 7"
        lead = _APPROXIMATE.match(bare)
        if lead is None:
            break
        bare = bare[lead.end() :]
    bare = bare.strip("\"' ")
    if bare[:1].isalpha() and bare[0].isascii() and _MAY_BEGIN.match(bare) is None:
        return None  # most sentences end here
    special = _special(bare, comma)
    if special is not None:
        return special
    found = _quantity(bare, comma)
    if found is None:
        ordinal = _FIRSTS.get(bare.removeprefix("the ").casefold())
        return None if ordinal is None else Value("number", (Amount(Fraction(ordinal)),), ordinal=True)
    return found


_START = re.compile(r"(?<![A-Za-z_0-9.\\^{])(?:(?<!\d[.:/])(?=[\d½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|\.\d)|(?=\\frac[\s{\d]))")
_LIST_MARK = re.compile(
    # "2. Next", "2) next", "Step 2:", "### Part 3" number lines and are no quantities.
    r"^[ \t]*(?:[-*#>•|]+[ \t]*)*(?:\*\*)?(?:(?:step|part|case|question|problem|example|option"
    r"|method|schritt|étape|paso)[ \t]+(\d{1,3})\b|\(?(\d{1,3})[.)](?=\**[ \t]+\S))",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNED = re.compile(r"(?:(?:minus|negative)\s|[-+]\s?)?(?:[$€£¥₹₩]\s?)?(?:[-+]\s?)?$", re.IGNORECASE)


@lru_cache(maxsize=1 << 10)  # one sentence is looked at several times
def find_values(text: str, *, comma: bool = False) -> tuple[Value, ...]:
    """Return the quantities that are written in digits in a tidied text, in order, none inside another.

    Marks of lists and steps, names such as x4, clock times and ordinals are left out.

    >>> [str(value.amounts[0].value) for value in find_values("2. He pays $1,200 for 3½ kg, so it is minus 5 at 4:30.")]
    ['1200', '7/2', '-5']
    """
    marks = {mark.start(group) for mark in _LIST_MARK.finditer(text) for group in (1, 2) if mark[group]}
    found: list[Value] = []
    stop = 0
    for start in _START.finditer(text):
        place = start.start()
        if place < stop or place in marks:
            continue
        head = _SIGNED.search(text, max(stop, place - 16), place)
        begin = head.start() if head is not None else place
        ahead = text[:begin].rstrip(" ")[-1:] if begin < place else ""
        if text[begin:place].lstrip()[:1] in ("-", "+"):
            # A minus behind a number or a bracket subtracts; behind a letter it joins.
            glued = begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] in ")]}%")
            if (
                glued
                or ahead.isdigit()
                or ahead in (")", "]", "}")
                or (ahead and text[begin : begin + 2] in ("- ", "+ ") and ahead not in "=:(*")
            ):
                begin = place - len(re.search(r"[$€£¥₹₩]?\s?$", text[max(0, place - 2) : place])[0])  # type: ignore[index]
        value = value_at(text, begin, comma=comma, words=False) or value_at(text, place, comma=comma, words=False)
        if value is None:
            number = _LITERAL.match(text, place)
            stop = number.end() if number is not None else place + 1
            continue
        stop = value.stop
        clock = (
            re.match(r":\d|\s?[ap]\.?m\b", text[stop:]) is not None
            or text[place - 1 : place] == ":"
            and text[place - 2 : place - 1].isdigit()
        )
        if value.ordinal or clock:
            continue
        found.append(value)
    return tuple(found)


_CLOCK = re.compile(
    r"(?<![\d:])-?\d{1,12}(?:\.\d+)?(?:\s?:\s?\d{1,12}(?:\.\d+)?){1,3}(?:\s?[ap]\.?\s?m\b\.?)?"
    r"|\b\d{1,2}\s?[ap]\.?m\b\.?|\bnoon\b|\bmidnight\b",
    re.IGNORECASE,
)


def last_special(text: str, kind: Kind) -> str | None:
    """Return the last date (or time, or ratio, as `kind` says) that stands in a sentence, as written, or None.

    >>> last_special("The bus leaves at 9:45 and arrives at 12:15 pm, late.", "time"), last_special("on March 5, 2021.", "date")
    ('12:15 pm', 'March 5, 2021')
    """
    if kind == "date":
        found = [match for form in _DATES for match in form.finditer(text) if _date(match[0]) is not None]
        if not found:
            return None
        last = max(found, key=lambda match: (match.end(), -match.start()))
        return last[0]
    clocks = [
        match[0]
        for match in _CLOCK.finditer(text)
        if (value := read_value(match[0])) is not None and value.kind in ("time", "ratio")
    ]
    return clocks[-1] if clocks else None


# --- equality ---------------------------------------------------------------------------------------------------------


def _close(a: Fraction, b: Fraction) -> bool:
    """Return whether two numbers are the same; decimals of many places may differ in the last by rounding, whole ones never."""
    return a == b or (a.denominator > 1 and b.denominator > 1 and abs(a - b) <= abs(a) / 10**9)


def _equal_amounts(a: Amount, b: Amount) -> bool:
    if a.unit is None and b.unit is None:
        return _close(a.value, b.value)
    if a.unit is not None and b.unit is not None:
        same = a.unit.dimension == b.unit.dimension
        return same and _close(a.value * a.unit.factor, b.value * b.unit.factor)
    with_unit, bare = (a, b) if a.unit is not None else (b, a)
    assert with_unit.unit is not None
    if with_unit.strict:
        return False
    if _close(with_unit.value, bare.value):
        return True
    return with_unit.unit.dimension == "%" and _close(with_unit.value * with_unit.unit.factor, bare.value)


def equal_values(a: Value, b: Value) -> bool:
    """Return whether two values are the same.

    A unit that one of them leaves out is taken as the other's; where both state one they must measure the same. A quarter, 0.25 and
    25 % are the same, and so are 25 and 25 %. A number is no range, bound, date or time.
    """
    if a.kind == b.kind == "number":
        return any(_equal_amounts(one, other) for one in a.amounts for other in b.amounts)
    if a.kind == b.kind == "date":
        readings = [{value.parts[i : i + 3] for i in range(0, len(value.parts), 3)} for value in (a, b)]
        return bool(readings[0] & readings[1])
    if {a.kind, b.kind} <= {"ratio", "time", "number"} and a.kind != b.kind or a.kind == b.kind and a.kind in ("ratio", "time"):
        return _equal_ratios(a, b)
    if {a.kind, b.kind} == {"ratio", "range"}:  # "2 to 3" is either
        ratio, span = (a, b) if a.kind == "ratio" else (b, a)
        return ratio.words == "to" and list(ratio.parts) == [amount.value for amount in span.amounts]
    if a.kind != b.kind:
        return False
    if len(a.amounts) != len(b.amounts) or a.parts != b.parts:
        return False
    return all(_equal_amounts(one, other) for one, other in zip(a.amounts, b.amounts, strict=True))


def _terms(value: Value) -> tuple[list[Fraction], list[Fraction]]:
    """Return the terms of a ratio and the times of day it may mean."""
    mark = value.parts.index("time") if "time" in value.parts else len(value.parts)
    before, after = value.parts[:mark], value.parts[mark + 1 :]
    return [part for part in before if isinstance(part, Fraction)], [part for part in after if isinstance(part, Fraction)]


def _equal_ratios(a: Value, b: Value) -> bool:
    if a.kind == "number" or b.kind == "number":
        ratio, number = (b, a) if a.kind == "number" else (a, b)
        if ratio.kind != "ratio":
            return False
        terms, clock = _terms(ratio)
        return (
            len(terms) == 2
            and not clock
            and terms[1] != 0
            and number.amounts[0].unit is None
            and terms[0] / terms[1] == number.amounts[0].value
        )
    if a.kind == b.kind == "time":
        return bool(set(a.parts) & set(b.parts))
    if "time" in (a.kind, b.kind):
        ratio, time = (b, a) if a.kind == "time" else (a, b)
        return bool(set(_terms(ratio)[1]) & set(time.parts))
    (one, _), (other, _) = _terms(a), _terms(b)
    return len(one) == len(other) and all(x * other[0] == y * one[0] for x, y in zip(one, other, strict=True))
