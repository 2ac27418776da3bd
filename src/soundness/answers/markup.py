r"""Text without the marks that only dress it: emphasis, TeX delimiters and spacing, full-width characters.

>>> tidy(r"$\mathbf{12}\,\text{cm}^2$"), tidy("**\\$70{,}000**"), tidy(r"\frac{1}{2} \le x")
('12 cm^2', '$70,000', '\\frac{1}{2} ≤ x')
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["MAX_ANSWER", "braced", "fold", "tidy"]

MAX_ANSWER = 2000
"""Characters of a stated answer that are looked at; what is longer is no answer that could be compared."""

_FOLD = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code - 0xFEE0) not in ",.!?;"}
# Full-width forms as their plain ones, character by character, so that places in the text stay what they are. The full-width
# comma and full stop stay: between digits they separate, where a plain comma groups.
_FOLD |= {ord(mark): "-" for mark in "−–‐‑‒﹣－"}
_FOLD |= {ord(mark): '"' for mark in "“”„‟"} | {ord(mark): "'" for mark in "’‘‛"}
_FOLD |= {zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966) for digit in range(10)}  # Arabic, Persian, Devanagari
_FOLD |= {ord("\r"): " ", ord("\u00a0"): " ", ord("\u3000"): " ", ord("\u200b"): " ", ord("\ufeff"): " "}


def fold(text: str) -> str:
    """Return `text` with full-width forms, dashes, quotes and odd blanks as their plain ones; its length stays.

    >>> fold("Ａｎｓｗｅｒ：−１８")
    'Answer:-18'
    """
    return text if text.isascii() and "\r" not in text else text.translate(_FOLD)


_STYLES = (
    r"text(?:bf|it|rm|sf|tt|sc|normal|up|md)?|math(?:rm|bf|it|sf|tt|cal|frak|scr)|mbox|hbox|operatorname\*?|emph|underline|boldsymbol"
    r"|bm|bold|ensuremath|pmb"
)
_STYLED = re.compile(rf"\\(?:{_STYLES})\s*\{{([^{{}}]*)\}}")
_BARE_STYLE = re.compile(
    rf"\\(?:{_STYLES}|displaystyle|textstyle|limits|left|right|[bB]igg?[lrm]?|rm|bf|it|cal|tt|sf)(?![a-zA-Z])"
)
_NAMED = {
    "Omega": "Ω", "mu": "µ",
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥", "geq": "≥", "geqslant": "≥",
    "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "approx": "≈", "simeq": "≈", "sim": "~", "infty": "∞", "pm": "±", "mp": "∓",
    "in": "∈",
    "cup": "∪", "cap": "∩", "emptyset": "∅", "varnothing": "∅", "ldots": "…", "dots": "…", "cdots": "…", "dotsc": "…", "degree": "°",
    "circ": "°", "pi": "π", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "colon": ":", "quad": " ", "qquad": " ", "to": "→",
    "rightarrow": "→", "Rightarrow": "⇒", "implies": "⇒", "therefore": " ", "land": "∧", "wedge": "∧", "lor": "∨", "vee": "∨",
    "neg": "¬", "lnot": "¬", "setminus": "∖", "backslash": "∖", "mathbb{R}": "ℝ", "mathbb{Z}": "ℤ", "mathbb{N}": "ℕ",
    "mathbb{Q}": "ℚ",
    "mathbb{C}": "ℂ", "euro": "€", "pounds": "£", "yen": "¥", "lbrace": "\\{", "rbrace": "\\}", "lbrack": "[", "rbrack": "]",
    "prime": "'",
}  # fmt: skip
"""TeX command -> the character it stands for."""
_NAME = re.compile(rf"\\({'|'.join(sorted(map(re.escape, _NAMED), key=len, reverse=True))})(?![a-zA-Z])")
_GROUPING = re.compile(r"(?<=\d)(?:\{,\}|\\[,!;: ]|~|\\thinspace(?![a-z]))(?=\d{3}(?!\d))")
_COMPARISONS = ((">=", "≥"), ("<=", "≤"), ("!=", "≠"), ("==", "="))
_SPACING = re.compile(r"(?<!\\)\\[,;:!> ]|~|\\(?:thinspace|hspace\*?\{[^{}]*\}|hfill|\n)(?![a-z])")
_UNIT_FRACTION = re.compile(r"(?<![\^_])(?<=\s)\\frac\s?\{\s?([a-zA-Z]{1,12})\s?\}\s?\{\s?([a-zA-Z]{1,12}(?:\^\{?\d\}?)?)\s?\}")
"""12 \\frac{m}{s}, its text commands taken off, is 12 m/s; as a formula that is the same."""
_DISPLAY = re.compile(r"\\[()\[\]]")
_INLINE = re.compile(
    # TeX between dollars, by Pandoc's rule: no blank inside the dollars, no digit behind the closing one ("$5 and $7" is money).
    r"(?<![\\$\w])\$\$?(?=[^\s$])([^$\n]{1,400}?)(?<=[^\s\\])\$\$?(?!\d)"
)
_EMPHASIS = re.compile(
    r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,200}?)(?<=[^\s*])\*(?![\w*])"
    r"|(?<!\w)_(?=[^\s_])([^_\n]{1,200}?)(?<=[^\s_])_(?!\w)"
)
_BRACE = re.compile(r"[{}]")


@lru_cache(maxsize=1 << 14)
def tidy(text: str) -> str:
    r"""Return `text` without emphasis, TeX delimiters, spacing and text commands; TeX names of characters become the characters.

    A dollar sign that is left is money. What TeX has no character for (`\frac`, `\sqrt` ...) stays.

    >>> tidy("$5 and $7"), tidy(r"\(x \in \{1, 2\}\)"), tidy("*18*")
    ('$5 and $7', 'x ∈ \\{1, 2\\}', '18')
    """
    text = fold(text[:MAX_ANSWER])
    if "\\" in text:
        text = _GROUPING.sub("\u2009", text).replace("\u2009", ",") if "{,}" in text else _GROUPING.sub("\u2009", text)
        text = _DISPLAY.sub(" ", text).replace("\\%", "%").replace("\\&", "&").replace("\\#", "#").replace("\\_", "_")
        text = _NAME.sub(lambda name: _NAMED[name[1]], text)
        text = re.sub(r"\\[dtc]frac(?![a-z])", r"\\frac", text)
        text = re.sub(r"\^\s*\{?\s*°\s*\}?", "°", text)
        for _ in range(4):  # \textbf{\text{Paris}}; deeper nesting is no answer
            text, count = _STYLED.subn(r"\1", text)
            if not count:
                break
        text = _UNIT_FRACTION.sub(r"\1/\2", _BARE_STYLE.sub("", text))
        text = _SPACING.sub(" ", text)
        money = text.replace("\\$", "\x00")
    else:
        text = re.sub(r"(?<=\d)\{,\}(?=\d)", ",", text)
        money = text
    if "$" in money:
        money = _INLINE.sub(r"\1", money)
        if money.startswith("$$") or money.endswith("$$"):
            money = money.strip("$")
        if money.endswith("$") and not re.search(r"\d\s?\$$", money):
            money = money[:-1]
    text = money.replace("\x00", "$")
    if text.count("**") % 2:  # one pair of stars is left over: a power as Python writes it
        text = re.sub(r"(?<=[\w)])\*\*(?=[\d({]|-\d|[a-z]\b)", "^", text)
    for written, sign in _COMPARISONS:
        text = text.replace(written, sign)
    text = text.replace("**", "").replace("__", "").replace("`", "")
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(lambda found: found[1] or found[2], text)
    return text.strip()


def braced(text: str, start: int) -> int | None:
    """Return where the brace that was opened just before `start` is closed, or None where that is too far off or never.

    >>> braced("{a{b}c}d", 1)
    6
    """
    depth = 1
    for brace in _BRACE.finditer(text, start, start + MAX_ANSWER):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None
