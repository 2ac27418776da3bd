from __future__ import annotations

import threading
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.formulas import is_formula, same_formula, worth


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("(x+1)^2", "x^2+2x+1"),
        ("3(x+2)", "6 + 3x"),
        (r"\frac{\sqrt{3}}{2}", r"\frac{3}{2\sqrt{3}}"),
        (r"\sqrt[3]{-27}", "-3"),
        (r"\sin^2 t + \cos^2 t", "1"),
        (r"e^{i\pi}", "-1"),
        (r"\ln x^2", r"2\ln |x|"),
        ("x**2", "x^2"),
        ("2√3", r"2\sqrt{3}"),
        (r"\pm 4", "4, -4"),
        (r"1 \pm \sqrt{2}", r"1-\sqrt{2}, 1+\sqrt{2}"),
        ("0<t<5", "(0, 5)"),
        (r"t \ge 5", r"[5, \infty)"),
        ("t<1 or t>2", r"(-\infty,1)\cup(2,\infty)"),
        ("t > 1 and t < 3", "(1, 3)"),
        ("|t| < 3", "(-3, 3)"),
        (r"t \ne 0", r"(-\infty,0)\cup(0,\infty)"),
        ("{3, 1, 2}", "1, 2, 3"),
        ("x=1, y=2", "(1, 2)"),
        ("y = 2x + 1", "2x + 1"),
        ("y = 2x + 1", "y - 2x - 1 = 0"),
        ("2x + 2y = 4", "x + y = 2"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}"),
        (r"0.\overline{12}", r"\frac{4}{33}"),
        (r"\text{no solution}", r"\emptyset"),
        (r"2\sqrt{3}\text{ cm}", r"2\sqrt3"),
        (r"\tan 45^\circ", "1"),
        (r"a_1 + a_2", "a_2+a_1"),
        (r"\frac{n!}{(n-1)!}", "n"),
    ],
)
def test_the_same(a: str, b: str):
    assert same_formula(a, b) is True and same_formula(b, a) is True


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("x", "-x"),
        ("x^2", "x^3"),
        ("3x", "3"),
        ("x", "y"),
        (r"\sqrt{x^2}", "x"),
        (r"\frac{1}{2^{98}}", r"\frac{1}{2^{99}}"),
        (r"10^{-40}", "0"),
        ("3.1416", r"\pi"),
        ("(1, 2)", "(2, 1)"),
        ("(1, 2)", "[1, 2]"),
        ("1, 2", "1, 2, 3"),
        ("x < 3", r"x \le 3"),
        ("x < 3", "x > 3"),
        (r"x \ne 2", r"x \ne 3"),
        (r"\pm 4", "4"),
        ("x + y = 2", "x + y = 3"),
        (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}\text{ m}"),
        (r"4\sqrt(2)", "4"),
    ],
)
def test_not_the_same(a: str, b: str):
    assert same_formula(a, b) is False and same_formula(b, a) is False


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("9^{9^{9^{9}}}", "9"),
        ("99999!", "9"),
        ("9!!", "3"),
        (r"1, 2, \ldots, n", r"1, 3, \ldots, n"),
        (r"\foo{3}", "3"),
        ("(" * 100 + "x" + ")" * 100, "x"),
        ("x" * 400, "y"),
        ("3 +", "3"),
        (r"\frac{3}{", "3"),
        ("x / 0", "x"),
    ],
)
def test_what_cannot_be_read_is_not_compared(a: str, b: str):
    assert same_formula(a, b) is None and same_formula(b, a) is None
    assert same_formula(a, a) is True  # as written


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7!", 5040),
        (r"\binom{6}{2}", 15),
        (r"{6 \choose 2}", 15),
        ("2^10", 1024),
        ("2^{-3}", Fraction(1, 8)),
        (r"\sqrt{49}", 7),
        (r"\gcd(12, 18)", 6),
        (r"\max(3, 5, 4)", 5),
        (r"17 \bmod 5", 2),
        (r"\lfloor 7.9 \rfloor", 7),
        ("|-7|", 7),
        ("3*4 - 5", 7),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        ("sqrt(2)", None),
        ("x", None),
        ("7 apples", None),
        ("9^9^9", None),
    ],
)
def test_what_a_formula_is_worth(text: str, value: int | Fraction | None):
    assert worth(text) == value


@pytest.mark.parametrize("text", ["x^2", r"\frac{1}{2}", "a+b", "2x", "(3, 4)", "x < 3", "√2", "10!", r"\sin x", "1, 2, 3"])
def test_written_as_a_formula(text: str):
    assert is_formula(text)


@pytest.mark.parametrize(
    "text", ["Paris", "well-known", "H2O", r"\text{East}", "18 dollars", "C++", "yes", "A", "vitamin B12", "3 apples"]
)
def test_written_in_words(text: str):
    assert not is_formula(text)


def test_integrals_go_through_math_verify():
    assert same_formula(r"\int_0^3 x\,dx", r"\frac{9}{2}") is True
    assert same_formula(r"\int_0^3 x\,dx", "4") is False


def test_terms_compare_in_other_threads_too():
    results: list[bool | None] = []
    thread = threading.Thread(target=lambda: results.append(same_formula(r"\sqrt{8}", r"2\sqrt{2}")))
    thread.start()
    thread.join()
    assert results == [True]


terms = st.recursive(
    st.sampled_from(["x", "y", "2", "3", "5", r"\pi"]),
    lambda inner: (
        st.builds("({}{}{})".format, inner, st.sampled_from(["+", "-", "*"]), inner)
        | st.builds(r"\frac{{{}}}{{7}}".format, inner)
    ),
    max_leaves=5,
)


@given(terms, terms)
def test_rearranging_changes_nothing(a: str, b: str):
    assert same_formula(f"{a} + {b}", f"{b} + {a}") is True
    assert same_formula(f"{a} + {b} + 1", f"{b} + {a}") is False


@given(
    st.text(alphabet=r"xy12+-*/^(){}[]\,.=<>|!√π±∞ frac sqrt", max_size=40), st.text(alphabet="xy12+-*/^()=<>,", max_size=20)
)
def test_no_text_does_harm(a: str, b: str):
    assert same_formula(a, b) == same_formula(b, a)
