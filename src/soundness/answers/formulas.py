r"""Formulas: read whole or not at all, and compared as what they are: numbers, terms, equations, relations, sets, tuples, matrices.

Terms are compared by their values at several places with 40 digits, relative to their size: no absolute tolerance, so that
1/2^98 is not 1/2^99. What the grammar does not know (integrals, sums, limits) goes through math-verify's strict parser. What
neither can read is not compared: `same_formula` then returns None.

>>> same_formula("x^2+2x+1", "(x+1)^2"), same_formula(r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}"), same_formula(r"4\sqrt(2)", "4")
(True, False, False)
>>> same_formula(r"(-\infty, 3)", "x<3"), same_formula("1, 2", "2, 1"), same_formula("(1, 2)", "(2, 1)")
(True, True, False)
>>> same_formula(r"1, 2, \ldots, n", r"1, 3, \ldots, n") is None
True
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from soundness.answers.markup import braced, tidy
from soundness.answers.terms import FUNCTIONS, GREEK, Term, Unread, agree, exact_value, parse_term, proportional, variables
from soundness.answers.units import unit_at
from soundness.errors import MissingPackage

__all__ = ["MAX_FORMULA", "is_formula", "same_formula", "worth"]

MAX_FORMULA = 300
"""Characters of a formula that is worked out; longer ones are compared as written."""


# --- what formulas are made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Formula:
    """A formula of one shape."""

    shape: Literal[
        "term", "equation", "relation", "interval", "union", "meet", "list", "tuple", "set", "matrix", "reals", "nothing"
    ]
    parts: tuple[Any, ...]
    """Terms, or formulas; for a relation: term, sign, term ...; for an interval: low, high, closed below, closed above."""
    name: str = ""
    """The variable that is said to be this, or to lie in this ("x = 5", "x in [1, 2]"); "" where none is named."""


_Range = tuple[Term, Term, bool, bool]
"""Low, high, whether the low end belongs to it, whether the high end does."""
_RELATION = re.compile(r"<=|>=|=<|=>|!=|≤|≥|≠|<|>")
_SIGNS = {"<=": "≤", "=<": "≤", ">=": "≥", "=>": "≥", "!=": "≠"}
_TURNED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤", "≠": "≠", "=": "="}
_NAMED = re.compile(
    r"\s*([a-zA-Zα-ω](?:_\{?\w{1,4}\}?|'|[₀-₉])*(?:\(\s*[a-z](?:\s*,\s*[a-z])*\s*\))?)\s*(?:="
    r"|:=|∈|\bin\b(?=\s*[\[({]))\s*"
)
_REALS = re.compile(r"ℝ|all real(?: numbers| x)?|any real number|every real number|R", re.IGNORECASE)
_NOTHING = re.compile(r"∅|\\?\{\s*\\?\}|no (?:real )?solutions?|none|empty set", re.IGNORECASE)
_MATRIX = re.compile(r"\\begin\{([pbvBV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL)
_PERIOD = re.compile(
    r"(\d{0,9})\.(\d{0,30})(?:\\(?:overline|bar|dot)\s?\{?(\d{1,30})\}?(?:\\dot\s?\{?(\d)\}?)?"
    r"|\((\d{1,30})\)(?=$|[^\w(]))"
)
_OPENING, _CLOSING = "([{", ")]}"


def _split(text: str, marks: Callable[[str, int], int]) -> list[str]:
    """Return the pieces of `text` between marks that no bracket holds; `marks` says how long the mark at a place is (0: none)."""
    pieces, depth, start, place = [], 0, 0, 0
    while place < len(text):
        character = text[place]
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth = max(0, depth - 1)
        length = marks(text, place) if depth == 0 else 0
        if length:
            pieces.append(text[start:place])
            start = place = place + length
        else:
            place += 1
    return [*pieces, text[start:]]


_GROUPED = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")


def _comma(text: str, place: int) -> int:
    """Return the length of a comma or semicolon that separates, rather than groups thousands."""
    if text[place] == ";":
        return 1
    if text[place] == "," and not any(group.start() < place < group.end() for group in _GROUPED.finditer(text)):
        return 1
    word = re.compile(r"\s(?:and|or|und|oder)\s|(?<=\s)(?:and|or)\s", re.IGNORECASE).match(text, place)
    return word.end() - place if word is not None else 0


def _relation_at(text: str, place: int) -> int:
    found = _RELATION.match(text, place)
    return found.end() - place if found is not None else 0


def _number_forms(text: str) -> str:
    """Return `text` with periodic decimals as fractions."""

    def fraction(found: re.Match[str]) -> str:
        whole, head, period = found[1] or "0", found[2], (found[3] or "") + (found[4] or "") or found[5]
        below = 10 ** len(head) * (10 ** len(period) - 1)
        return f"(({int(whole + head + period) - int(whole + head)})/({below}))"

    return _PERIOD.sub(fraction, text)


def _prepared(text: str) -> str:
    """Return `text` ready for the grammar: one kind of fraction, no closing marks, units set aside."""
    bare = tidy(text).strip().rstrip(".,;:").strip()
    bare = bare.replace("\\left", "").replace("\\right", "")
    return _number_forms(bare)


_TRAILING_UNIT = re.compile(r"(?<=[\d)}\]πe!])\s*(?=[a-zA-Z°€$£Ω])")


def _without_unit(text: str) -> tuple[str, str]:
    """Return a formula without the unit at its end, and the unit: "2√3 cm" has one, "2x" has none."""
    for gap in _TRAILING_UNIT.finditer(text):
        unit = unit_at(text, gap.end())
        if unit is None or text[unit[1] :].strip(" ."):
            continue
        word = text[gap.end() : unit[1]]
        if len(word) > 1 or (gap[0] and word in "mgsLJNWVKAhl"):
            return text[: gap.start()].rstrip(), unit[0][0].dimension + str(unit[0][0].factor)
    return text, ""


def _read(text: str) -> _Formula:
    """Return the formula that `text` is as a whole. Raises Unread where it is none of this grammar."""
    if len(text) > MAX_FORMULA:
        raise Unread("too long")
    if not text:
        raise Unread("empty")
    matrix = _MATRIX.fullmatch(text)
    if matrix is not None:
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr", matrix[2]) if row.strip()]
        return _Formula("matrix", tuple(tuple(_term(cell.strip()) for cell in row) for row in rows))
    if "…" in text or "..." in text:
        raise Unread("a sequence that goes on")
    named = _NAMED.match(text)
    if named is not None and not _RELATION.search(text[named.end() :]) and "=" not in text[named.end() :]:
        inside = _read(text[named.end() :].strip())
        if inside.name:
            raise Unread("two names")
        if (
            "=" in named[0]
            and inside.shape == "list"
            and not all(part.shape == "term" and not part.name for part in inside.parts)
        ):
            raise Unread("a system")
        return _Formula(inside.shape, inside.parts, named[1])
    if _REALS.fullmatch(text):
        return _Formula("reals", ())
    if _NOTHING.fullmatch(text):
        return _Formula("nothing", ())
    union = _split(text, lambda t, p: 1 if t[p] == "∪" else (3 if t[p : p + 4] == " U (" or t[p : p + 4] == " U [" else 0))
    if len(union) > 1:
        return _Formula("union", tuple(_read(piece.strip()) for piece in union))
    bracketed = _bracketed(text)
    if bracketed is not None:
        return bracketed
    relations = [_SIGNS.get(sign, sign) for sign in _RELATION.findall(text)]
    pieces = _split(text, _comma)
    if len(pieces) > 1:
        parts = tuple(_read(piece.strip()) for piece in pieces if piece.strip())
        if relations and re.search(r"\bor\b", text):
            return _Formula("union", parts)
        if relations and re.search(r"\band\b", text) and all(part.shape == "relation" for part in parts):
            return _Formula("meet", parts)
        return _Formula("list", parts)
    if relations:
        sides = _split(text, _relation_at)
        if len(sides) != len(relations) + 1 or "=" in text.replace("<=", "").replace(">=", "").replace("=<", "").replace(
            "=>", ""
        ).replace("!=", ""):
            raise Unread("relation")
        terms = [_term(side.strip()) for side in sides]
        return _Formula("relation", tuple(x for pair in zip(terms, [*relations, ""], strict=True) for x in pair)[:-1])
    if "=" in text:
        sides = _split(text, lambda t, p: 1 if t[p] == "=" else 0)
        return _Formula("equation", tuple(_term(side.strip()) for side in sides))
    if "±" in text or "∓" in text:
        if text.count("±") + text.count("∓") > 2:
            raise Unread("signs")
        return _Formula(
            "set", tuple(_read(text.replace("±", one).replace("∓", other)) for one, other in (("+", "-"), ("-", "+")))
        )
    return _Formula("term", (_term(text),))


def _bracketed(text: str) -> _Formula | None:
    """Return an interval, a tuple or a set, where `text` is one bracket from end to end with several parts in it."""
    opening, closing = text[0], text[-1]
    inside = text[1:-1]
    if text.startswith("\\{") and text.endswith("\\}"):
        opening, closing, inside = "{", "}", text[2:-2]
    if opening not in "([{" or closing not in ")]}" or (opening == "{") != (closing == "}"):
        return None
    depth = 0
    for character in inside:
        depth += character in _OPENING
        depth -= character in _CLOSING
        if depth < 0:
            return None
    if depth:
        return None
    parts = [piece.strip() for piece in _split(inside, lambda t, p: _comma(t, p) if t[p] in ",;" else 0)]
    if len(parts) == 1 and not text.startswith("\\{"):
        return None  # a bracket round a term, or TeX's own braces
    if any(not part for part in parts):
        return None
    if opening == "{":
        return _Formula("set", tuple(_read(part) for part in parts))
    if len(parts) == 2:
        try:
            return _Formula("interval", (_term(parts[0]), _term(parts[1]), opening == "[", closing == "]"))
        except Unread:
            pass  # a pair of pairs
    return _Formula("tuple", tuple(_read(part) for part in parts))


@lru_cache(maxsize=1 << 12)
def _term(text: str) -> Term:
    text, _ = _without_unit(text)
    return parse_term(text)


# --- comparison -------------------------------------------------------------------------------------------------------


def _same(a: _Formula, b: _Formula) -> bool:
    if a.name and b.name and a.name != b.name:
        return False
    if "nothing" in (a.shape, b.shape):
        return a.shape == b.shape
    one, other = _ranges(a), _ranges(b)
    if one is not None and other is not None and not (a.shape == b.shape == "interval"):
        return _same_ranges(one, other)
    if a.shape == b.shape == "interval":
        return a.parts[2:] == b.parts[2:] and agree(a.parts[0], b.parts[0]) and agree(a.parts[1], b.parts[1])
    if a.shape == "term" and b.shape == "term":
        return agree(a.parts[0], b.parts[0])
    if "equation" in (a.shape, b.shape):
        return _same_equation(a, b)
    if a.shape == b.shape == "relation":
        return _same_relation(a, b)
    if a.shape == b.shape == "matrix":
        sizes = [[len(row) for row in one.parts] for one in (a, b)]
        return sizes[0] == sizes[1] and all(
            agree(one, other)
            for row, others in zip(a.parts, b.parts, strict=True)
            for one, other in zip(row, others, strict=True)
        )
    several = [_several(one) for one in (a, b)]
    if several[0] is not None and several[1] is not None:
        ordered = "tuple" in (several[0][1], several[1][1])
        return _same_parts(several[0][0], several[1][0], ordered)
    return False


def _several(formula: _Formula) -> tuple[list[_Formula], str] | None:
    """Return the parts of a list, tuple or set, and which of them it is."""
    if formula.shape == "interval" and formula.parts[2:] == (False, False):
        return [_Formula("term", (part,)) for part in formula.parts[:2]], "tuple"
    if formula.shape in ("list", "set", "tuple"):
        parts: list[_Formula] = []
        for part in formula.parts:  # "1 ± √2, 3" has three
            parts.extend(part.parts if part.shape == "set" and formula.shape != "tuple" else [part])
        return parts, formula.shape
    return None


def _same_parts(one: list[_Formula], other: list[_Formula], ordered: bool) -> bool:
    if len(one) != len(other):
        return False
    if ordered:
        return all(_same(a, b) for a, b in zip(one, other, strict=True))
    left = list(other)
    for part in one:
        match = next((index for index, candidate in enumerate(left) if _same(part, candidate)), None)
        if match is None:
            return False
        del left[match]
    return True


def _ranges(formula: _Formula) -> list[_Range] | None:
    """Return a set of real numbers as ranges (low, high, closed below, closed above), or None where it is none."""
    infinite: tuple[Term, Term] = (("neg", ("const", "inf")), ("const", "inf"))
    if formula.shape == "interval":
        return [(formula.parts[0], formula.parts[1], formula.parts[2], formula.parts[3])]
    if formula.shape == "reals":
        return [(*infinite, False, False)]
    if formula.shape == "union":
        pieces = [_ranges(part) for part in formula.parts]
        return (
            None if any(piece is None for piece in pieces) else [one for piece in pieces if piece is not None for one in piece]
        )
    if formula.shape == "meet":
        return _meet([_ranges(part) for part in formula.parts])
    if formula.shape == "relation" and len(formula.parts) in (3, 5):
        parts = formula.parts
        if len(parts) == 3:
            if parts[0][0] != "var" and parts[2][0] == "var":
                parts = (parts[2], _TURNED[parts[1]], parts[0])
            if parts[0][:2] == ("fun", "abs") and parts[0][2][0] == "var" and parts[1] in "<≤" and not variables(parts[2]):
                return [(("neg", parts[2]), parts[2], parts[1] == "≤", parts[1] == "≤")]
            if parts[0][0] != "var" or variables(parts[2]):
                return None
            if parts[1] == "≠":
                return [(infinite[0], parts[2], False, False), (parts[2], infinite[1], False, False)]
            closed = parts[1] in "≤≥"
            if parts[1] in "<≤":
                return [(infinite[0], parts[2], False, closed)]
            return [(parts[2], infinite[1], closed, False)]
        low, first, middle, second, high = parts
        if middle[0] != "var" or variables(low) or variables(high):
            return None
        if first in ">≥" and second in ">≥":
            low, first, second, high = high, _TURNED[second], _TURNED[first], low
        if first not in "<≤" or second not in "<≤":
            return None
        return [(low, high, first == "≤", second == "≤")]
    return None


def _meet(pieces: list[list[_Range] | None]) -> list[_Range] | None:
    """Return what ranges of numbers have in common: "x > 1 and x < 3"; None where an end is no rational number."""
    low: tuple[float | Fraction, bool, Term] = (float("-inf"), False, ("neg", ("const", "inf")))
    high: tuple[float | Fraction, bool, Term] = (float("inf"), False, ("const", "inf"))
    for piece in pieces:
        if piece is None or len(piece) != 1:
            return None
        below, above, closed_below, closed_above = piece[0]
        for term, closed, is_low in ((below, closed_below, True), (above, closed_above, False)):
            if term in (("const", "inf"), ("neg", ("const", "inf"))):
                continue
            value = exact_value(term)
            if value is None:
                return None
            if is_low and (value > low[0] or (value == low[0] and not closed)):
                low = (value, closed, term)
            if not is_low and (value < high[0] or (value == high[0] and not closed)):
                high = (value, closed, term)
    return [(low[2], high[2], low[1], high[1])]


def _same_ranges(one: list[_Range], other: list[_Range]) -> bool:
    if len(one) != len(other):
        return False
    left = list(other)
    for low, high, below, above in one:
        match = next(
            (i for i, (a, b, c, d) in enumerate(left) if (c, d) == (below, above) and agree(low, a) and agree(high, b)), None
        )
        if match is None:
            return False
        del left[match]
    return True


def _same_equation(a: _Formula, b: _Formula) -> bool:
    if a.shape == b.shape == "equation":
        if len(a.parts) != len(b.parts) or len(a.parts) != 2:
            return len(a.parts) == len(b.parts) and all(agree(x, y) for x, y in zip(a.parts, b.parts, strict=True))
        one, other = (("+", side.parts[0], ("neg", side.parts[1])) for side in (a, b))
        return proportional(one, other, positive=False)
    equation, plain = (a, b) if a.shape == "equation" else (b, a)
    if plain.name and plain.shape == "term" and len(equation.parts) == 2:  # y = x + 1 against y - x = 1
        variable: Term = ("var", plain.name)
        one = ("+", variable, ("neg", plain.parts[0]))
        return proportional(one, ("+", equation.parts[0], ("neg", equation.parts[1])), positive=False)
    if plain.shape == "term" and not variables(equation.parts[-1]):  # 2 + 3 = 5 against 5
        return agree(equation.parts[-1], plain.parts[0])
    return False


def _same_relation(a: _Formula, b: _Formula) -> bool:
    if len(a.parts) != 3 or len(b.parts) != 3:
        return len(a.parts) == len(b.parts) and all(
            one == other if isinstance(one, str) else agree(one, other) for one, other in zip(a.parts, b.parts, strict=True)
        )
    one, other = (("+", side.parts[0], ("neg", side.parts[2])) for side in (a, b))
    if a.parts[1] == b.parts[1]:
        return proportional(one, other, positive=a.parts[1] != "≠")
    return _TURNED[a.parts[1]] == b.parts[1] and proportional(one, ("neg", other), positive=True)


_MARK = re.compile(
    r"\b(?:sqrt|cbrt|sin|cos|tan|log|ln|exp|abs)\s?\(|\\[a-zA-Z]|[\^=<>≤≥≠√π∞±∪∈∅ℝ⌊⌈∫∑|{}¹²³⁴-⁹]|(?<![^\W\d_])[a-z]\s?[-+*/]\s?[a-z\d]"
    r"|\d\s?[-+*/^]\s?[a-z](?![a-z])|\d\s?[a-z](?![a-z])|\d\s?[-+*/(]\s?\d|\d!|\)\s?\("
    r"|[-+*/]\s?\(|\(\s?-?\d+(?:\.\d+)?\s?,|\d\s?[,;]\s?-?\d|\d\s+(?:and|or)\s+-?\d"
)
_LONG_WORD = re.compile(r"(?<!\\)[^\W\d_]{2,}")
_FORMULA_WORDS = frozenset(
    [
        *FUNCTIONS,
        *GREEK,
        "pi",
        "infty",
        "inf",
        "and",
        "or",
        "mod",
        "begin",
        "end",
        "pmatrix",
        "bmatrix",
        "vmatrix",
        "matrix",
        "in",
        "dx",
        "dy",
        "dt",
    ]
)


def is_formula(text: str) -> bool:
    r"""Return whether `text` is written as a formula rather than in words: marks of mathematics, and no words but names of functions.

    >>> [is_formula(text) for text in ("x^2", r"\frac{1}{2}", "a+b", "(3, 4)", "well-known", "H2O", r"\text{East}", "18 dollars")]
    [True, True, True, True, False, False, False, False]
    """
    bare = tidy(text)
    if _MARK.search(bare) is None:
        return False
    bare, _ = _without_unit(bare)
    words = [
        word
        for word in _LONG_WORD.findall(re.sub(r"\\[a-zA-Z]+", " ", bare))
        if word not in _FORMULA_WORDS and word.casefold() not in _FORMULA_WORDS
    ]
    return all(
        len(word) <= 3 and bool(re.search(rf"(?<![^\W\d_]){word}\s?[\^=+*/<>()-]|[\d^=+*/<>(-]\s?{word}", bare))
        for word in words
    )


def worth(text: str) -> Fraction | None:
    r"""Return the exact value of a formula that is a rational number: 10!, 2^10, 3*4; None where it is none.

    >>> worth("10!"), worth(r"\binom{10}{3}"), worth("x"), worth("sqrt(2)")
    (Fraction(3628800, 1), Fraction(120, 1), None, None)
    """
    try:
        formula = _read(_prepared(text))
        return exact_value(formula.parts[0]) if formula.shape == "term" else None
    except (Unread, RecursionError, ArithmeticError, ValueError):
        return None


def _written(text: str) -> str:
    """Return a formula as written without blanks and optional braces, for formulas that cannot be worked out."""
    bare = re.sub(r"\s+", "", tidy(text)).strip(".,;")
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", bare.replace("\\left", "").replace("\\right", ""))


@lru_cache(maxsize=1 << 14)
def same_formula(a: str, b: str) -> bool | None:
    """Return whether two formulas are the same, or None where one of them cannot be read or the two cannot be compared.

    Raises MissingPackage where math-verify is needed and absent.
    """
    if _written(a) == _written(b):
        return True
    one, other = _prepared(a), _prepared(b)
    (bare_one, unit_one), (bare_other, unit_other) = _without_unit(one), _without_unit(other)
    if unit_one and unit_other and unit_one != unit_other:
        return False
    try:
        return _same(_read(bare_one), _read(bare_other))
    except Unread:
        return _verified(*(text.strip().strip("$").rstrip(".") for text in (a, b)))
    except (RecursionError, ArithmeticError, ValueError, TypeError, AttributeError):
        # mpmath reports through these what it cannot work out at a place.
        return None


_BEYOND = re.compile(
    r"\\(?:int|iint|oint|sum|prod|lim|partial|nabla|frac\s?\{d|vec|hat|det|binom|begin|mod"
    r"|pmod|bmod|mathbb|cap|setminus|Re|Im)(?![a-z])"
)


def _verified(a: str, b: str) -> bool | None:
    """Return what math-verify says of two formulas that are beyond the grammar here, or None where its parser refuses one of them.

    Its own `parse` takes the fragment it can read for the whole; the parser beneath it is strict, and that one is asked.
    """
    if not (_BEYOND.search(a) or _BEYOND.search(b)) or not (_bounded(a) and _bounded(b)):
        return None
    try:
        import math_verify
        import sympy
        from latex2sympy2_extended import latex2sympy
        from math_verify.errors import TimeoutException
        from math_verify.utils import timeout
    except ImportError:
        raise MissingPackage("math-verify", "comparing formulas with integrals, sums or limits") from None
    # The library keeps its time limit with a signal, which only the main thread can set. Elsewhere `_bounded` has to do, and its
    # warning that nobody limits the time would be noise.
    if threading.current_thread() is not threading.main_thread():
        return None  # the library keeps its time limit with a signal, which only the main thread can set; without one a sum may hang

    @timeout(timeout_seconds=5)  # type: ignore[untyped-decorator]
    def worked_out(text: str) -> Any:
        return latex2sympy(text).doit()

    try:
        one, other = worked_out(a), worked_out(b)
        return bool(
            math_verify.verify(one, other, float_rounding=15, numeric_precision=15, timeout_seconds=5, raise_on_error=True)
        )
    except (
        TimeoutException,
        ValueError,
        TypeError,
        ArithmeticError,
        AttributeError,
        NotImplementedError,
        RecursionError,
        sympy.SympifyError,
    ):
        return None
    except Exception as error:  # the parser raises the bare class for what it cannot read
        if type(error) is not Exception:
            raise
        return None


def _bounded(text: str) -> bool:
    """Return whether working `text` out takes bounded time: short, no towers of powers, no huge exponents or factorials."""
    powers = re.findall(r"(?:\^|\*\*)\s*\{?\s*[-(]*(\w*)", text)
    return (
        len(text) <= MAX_FORMULA
        and len(powers) <= 6
        and not re.search(r"(?:\^|\*\*)[^-+=,]{0,12}(?:\^|\*\*)", text)
        and not any(len(power) > 3 and power.isdigit() for power in powers)
        and not re.search(r"\d{4,}\s*!|!\s*!", text)
        and braced(text + "}", 0) is not None
    )
