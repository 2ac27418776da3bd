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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

from soundness.answers.markup import braced, tidy
from soundness.answers.units import unit_at
from soundness.errors import MissingPackage

__all__ = ["MAX_FORMULA", "is_formula", "same_formula", "worth"]

MAX_FORMULA = 300
"""Characters of a formula that is worked out; longer ones are compared as written."""
MAX_DEPTH = 40
"""Nesting of brackets that is worked out."""
MAX_BITS = 20_000
"""Size of a whole number that is worked out exactly; towers of powers are larger."""
MAX_FACTORIAL = 1000

Term = tuple[Any, ...]
"""A node: (kind, *children). Kinds: num, var, +, *, /, ^, neg, fact, fun."""


class _Unread(Exception):  # noqa: N818 - no error: it says that a text is no formula of this grammar
    """The text is not of this grammar, or cannot be worked out within the limits."""


# --- grammar of terms -------------------------------------------------------------------------------------------------

_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu"
    " nu xi rho sigma tau upsilon phi varphi chi"
    " psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar".split()
)
_FUNCTIONS = (
    "arcsin arccos arctan arccot arcsec arccsc arsinh arcosh artanh asin acos atan sinh cosh"
    " tanh coth sin cos tan cot sec csc exp ln log"
    " lg sqrt cbrt abs floor ceil gcd lcm min max sgn".split()
)
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?|\.\d+)"
    r"|\\(?P<command>[a-zA-Z]+)"
    r"|(?P<word>[a-zA-Zα-ωΑ-Ω](?:[a-zA-Z]*))"
    r"|(?P<super>[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)"
    r"|(?P<sub>[₀₁₂₃₄₅₆₇₈₉]+)"
    r"|(?P<mark>\*\*|[-+*/^!()\[\]{}|,_√∛π∞°%'⌊⌋⌈⌉·×÷])"
)
_SUPER = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUB = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise _Unread(text[place])
        place = found.end()
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append((kind, found[kind]))
    return tokens


class _Parser:
    """Reads one term; every token must be used."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.place = 0
        self.depth = 0
        self.bars = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.place += 1
        return token

    def expect(self, mark: str) -> None:
        if self.next() != ("mark", mark):
            raise _Unread(mark)

    def whole(self) -> Term:
        term = self.sum()
        if self.peek()[0] != "end":
            raise _Unread(self.peek()[1])
        return term

    def sum(self) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Unread("too deep")
        terms = [self.product()]
        while self.peek() in (("mark", "+"), ("mark", "-")):
            sign = self.next()[1]
            term = self.product()
            terms.append(("neg", term) if sign == "-" else term)
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("+", *terms)

    def product(self) -> Term:
        sign = 1
        while self.peek() in (("mark", "-"), ("mark", "+")):
            sign *= -1 if self.next()[1] == "-" else 1
        term = self.power()
        while True:
            kind, text = self.peek()
            if kind == "mark" and text in "*·×":
                self.next()
                term = ("*", term, self.signed())
            elif kind == "mark" and text in "/÷":
                self.next()
                term = ("/", term, self.signed())
            elif self.starts(kind, text):
                following = self.power()
                # 3\frac{1}{2} is three and a half
                mixed = term[0] == "num" and following[0] == "frac" and term[1].denominator == 1 and self.mixed(following)
                term = ("+", term, following) if mixed else ("*", term, following)
            else:
                break
        return ("neg", term) if sign < 0 else term

    @staticmethod
    def mixed(part: Term) -> bool:
        above, below = part[1], part[2]
        return bool(
            above[0] == below[0] == "num" and above[1].denominator == below[1].denominator == 1 and 0 < above[1] < below[1]
        )

    def signed(self) -> Term:
        if self.peek() == ("mark", "-"):
            self.next()
            return ("neg", self.power())
        return self.power()

    def starts(self, kind: str, text: str) -> bool:
        """Return whether a factor starts here that is joined without a sign."""
        if kind in ("number", "command", "word"):
            return True
        return kind == "mark" and (text in "({√∛π⌊⌈[" or (text == "∞") or (text == "|" and not self.bars))

    def power(self) -> Term:
        base = self.postfix(self.atom())
        kind, text = self.peek()
        if kind == "super":
            self.next()
            return self.postfix(("^", base, ("num", Fraction(text.translate(_SUPER)))))
        if kind == "mark" and text in ("^", "**"):
            self.next()
            return self.postfix(("^", base, self.exponent()))
        return base

    def exponent(self) -> Term:
        kind, text = self.peek()
        if (kind, text) == ("mark", "-"):
            self.next()
            return ("neg", self.exponent())
        if (kind, text) == ("mark", "{"):
            return self.group()
        if kind == "number" and self.place > 0:
            self.next()
            base: Term = ("num", _number(text))
        else:
            base = self.atom()
        if self.peek() in (("mark", "^"), ("mark", "**")):  # towers go from the top down
            self.next()
            return ("^", base, self.exponent())
        return base

    def postfix(self, term: Term) -> Term:
        while True:
            kind, text = self.peek()
            if (kind, text) == ("mark", "!"):
                self.next()
                term = ("fact", term)
            elif (kind, text) == ("mark", "%"):
                self.next()
                term = ("/", term, ("num", Fraction(100)))
            elif (kind, text) == ("mark", "°"):
                self.next()
            else:
                return term

    def group(self) -> Term:
        self.expect("{")
        bars, self.bars = self.bars, 0
        term = self.sum()
        self.bars = bars
        self.expect("}")
        return term

    def argument(self) -> Term:
        r"""Return the argument of a TeX command: {..} or the next digit (\frac12) or letter."""
        kind, text = self.peek()
        if (kind, text) == ("mark", "{"):
            return self.group()
        if kind == "number" and "." not in text and "," not in text:
            self.tokens[self.place : self.place + 1] = [("number", digit) for digit in text]
            return ("num", Fraction(self.next()[1]))
        return self.atom()

    def bracketed(self) -> Term:
        kind, text = self.next()
        closing = {"(": ")", "[": "]"}.get(text) if kind == "mark" else None
        if closing is None:
            raise _Unread(text)
        bars, self.bars = self.bars, 0
        term = self.sum()
        self.bars = bars
        self.expect(closing)
        return term

    def atom(self) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Unread("too deep")
        try:
            return self._atom()
        finally:
            self.depth -= 1

    def _atom(self) -> Term:
        kind, text = self.peek()
        if kind == "number":
            self.next()
            return ("num", _number(text))
        if kind == "mark":
            if text in "([":
                return self.bracketed()
            if text == "{":
                return self.group()
            if text in ("|", "⌊", "⌈"):
                self.next()
                self.bars += text == "|"
                inside = self.sum()
                self.bars -= text == "|"
                self.expect({"|": "|", "⌊": "⌋", "⌈": "⌉"}[text])
                return ("fun", {"|": "abs", "⌊": "floor", "⌈": "ceil"}[text], inside)
            if text in "√∛":
                self.next()
                inside = self.argument() if self.peek() == ("mark", "{") else self.power()
                return ("^", inside, ("num", Fraction(1, 2 if text == "√" else 3)))
            if text in "π∞":
                self.next()
                return ("const", "pi" if text == "π" else "inf")
            raise _Unread(text)
        if kind == "command":
            self.next()
            return self.command(text)
        if kind == "word":
            return self.word(text)
        raise _Unread(text)

    def command(self, name: str) -> Term:
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            above = self.argument()
            return ("frac", above, self.argument())
        if name in ("binom", "dbinom", "tbinom"):
            above = self.argument()
            return ("binom", above, self.argument())
        if name == "sqrt":
            root: Term = ("num", Fraction(2))
            if self.peek() == ("mark", "["):
                root = self.bracketed()
            inside = self.bracketed() if self.peek() == ("mark", "(") else self.argument()
            return ("^", inside, ("/", ("num", Fraction(1)), root))
        if name in ("lfloor", "lceil"):
            inside = self.sum()
            if self.next() != ("command", name.replace("l", "r", 1)):
                raise _Unread(name)
            return ("fun", "floor" if name == "lfloor" else "ceil", inside)
        if name in ("overline", "bar") and self.place >= 2:
            raise _Unread(name)  # a period is read with its number (`_number_forms`)
        if name in _GREEK:
            return self.subscripted(name)
        if name in _FUNCTIONS:
            return self.function(name)
        raise _Unread(name)

    def function(self, name: str) -> Term:
        base: Term | None = None
        power: Term | None = None
        for _ in range(2):
            if self.peek() == ("mark", "_"):
                self.next()
                base = self.argument()
            elif self.peek() == ("sub", self.peek()[1]):
                base = ("num", Fraction(self.next()[1].translate(_SUB)))
            elif self.peek() in (("mark", "^"), ("mark", "**")):
                self.next()
                power = self.exponent()
            elif self.peek()[0] == "super":
                power = ("num", Fraction(self.next()[1].translate(_SUPER)))
        inverse = power == ("neg", ("num", Fraction(1))) or power == ("num", Fraction(-1))
        if inverse and name in ("sin", "cos", "tan"):
            name, power = f"arc{name}", None
        if self.peek() in (("mark", "("), ("mark", "{"), ("mark", "[")):
            if name in ("gcd", "lcm", "min", "max"):
                raise _Unread(name)
            inside = self.group() if self.peek() == ("mark", "{") else self.bracketed()
        else:
            inside = self.power()
            while self.starts(*self.peek()) and self.peek()[0] in ("word", "number") and self.peek()[1] not in _FUNCTIONS:
                inside = ("*", inside, self.power())  # sin 2x
        if name == "sqrt":
            term: Term = ("^", inside, ("num", Fraction(1, 2)))
        elif name == "cbrt":
            term = ("^", inside, ("num", Fraction(1, 3)))
        elif name in ("log", "lg", "ln") and base is not None:
            term = ("/", ("fun", "ln", inside), ("fun", "ln", base))
        elif name == "lg":
            term = ("/", ("fun", "ln", inside), ("fun", "ln", ("num", Fraction(10))))
        else:
            term = ("fun", "ln" if name == "log" else name, inside)
        return term if power is None else ("^", term, power)

    def word(self, text: str) -> Term:
        low = text if text in _FUNCTIONS else text.casefold() if len(text) > 2 and text.casefold() in _FUNCTIONS else ""
        if low:
            self.next()
            return self.function(low)
        if text in ("pi", "Pi", "π"):
            self.next()
            return ("const", "pi")
        if text in ("inf", "infty", "infinity", "oo", "Infinity"):
            self.next()
            return ("const", "inf")
        named = next(
            (name for name in sorted(_FUNCTIONS, key=len, reverse=True) if text.startswith(name) and len(name) > 2), ""
        )
        if named and len(text) > len(named) and len(text) - len(named) <= 2:  # "sinx"
            self.tokens[self.place : self.place + 1] = [("word", named), ("word", text[len(named) :])]
            return self.word(named)
        if text.casefold() in _GREEK:
            self.next()
            return self.subscripted(text)
        if len(text) > 3:
            raise _Unread(text)  # a word, no product of four variables
        self.tokens[self.place : self.place + 1] = [("word", letter) for letter in text]
        return self.subscripted(self.next()[1])

    def subscripted(self, name: str) -> Term:
        while True:
            kind, text = self.peek()
            if kind == "sub":
                self.next()
                name += f"_{text.translate(_SUB)}"
            elif (kind, text) == ("mark", "_"):
                self.next()
                start = self.place
                self.argument()
                name += "_" + "".join(token for _, token in self.tokens[start : self.place]).strip("{}")
            elif (kind, text) == ("mark", "'"):
                self.next()
                name += "'"
            else:
                return ("const", name) if name in ("e", "i") else ("var", name)


def _number(text: str) -> Fraction:
    if len(text) > 400:
        raise _Unread("too many digits")
    return Fraction(text.replace(",", ""))


# --- values -----------------------------------------------------------------------------------------------------------


def _exact(term: Term) -> Fraction | None:
    """Return the exact value of a term of whole numbers and the four rules, powers and factorials; None where it has another."""
    kind = term[0]
    if kind == "num":
        return Fraction(term[1])
    if kind in ("var", "const", "fun"):
        return _exact_function(term) if kind == "fun" else None
    values = [_exact(child) for child in term[1:]]
    if any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    if kind == "neg":
        return -known[0]
    if kind == "+":
        return sum(known, Fraction(0))
    if kind == "*":
        return _small(known[0] * known[1])
    if kind in ("/", "frac"):
        if known[1] == 0:
            raise _Unread("division by zero")
        return _small(known[0] / known[1])
    if kind == "^":
        return _exact_power(*known)
    if kind == "fact":
        return Fraction(_factorial(known[0]))
    assert kind == "binom", kind
    n, k = known
    if n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n <= 3000:
        raise _Unread("binomial")
    from math import comb

    return _small(Fraction(comb(int(n), int(k))))


def _exact_function(term: Term) -> Fraction | None:
    value = _exact(term[2]) if term[1] in ("abs", "floor", "ceil") else None
    if value is None:
        return None
    if term[1] == "abs":
        return abs(value)
    return Fraction(value.__floor__() if term[1] == "floor" else value.__ceil__())


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1:
        root = _root(base, exponent.denominator)
        return None if root is None else _exact_power(root, Fraction(exponent.numerator))
    if base == 0 and exponent < 0:
        raise _Unread("division by zero")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and size * abs(exponent) > MAX_BITS:
        raise _Unread("too large")
    if base in (0, 1, -1):
        exponent = exponent % 2 + 2
    return Fraction(base ** int(exponent))


def _root(base: Fraction, degree: int) -> Fraction | None:
    """Return the exact root of a square, cube ... number, or None where it has none."""
    if base < 0 or degree > 64:
        return None
    parts = []
    for number in (base.numerator, base.denominator):
        if number.bit_length() > 1000:
            return None
        guess = round(number ** (1 / degree)) if number.bit_length() < 900 else 0
        if guess**degree != number:
            return None
        parts.append(guess)
    return Fraction(*parts)


def _small(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise _Unread("too large")
    return value


def _factorial(value: Fraction) -> int:
    if value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        raise _Unread("factorial")
    from math import factorial

    return factorial(int(value))


def _variables(term: Term) -> set[str]:
    if term[0] == "var":
        return {term[1]}
    return set().union(*(_variables(child) for child in term[1:] if isinstance(child, tuple)))


def _at(term: Term, places: dict[str, Any], mp: Any) -> Any:
    """Return the value of a term with its variables at `places`."""
    kind = term[0]
    if kind == "num":
        return mp.mpf(term[1].numerator) / term[1].denominator
    if kind == "var":
        return places[term[1]]
    if kind == "const":
        return {"pi": mp.pi, "e": mp.e, "i": mp.mpc(0, 1), "inf": mp.inf}[term[1]] * 1
    if kind == "fun":
        return _function(term[1], _at(term[2], places, mp), mp)
    values = [_at(child, places, mp) for child in term[1:]]
    if kind == "neg":
        return -values[0]
    if kind == "+":
        return mp.fsum(values)
    if kind == "*":
        return values[0] * values[1]
    if kind in ("/", "frac"):
        if values[1] == 0:
            raise _Unread("division by zero")
        return values[0] / values[1]
    if kind == "^":
        base, exponent = values
        real = mp.re(exponent) if exponent else 0
        if base != 0 and abs(mp.log(abs(base))) * abs(exponent) > 1e5:
            raise _Unread("too large")
        if base == 0 and real <= 0:
            raise _Unread("0 to that power")
        if (
            mp.im(base) == 0
            and base < 0
            and term[2][0] in ("num", "/")
            and (exact := _exact(term[2])) is not None
            and exact.denominator % 2
        ):
            # An odd root of a negative number is the real one.
            return -(abs(base) ** exponent) if exact.numerator % 2 else abs(base) ** exponent
        return base**exponent
    whole = [int(round(float(mp.re(value)))) for value in values]
    if any(abs(value - number) > 1e-9 or not 0 <= number <= MAX_FACTORIAL for value, number in zip(values, whole, strict=True)):
        # n! and binomials at the places of variables: through the gamma function, where it is small.
        if any(abs(value) > 50 for value in values):
            raise _Unread("factorial")
        return mp.factorial(values[0]) if kind == "fact" else mp.binomial(*values)
    return mp.factorial(whole[0]) if kind == "fact" else mp.binomial(*whole)


def _function(name: str, value: Any, mp: Any) -> Any:
    if name in ("exp", "sinh", "cosh", "tanh", "coth") and abs(value) > 1e5:
        raise _Unread("too large")
    if name == "ln" and value == 0:
        raise _Unread("log of 0")
    if name in ("floor", "ceil"):
        # A hair below a whole number is rounding of the 40 digits.
        near = mp.nint(mp.re(value))
        value = near if abs(value - near) < mp.mpf(10) ** -25 else value
    names = {
        "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc", "arsinh": "asinh",
        "arcosh": "acosh", "artanh": "atanh", "abs": "fabs", "sgn": "sign",
    }  # fmt: skip
    if name == "abs":
        return abs(value)
    return getattr(mp, names.get(name, name))(value)


def _places(names: Sequence[str], mp: Any) -> list[dict[str, Any]]:
    """Return places at which two terms are compared: fixed, irregular, of both signs."""
    sevens = [
        mp.mpf(seed)
        for seed in ("0.7310585786300049", "1.9413281347652118", "-0.5772156649015329", "3.3166247903554", "-2.23606797749979")
    ]
    places = []
    for index, base in enumerate(sevens):
        places.append({name: base + mp.mpf(position) * mp.sqrt(mp.mpf(2 + index)) / 3 for position, name in enumerate(names)})
    return places


def _agree(a: Term, b: Term) -> bool:
    """Return whether two terms have the same value wherever they are looked at."""
    exact_a, exact_b = _exact(a), _exact(b)
    if exact_a is not None and exact_b is not None:
        decimal = exact_a.denominator > 1 and exact_b.denominator > 1
        return exact_a == exact_b or (decimal and abs(exact_a - exact_b) <= abs(exact_a) / 10**9)
    import mpmath

    with mpmath.workdps(40):
        mp = mpmath.mp
        names = sorted(_variables(a) | _variables(b))
        compared = 0
        for places in _places(names, mp) if names else [{}]:
            try:
                one, other = _at(a, places, mp), _at(b, places, mp)
            except _Unread:
                if not names:
                    raise
                continue
            if mp.isnan(mp.re(one)) or mp.isnan(mp.re(other)):
                continue
            if not _near(one, other, mp):
                return False
            compared += 1
        if not compared or (names and compared < 2):
            raise _Unread("nowhere to compare")
        return True


def _near(one: Any, other: Any, mp: Any) -> bool:
    if mp.isinf(one) or mp.isinf(other):
        return bool(one == other)
    size = max(abs(one), abs(other))
    # 40 digits are worked with: what cancels to almost nothing is zero, and decimals may be rounded at the ninth place.
    return bool(abs(one - other) <= max(size * mp.mpf(10) ** -10, mp.mpf(10) ** -35 if size < mp.mpf(10) ** -34 else 0))


# --- what formulas are made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Formula:
    """A formula of one shape."""

    shape: Literal["term", "equation", "relation", "interval", "union", "list", "tuple", "set", "matrix", "reals", "nothing"]
    parts: tuple[Any, ...]
    """Terms, or formulas; for a relation: term, sign, term ...; for an interval: low, high, closed below, closed above."""
    name: str = ""
    """The variable that is said to be this, or to lie in this ("x = 5", "x in [1, 2]"); "" where none is named."""


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
    """Return the formula that `text` is as a whole. Raises _Unread where it is none of this grammar."""
    if len(text) > MAX_FORMULA:
        raise _Unread("too long")
    if not text:
        raise _Unread("empty")
    matrix = _MATRIX.fullmatch(text)
    if matrix is not None:
        rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?|\\cr", matrix[2]) if row.strip()]
        return _Formula("matrix", tuple(tuple(_term(cell.strip()) for cell in row) for row in rows))
    if "…" in text or "..." in text:
        raise _Unread("a sequence that goes on")
    named = _NAMED.match(text)
    if named is not None and not _RELATION.search(text[named.end() :]) and "=" not in text[named.end() :]:
        inside = _read(text[named.end() :].strip())
        if inside.name:
            raise _Unread("two names")
        if (
            "=" in named[0]
            and inside.shape == "list"
            and not all(part.shape == "term" and not part.name for part in inside.parts)
        ):
            raise _Unread("a system")
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
        return _Formula("list", parts)
    if relations:
        sides = _split(text, _relation_at)
        if len(sides) != len(relations) + 1 or "=" in text.replace("<=", "").replace(">=", "").replace("=<", "").replace(
            "=>", ""
        ).replace("!=", ""):
            raise _Unread("relation")
        terms = [_term(side.strip()) for side in sides]
        return _Formula("relation", tuple(x for pair in zip(terms, [*relations, ""], strict=True) for x in pair)[:-1])
    if "=" in text:
        sides = _split(text, lambda t, p: 1 if t[p] == "=" else 0)
        return _Formula("equation", tuple(_term(side.strip()) for side in sides))
    if "±" in text or "∓" in text:
        if text.count("±") + text.count("∓") > 2:
            raise _Unread("signs")
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
    if len(parts) == 1 and opening != "{":
        return None
    if any(not part for part in parts):
        return None
    if opening == "{":
        return _Formula("set", tuple(_read(part) for part in parts))
    if len(parts) == 2:
        try:
            return _Formula("interval", (_term(parts[0]), _term(parts[1]), opening == "[", closing == "]"))
        except _Unread:
            pass  # a pair of pairs
    return _Formula("tuple", tuple(_read(part) for part in parts))


@lru_cache(maxsize=1 << 12)
def _term(text: str) -> Term:
    text, _ = _without_unit(text)
    return _Parser(text).whole()


# --- comparison -------------------------------------------------------------------------------------------------------


def _same(a: _Formula, b: _Formula) -> bool:
    if a.name and b.name and a.name != b.name:
        return False
    one, other = _ranges(a), _ranges(b)
    if one is not None and other is not None and not (a.shape == b.shape == "interval"):
        return _same_ranges(one, other)
    if a.shape == b.shape == "interval":
        return a.parts[2:] == b.parts[2:] and _agree(a.parts[0], b.parts[0]) and _agree(a.parts[1], b.parts[1])
    if a.shape == "term" and b.shape == "term":
        return _agree(a.parts[0], b.parts[0])
    if "equation" in (a.shape, b.shape):
        return _same_equation(a, b)
    if a.shape == b.shape == "relation":
        return _same_relation(a, b)
    if a.shape == b.shape == "matrix":
        sizes = [[len(row) for row in one.parts] for one in (a, b)]
        return sizes[0] == sizes[1] and all(
            _agree(one, other)
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


def _ranges(formula: _Formula) -> list[tuple[Term, Term, bool, bool]] | None:
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
    if formula.shape == "relation" and len(formula.parts) in (3, 5):
        parts = formula.parts
        if len(parts) == 3:
            if parts[0][0] != "var" and parts[2][0] == "var":
                parts = (parts[2], _TURNED[parts[1]], parts[0])
            if parts[0][0] != "var" or _variables(parts[2]) or parts[1] == "≠":
                return None
            closed = parts[1] in "≤≥"
            if parts[1] in "<≤":
                return [(infinite[0], parts[2], False, closed)]
            return [(parts[2], infinite[1], closed, False)]
        low, first, middle, second, high = parts
        if middle[0] != "var" or _variables(low) or _variables(high):
            return None
        if first in ">≥" and second in ">≥":
            low, first, second, high = high, _TURNED[second], _TURNED[first], low
        if first not in "<≤" or second not in "<≤":
            return None
        return [(low, high, first == "≤", second == "≤")]
    return None


def _same_ranges(one: list[tuple[Term, Term, bool, bool]], other: list[tuple[Term, Term, bool, bool]]) -> bool:
    if len(one) != len(other):
        return False
    left = list(other)
    for low, high, below, above in one:
        match = next(
            (i for i, (a, b, c, d) in enumerate(left) if (c, d) == (below, above) and _agree(low, a) and _agree(high, b)), None
        )
        if match is None:
            return False
        del left[match]
    return True


def _same_equation(a: _Formula, b: _Formula) -> bool:
    if a.shape == b.shape == "equation":
        if len(a.parts) != len(b.parts) or len(a.parts) != 2:
            return len(a.parts) == len(b.parts) and all(_agree(x, y) for x, y in zip(a.parts, b.parts, strict=True))
        one, other = (("+", side.parts[0], ("neg", side.parts[1])) for side in (a, b))
        return _proportional(one, other, positive=False)
    equation, plain = (a, b) if a.shape == "equation" else (b, a)
    if plain.name and plain.shape == "term" and len(equation.parts) == 2:  # y = x + 1 against y - x = 1
        variable: Term = ("var", plain.name)
        one = ("+", variable, ("neg", plain.parts[0]))
        return _proportional(one, ("+", equation.parts[0], ("neg", equation.parts[1])), positive=False)
    if plain.shape == "term" and not _variables(equation.parts[-1]):  # 2 + 3 = 5 against 5
        return _agree(equation.parts[-1], plain.parts[0])
    return False


def _same_relation(a: _Formula, b: _Formula) -> bool:
    if len(a.parts) != 3 or len(b.parts) != 3:
        return len(a.parts) == len(b.parts) and all(
            one == other if isinstance(one, str) else _agree(one, other) for one, other in zip(a.parts, b.parts, strict=True)
        )
    one, other = (("+", side.parts[0], ("neg", side.parts[2])) for side in (a, b))
    if a.parts[1] == b.parts[1]:
        return _proportional(one, other, positive=a.parts[1] != "≠")
    return _TURNED[a.parts[1]] == b.parts[1] and _proportional(one, ("neg", other), positive=True)


def _proportional(a: Term, b: Term, *, positive: bool) -> bool:
    """Return whether two terms differ by a constant factor: then they are zero at the same places."""
    import mpmath

    with mpmath.workdps(40):
        mp = mpmath.mp
        names = sorted(_variables(a) | _variables(b))
        ratios = []
        for places in _places(names, mp):
            try:
                one, other = _at(a, places, mp), _at(b, places, mp)
            except _Unread:
                continue
            if other == 0 or one == 0:
                if one != other:
                    return False
                continue
            ratios.append(one / other)
        if len(ratios) < 2:
            raise _Unread("nowhere to compare")
        return all(_near(ratio, ratios[0], mp) for ratio in ratios) and not (positive and mp.re(ratios[0]) <= 0)


_MARK = re.compile(
    r"\\[a-zA-Z]|[\^=<>≤≥≠√π∞±∪∈∅ℝ⌊⌈∫∑|{}¹²³⁴-⁹]|(?<![^\W\d_])[a-z]\s?[-+*/]\s?[a-z\d]"
    r"|\d\s?[-+*/^]\s?[a-z](?![a-z])|\d\s?[a-z](?![a-z])|\d\s?[-+*/(]\s?\d|\d!|\)\s?\("
    r"|[-+*/]\s?\(|\(\s?-?\d+(?:\.\d+)?\s?,|\d\s?[,;]\s?-?\d"
)
_LONG_WORD = re.compile(r"(?<!\\)[^\W\d_]{2,}")
_FORMULA_WORDS = frozenset(
    [
        *_FUNCTIONS,
        *_GREEK,
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
        return _exact(formula.parts[0]) if formula.shape == "term" else None
    except (_Unread, RecursionError, ArithmeticError, ValueError):
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
    except _Unread:
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
