from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers import states


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $y = \frac{3}{4}$", "3/4"),
        (r"so $y = \frac{3}{4}$", "0.75"),
        ("we get 12{,}500", "12500"),
        (r"we get 12\,500", "12500"),
        ("首都是东京。", "东京"),
        ("所以是12个", "12"),
        ("it is minus 8", "-8"),
        ("it is negative 8", "-8"),
        ("that makes 2.5 million", "2500000"),
        ("that is 2½ cups", "2.5"),
        (r"hence \(x^2 + 2x + 1\)", "(x+1)^2"),
        ("The CITY of Oslo wins", "Oslo"),
        ("so it is Sao Tome.", "São Tomé"),
    ],
)
def test_stated(text: str, answer: str):
    assert states(text, answer)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("it is minus 8", "8"),
        ("we get 12,500", "12"),
        ("that makes 2.5 million", "2"),
        (r"so $y = \frac{3}{4}$", "4/3"),
        ("东京塔", "大阪"),
        ("Oslofjord", "Oslo"),
        (r"hence \(x^2 + 2x\)", "(x+1)^2"),
        ("3. Next", "3"),
        ("the 3rd", "3"),
        ("", "3"),
        ("three", ""),
    ],
)
def test_not_stated(text: str, answer: str):
    assert not states(text, answer)


def test_with_options():
    options = ("cat", "cow", "12")
    assert states("答案选B", "B", options) and states("a COW", "B", options) and states("(B)", "B", options)
    assert not states("cowboys", "B", options) and not states("A dog", "A", options)


@given(st.text(max_size=60), st.text(max_size=20))
def test_never_raises(text: str, answer: str):
    assert states(text, answer) in (True, False)
