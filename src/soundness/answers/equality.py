r"""The one notion of equality: whether two answers are the same.

Options compare as options, values by what they are worth, formulas as what they are, other text without case, articles and closing
marks. Part of an answer is not the answer.

>>> same_answer("51.0", "$51"), same_answer("42", "142"), same_answer("1/2", r"\frac{2}{4}"), same_answer("-x", "x")
(True, False, True, False)
>>> same_answer("B", "venus", ["mercury", "venus", "earth"])
True
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from soundness.answers.formulas import is_formula, same_formula
from soundness.answers.markup import MAX_ANSWER, tidy
from soundness.answers.texts import alternatives, plain, same_text
from soundness.answers.values import Value, equal_values, read_value
from soundness.records import LETTERS

__all__ = ["compare", "letter_of", "option_of", "same_answer"]

_LETTER = re.compile(
    # "B", "(B)", "B.", "**(b)**", "option B", "B. venus", "(B) venus", "B: venus", "选项B": the letter, and what follows it.
    r"(?:(?:option|choice|answer|letter|选项|選項|選択肢|보기|Option|opción|réponse)\s*)?"
    r"(?P<open>[(\[]?)\s*(?P<letter>[A-Za-z])\s*(?P<close>[)\]]?)(?P<mark>[.:)]|\s-(?=\s)|)(?:(?P<gap>\s+|(?<=[.:)\]]))(?P<rest>\S.*))?",
    re.DOTALL,
)


def letter_of(text: str) -> tuple[str, str] | None:
    """Return the option letter that `text` consists of or opens with, and what stands after it; None where it is no such label.

    >>> letter_of("(B)"), letter_of("B. venus"), letter_of("b"), letter_of("A dog")
    (('B', ''), ('B', 'venus'), None, None)
    """
    bare = tidy(text).strip().strip("\"'").strip()
    found = _LETTER.fullmatch(bare)
    if found is None:
        return None
    marked = bool(found["close"] or found["mark"])
    if found["rest"] and (not marked or re.match(r"[,;/&+)\]=]|(?:or|and|nor)\b", found["rest"])):
        return None
    if found["rest"] and re.search(r"[(\[][A-Z][)\]]", found["rest"]):
        return None  # (A) no (B) yes
    if found["letter"].islower() and not (found["open"] and found["close"]) and not (marked and found["rest"]):
        return None
    return found["letter"].upper(), (found["rest"] or "").strip()


_CIRCLED = "①②③④⑤⑥⑦⑧⑨"


def _small_letter(text: str) -> str | None:
    """Return the letter that a lower-case label alone names: "b", "b)"."""
    bare = tidy(text).strip(" .*\"'()[]:")
    if bare in _CIRCLED:
        return LETTERS[_CIRCLED.index(bare)] if bare else None
    return bare.upper() if len(bare) == 1 and bare.isascii() and bare.isalpha() else None


def same_answer(a: str, b: str, choices: Sequence[str] | None = None) -> bool:
    """Return whether two answers are the same; symmetric, never raises. `choices`: the options, where there are any."""
    return bool(compare(a, b, choices))


def compare(a: str, b: str, choices: Sequence[str] | None = None) -> bool | None:
    """Return whether two answers are the same, or None where one of them is a formula that cannot be read or worked out."""
    if choices is not None:
        one, other = option_of(a, choices), option_of(b, choices)
        return one is not None and one == other
    return _compare(a, b)


@lru_cache(maxsize=1 << 15)
def _compare(a: str, b: str) -> bool | None:
    if a.strip() == b.strip():
        return True
    if max(len(a), len(b)) > MAX_ANSWER:
        return False
    several = alternatives(a), alternatives(b)
    if len(several[0]) > 1 or len(several[1]) > 1 or several != ((a,), (b,)):
        found = [_compare(one, other) for one in several[0] for other in several[1]]
        return True if True in found else None if None in found else False
    one, other = read_value(a), read_value(b)
    if one is not None and other is not None:
        if equal_values(one, other):
            return True
        # "3,5" is three and a half or a pair of numbers.
        return "," in a and "," in b and same_formula(a, b) is True
    if one is not None or other is not None:
        value, text, written = (one, b, a) if one is not None else (other, a, b)
        assert value is not None
        return _value_against(value, written, text)
    labels = letter_of(a), letter_of(b)
    if labels[0] is not None and labels[1] is not None and (len(a.strip()) > 1 or len(b.strip()) > 1):
        if labels[0][0] != labels[1][0]:
            return False
        return not (labels[0][1] and labels[1][1]) or same_text(labels[0][1], labels[1][1])
    formulas = is_formula(a), is_formula(b)
    if any(formulas):
        same = same_formula(a, b)
        if same is not None:
            return same
        if same_text(a, b):
            return True
        if not re.search(r"\w", a + b):
            return False  # brackets and signs alone
        return None if all(formulas) or "\\" in a + b else False
    return same_text(a, b)


def _value_against(value: Value, written: str, text: str) -> bool | None:
    """Return whether a value is what `text`, which is none, says: a formula that comes to it, or the same in words."""
    if value.kind == "bound" and is_formula(text):
        name = re.search(r"[a-zA-Z]", tidy(text))
        amount = value.amounts[0].value
        relation = {"<=": "≤", ">=": "≥", "!=": "≠"}.get(str(value.parts[0]), str(value.parts[0]))
        return same_formula(f"{name[0] if name else 'x'} {relation} {amount}", text)
    if is_formula(text) or "\\" in text:
        if "," in written and same_formula(written, text):
            return True  # "1,2" is 1.2 or a pair
        if value.kind == "number" and value.amounts[0].unit is None and not value.words:
            return same_formula(_as_formula(value, written), text)
        same = same_formula(written, text)
        return same if same is not None or value.kind == "number" else False
    return same_text(written, text)


def _as_formula(value: Value, written: str) -> str:
    """Return a number as a formula: as written where the grammar of formulas writes it so too, else as a fraction."""
    exact = value.amounts[0].value
    return written if re.fullmatch(r"\s*-?\d+(?:\.\d+)?\s*", written) else f"({exact.numerator})/({exact.denominator})"


# --- options ----------------------------------------------------------------------------------------------------------


def option_of(text: str, choices: Sequence[str]) -> str | None:
    r"""Return the letter of the option that `text` is as a whole, or None where it is none or could be several.

    Its letter, its letter with its text, its text, or what it is worth. An option's own text goes before any other reading.

    >>> options = ["10 m/s", "12 m/s", r"$\frac{1}{2}$", "none of the above"]
    >>> [option_of(text, options) for text in ("B", "b)", "(B) 12 m/s", "12", "0.5", "None of the above.", "E", "(B) 10 m/s")]
    ['B', 'B', 'B', 'B', 'C', 'D', None, None]
    """
    return _option_of(text, tuple(choices))


@lru_cache(maxsize=1 << 14)
def _option_of(text: str, choices: tuple[str, ...]) -> str | None:
    # A text much longer than any option is none of them; most sentences end here.
    if not text.strip() or len(text) > 3 * max(map(len, choices), default=0) + 60:
        return None
    letters = LETTERS[: len(choices)]
    label = letter_of(text)
    if label is not None and label[0] in letters and not label[1]:
        return label[0]
    if label is not None and label[0] in letters:
        named = _by_text(label[1], choices)
        if named and label[0] not in named:
            return _single(_by_text(text, choices))  # "(B) 10 m/s" names two options, unless it is the text of one
        if named:
            return label[0]
    whole = _by_text(text, choices)
    if whole:
        return _single(whole)
    small = _small_letter(text)
    if small is not None and small in letters:
        return small
    if label is not None and label[0] in letters:
        return label[0]
    return _single(_by_worth(text, choices))


def _single(letters: str) -> str | None:
    return letters if len(letters) == 1 else None


def _by_text(text: str, choices: tuple[str, ...]) -> str:
    """Return the letters of the options whose text is `text`: exactly so, or else but for case, articles and closing marks."""
    bare = tidy(text).strip(" .")
    exact = "".join(LETTERS[index] for index, choice in enumerate(choices[: len(LETTERS)]) if tidy(choice).strip(" .") == bare)
    if exact:
        return exact
    wanted = plain(text)
    return "".join(LETTERS[index] for index, choice in enumerate(choices[: len(LETTERS)]) if wanted and plain(choice) == wanted)


def _by_worth(text: str, choices: tuple[str, ...]) -> str:
    """Return the letters of the options that are the same answer as `text`."""
    if len(text) > 120:
        return ""
    return "".join(LETTERS[index] for index, choice in enumerate(choices[: len(LETTERS)]) if _compare(choice, text))
