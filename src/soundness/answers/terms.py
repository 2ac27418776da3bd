r"""Terms of mathematics: one grammar for TeX and plain notation, and what a term is worth.

A term is read whole or not at all. Two are compared by their values at several places with 40 digits, relative to their size; what
is rational is worked out exactly. Everything is bounded: nesting, exponents, factorials, digits.

>>> agree(parse_term("x^2+2x+1"), parse_term("(x+1)^2")), exact_value(parse_term(r"\binom{10}{3}"))
(True, Fraction(120, 1))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

__all__ = ["FUNCTIONS", "GREEK", "Term", "Unread", "agree", "exact_value", "parse_term", "proportional", "variables"]

MAX_DEPTH = 40
"""Nesting of brackets that is worked out."""
MAX_BITS = 20_000
"""Size of a whole number that is worked out exactly; towers of powers are larger."""
MAX_FACTORIAL = 1000

Term = tuple[Any, ...]
"""A node: (kind, *children). Kinds: num, var, const, +, *, /, frac, ^, neg, fact, binom, mod, deg, gcd, lcm, min, max, fun."""


class Unread(Exception):  # noqa: N818 - no error: it says that a text is no formula of this grammar
    """The text is not of this grammar, or cannot be worked out within the limits."""


# --- grammar of terms -------------------------------------------------------------------------------------------------

GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu"
    " nu xi rho sigma tau upsilon phi varphi chi"
    " psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega ell hbar".split()
)
FUNCTIONS = (
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
            raise Unread(text[place])
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
            raise Unread(mark)

    def whole(self) -> Term:
        term = self.sum()
        if self.peek()[0] != "end":
            raise Unread(self.peek()[1])
        return term

    def sum(self) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread("too deep")
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
            elif kind in ("command", "word") and text in ("bmod", "mod"):
                self.next()
                term = ("mod", term, self.signed())
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
        if kind in ("number", "word"):
            return True
        if kind == "command":
            return text not in ("rfloor", "rceil", "choose")
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
            base: Term = ("num", _digits(text))
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
                term = ("deg", term)
            else:
                return term

    def group(self) -> Term:
        self.expect("{")
        bars, self.bars = self.bars, 0
        term = self.sum()
        if self.peek() == ("command", "choose"):
            self.next()
            term = ("binom", term, self.sum())
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
            raise Unread(text)
        bars, self.bars = self.bars, 0
        term = self.sum()
        self.bars = bars
        self.expect(closing)
        return term

    def atom(self) -> Term:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread("too deep")
        try:
            return self._atom()
        finally:
            self.depth -= 1

    def _atom(self) -> Term:
        kind, text = self.peek()
        if kind == "number":
            self.next()
            return ("num", _digits(text))
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
            raise Unread(text)
        if kind == "command":
            self.next()
            return self.command(text)
        if kind == "word":
            return self.word(text)
        raise Unread(text)

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
                raise Unread(name)
            return ("fun", "floor" if name == "lfloor" else "ceil", inside)
        if name in ("overline", "bar") and self.place >= 2:
            raise Unread(name)  # a period is read with its number (`_number_forms`)
        if name in GREEK:
            return self.subscripted(name)
        if name in FUNCTIONS:
            return self.function(name)
        raise Unread(name)

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
        if name in ("gcd", "lcm", "min", "max"):
            return self.several(name)
        if self.peek() in (("mark", "("), ("mark", "{"), ("mark", "[")):
            inside = self.group() if self.peek() == ("mark", "{") else self.bracketed()
        else:
            inside = self.power()
            while self.starts(*self.peek()) and self.peek()[0] in ("word", "number") and self.peek()[1] not in FUNCTIONS:
                inside = ("*", inside, self.power())  # sin 2x
        if name in _ANGLES:
            inside = _in_radians(inside)
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

    def several(self, name: str) -> Term:
        """Return a function of several numbers: gcd(6, 9)."""
        kind, text = self.next()
        closing = {"(": ")", "{": "}"}.get(text) if kind == "mark" else None
        if closing is None:
            raise Unread(text)
        if self.peek()[0] == "number" and "," in self.peek()[1]:  # (100,200) was taken for one number
            pieces = self.next()[1].split(",")
            self.tokens[self.place : self.place] = [
                token
                for index, piece in enumerate(pieces)
                for token in ([("mark", ",")] if index else []) + [("number", piece)]
            ]
        arguments = [self.sum()]
        while self.peek() == ("mark", ","):
            self.next()
            arguments.append(self.sum())
        self.expect(closing)
        return (name, *arguments)

    def word(self, text: str) -> Term:
        low = text if text in FUNCTIONS else text.casefold() if len(text) > 2 and text.casefold() in FUNCTIONS else ""
        if low:
            self.next()
            return self.function(low)
        if text in ("pi", "Pi", "π"):
            self.next()
            return ("const", "pi")
        if text in ("inf", "infty", "infinity", "oo", "Infinity"):
            self.next()
            return ("const", "inf")
        named = next((name for name in sorted(FUNCTIONS, key=len, reverse=True) if text.startswith(name) and len(name) > 2), "")
        if named and len(text) > len(named) and len(text) - len(named) <= 2:  # "sinx"
            self.tokens[self.place : self.place + 1] = [("word", named), ("word", text[len(named) :])]
            return self.word(named)
        if text.casefold() in GREEK:
            self.next()
            return self.subscripted(text)
        if len(text) > 3:
            raise Unread(text)  # a word, no product of four variables
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


def _digits(text: str) -> Fraction:
    if len(text) > 400:
        raise Unread("too many digits")
    return Fraction(text.replace(",", ""))


# --- values -----------------------------------------------------------------------------------------------------------


def exact_value(term: Term) -> Fraction | None:
    """Return the exact value of a term of whole numbers and the four rules, powers and factorials; None where it has another."""
    kind = term[0]
    if kind == "num":
        return Fraction(term[1])
    if kind in ("var", "const", "fun"):
        return _exact_function(term) if kind == "fun" else None
    values = [exact_value(child) for child in term[1:]]
    if any(value is None for value in values):
        return None
    known = [value for value in values if value is not None]
    if kind == "neg":
        return -known[0]
    if kind == "deg":
        return known[0]
    if kind in _OF_NUMBERS:
        return _of_numbers(kind, known)
    if kind == "+":
        return sum(known, Fraction(0))
    if kind == "*":
        return _small(known[0] * known[1])
    if kind in ("/", "frac"):
        if known[1] == 0:
            raise Unread("division by zero")
        return _small(known[0] / known[1])
    if kind == "^":
        return _exact_power(*known)
    if kind == "fact":
        return Fraction(_factorial(known[0]))
    assert kind == "binom", kind
    n, k = known
    if n.denominator != 1 or k.denominator != 1 or not 0 <= k <= n <= 3000:
        raise Unread("binomial")
    from math import comb

    return _small(Fraction(comb(int(n), int(k))))


_ANGLES = frozenset("sin cos tan cot sec csc".split())
_OF_NUMBERS = frozenset("mod gcd lcm min max".split())


def _in_radians(term: Term) -> Term:
    """Return an angle in radians: degrees are no number of their own, but in a sine they count."""
    if term[0] == "deg":
        return ("/", ("*", term[1], ("const", "pi")), ("num", Fraction(180)))
    if term[0] in ("+", "*", "/", "frac", "neg"):
        return (term[0], *(_in_radians(child) for child in term[1:]))
    return term


def _of_numbers(kind: str, values: list[Fraction]) -> Fraction:
    if kind in ("min", "max"):
        return min(values) if kind == "min" else max(values)
    if any(value.denominator != 1 for value in values) or (kind == "mod" and values[1] == 0):
        raise Unread(kind)
    import math

    whole = [int(value) for value in values]
    if kind == "mod":
        return Fraction(whole[0] % whole[1])
    return Fraction(math.gcd(*whole) if kind == "gcd" else math.lcm(*whole))


def _exact_function(term: Term) -> Fraction | None:
    value = exact_value(term[2]) if term[1] in ("abs", "floor", "ceil") else None
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
        raise Unread("division by zero")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if base not in (0, 1, -1) and size * abs(exponent) > MAX_BITS:
        raise Unread("too large")
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
        raise Unread("too large")
    return value


def _factorial(value: Fraction) -> int:
    if value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        raise Unread("factorial")
    from math import factorial

    return factorial(int(value))


def variables(term: Term) -> set[str]:
    """Return the names of the variables in a term."""
    if term[0] == "var":
        return {term[1]}
    return set().union(*(variables(child) for child in term[1:] if isinstance(child, tuple)))


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
    if kind == "deg":
        return values[0]
    if kind in _OF_NUMBERS:
        raise Unread(kind)  # of whole numbers only
    if kind == "+":
        return mp.fsum(values)
    if kind == "*":
        return values[0] * values[1]
    if kind in ("/", "frac"):
        if values[1] == 0:
            raise Unread("division by zero")
        return values[0] / values[1]
    if kind == "^":
        base, exponent = values
        real = mp.re(exponent) if exponent else 0
        if base != 0 and abs(mp.log(abs(base))) * abs(exponent) > 1e5:
            raise Unread("too large")
        if base == 0 and real <= 0:
            raise Unread("0 to that power")
        if (
            mp.im(base) == 0
            and base < 0
            and term[2][0] in ("num", "/")
            and (exact := exact_value(term[2])) is not None
            and exact.denominator % 2
        ):
            # An odd root of a negative number is the real one.
            return -(abs(base) ** exponent) if exact.numerator % 2 else abs(base) ** exponent
        return base**exponent
    whole = [int(round(float(mp.re(value)))) for value in values]
    if any(abs(value - number) > 1e-9 or not 0 <= number <= MAX_FACTORIAL for value, number in zip(values, whole, strict=True)):
        # n! and binomials at the places of variables: through the gamma function, where it is small.
        if any(abs(value) > 50 for value in values):
            raise Unread("factorial")
        return mp.factorial(values[0]) if kind == "fact" else mp.binomial(*values)
    return mp.factorial(whole[0]) if kind == "fact" else mp.binomial(*whole)


def _function(name: str, value: Any, mp: Any) -> Any:
    if name in ("exp", "sinh", "cosh", "tanh", "coth") and abs(value) > 1e5:
        raise Unread("too large")
    if name == "ln" and value == 0:
        raise Unread("log of 0")
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


def agree(a: Term, b: Term) -> bool:
    """Return whether two terms have the same value wherever they are looked at."""
    exact_a, exact_b = exact_value(a), exact_value(b)
    if exact_a is not None and exact_b is not None:
        decimal = exact_a.denominator > 1 and exact_b.denominator > 1
        return exact_a == exact_b or (decimal and abs(exact_a - exact_b) <= abs(exact_a) / 10**9)
    import mpmath

    with mpmath.workdps(40):
        mp = mpmath.mp
        names = sorted(variables(a) | variables(b))
        compared = 0
        for places in _places(names, mp) if names else [{}]:
            try:
                one, other = _at(a, places, mp), _at(b, places, mp)
            except Unread:
                if not names:
                    raise
                continue
            if mp.isnan(mp.re(one)) or mp.isnan(mp.re(other)):
                continue
            if not _near(one, other, mp):
                return False
            compared += 1
        if not compared or (names and compared < 2):
            raise Unread("nowhere to compare")
        return True


def _near(one: Any, other: Any, mp: Any) -> bool:
    if mp.isinf(one) or mp.isinf(other):
        return bool(one == other)
    size = max(abs(one), abs(other))
    # 40 digits are worked with: what cancels to almost nothing is zero, and decimals may be rounded at the ninth place.
    return bool(abs(one - other) <= max(size * mp.mpf(10) ** -10, mp.mpf(10) ** -35 if size < mp.mpf(10) ** -34 else 0))


def proportional(a: Term, b: Term, *, positive: bool) -> bool:
    """Return whether two terms differ by a constant factor: then they are zero at the same places."""
    import mpmath

    with mpmath.workdps(40):
        mp = mpmath.mp
        names = sorted(variables(a) | variables(b))
        ratios = []
        for places in _places(names, mp):
            try:
                one, other = _at(a, places, mp), _at(b, places, mp)
            except Unread:
                continue
            if other == 0 or one == 0:
                if one != other:
                    return False
                continue
            ratios.append(one / other)
        if len(ratios) < 2:
            raise Unread("nowhere to compare")
        return all(_near(ratio, ratios[0], mp) for ratio in ratios) and not (positive and mp.re(ratios[0]) <= 0)


@lru_cache(maxsize=1 << 12)
def parse_term(text: str) -> Term:
    """Return the term that `text` is as a whole. Raises Unread where it is none of this grammar."""
    return _Parser(text).whole()
