from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.numbers import as_number, find_numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3 + 4 = 7", ["3", "4", "7"]),
        ("3+4=7", ["3", "4", "7"]),
        ("16 - 3 = 13", ["16", "3", "13"]),
        ("16-3=13", ["16", "3", "13"]),
        ("16 -3 = 13", ["16", "3", "13"]),
        ("it is -3", ["-3"]),
        ("= −3 degrees", ["−3"]),
        ("he has -$5 and owes $3", ["-$5", "3"]),
        ("$8-$5", ["8", "5"]),
        ("(2)-4 and x-4", ["2", "4", "4"]),
        ("It costs $1,200.50.", ["1,200.50"]),
        ("1,2,3", ["1", "2", "3"]),
        ("1,2345", ["1", "2345"]),
        ("Ends with 5.", ["5"]),
        (".5 of it", [".5"]),
        ("version 1.2.3", ["1.2"]),
        ("x4 and H2O", []),
        ("the 4th of 30 days", ["30"]),
        ("at 4:30", []),
        ("540m or 50%", ["540", "50"]),
        ("1. He has 3", ["3"]),
        ("  - 2) Take 7", ["7"]),
        ("Step 2: take 7\nStep 3: 9", ["7", "9"]),
        ("**Step 2:** 7", ["7"]),
        ("14. ", ["14"]),
        ("等于4个", ["4"]),
        ("٤ and ² are none of ours", []),
        ("", []),
    ],
)
def test_numbers_are_found_as_people_read_them(text, expected):
    assert [number.text for number in find_numbers(text)] == expected


@given(st.text(alphabet="0123456789.,-+= ax\n()$%", max_size=40))
def test_a_number_is_the_text_between_its_ends(text):
    stop = 0
    for number in find_numbers(text):
        assert number.start >= stop
        assert text[number.start : number.stop] == number.text
        assert Fraction(number.text.replace(",", "").replace("−", "-").replace("$", "")) == number.value
        stop = number.stop


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        (" 18. ", 18),
        ("$70,000", 70000),
        ("-$5", -5),
        ("$-129025", -129025),
        ("50%", 50),
        ("50\\%", 50),
        ("51.0", 51),
        ("1/2", Fraction(1, 2)),
        ("18 dollars", 18),
        ("18 square feet.", 18),
        ("1/0", None),
        ("3x", None),
        ("3 + 4", None),
        ("1 or 2", None),
        ("3:45", None),
        ("(3, 4)", None),
        ("A", None),
        ("H2O", None),
        ("", None),
        ("...", None),
    ],
)
def test_an_answer_is_one_number_or_none(text, value):
    assert as_number(text) == value
