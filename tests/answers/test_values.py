from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.values import equal_values, find_values, read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("31", 31),
        ("-31", -31),
        ("- 31", -31),
        ("minus 31", -31),
        ("negative thirty-one", -31),
        ("3.1e3", 3100),
        ("3.1 million", 3_100_000),
        ("3.1 x 10^4", 31_000),
        ("6²", 36),
        ("3.100,50 €", Fraction(6201, 2)),
        ("3,1", Fraction(31, 10)),
        ("3 100 000", 3_100_000),
        ("31,00,000", 3_100_000),
        ("3'100", 3100),
        ("3_100", 3100),
        ("31%", 31),
        ("31 m^2", 31),
        ("3½", Fraction(7, 2)),
        ("3 and 1/2", Fraction(7, 2)),
        (r"3\frac{1}{2}", Fraction(7, 2)),
        (r"\frac{31}{4}", Fraction(31, 4)),
        ("$31k", 31_000),
        ("three hundred and one", 301),
        ("one and a half", Fraction(3, 2)),
        ("two thirds", Fraction(2, 3)),
        ("三十一", 31),
        ("31个苹果", 31),
        ("31st", 31),
        ("0,031", Fraction(31, 1000)),
        ("0.333...", Fraction(1, 3)),
        ("0.1666…", Fraction(1, 6)),
        ("about 31", 31),
        ("31 red apples", 31),
        ("31 (apples)", 31),
    ],
)
def test_what_a_number_is_worth(text: str, value: int | Fraction):
    found = read_value(text)
    assert found is not None and found.kind == "number"
    assert found.amounts[0].value == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3:4", "ratio"),
        ("3 to 4", "ratio"),
        ("3-4 days", "range"),
        ("between 3 and 4", "range"),
        ("more than 3", "bound"),
        ("3 or more", "bound"),
        ("3+", "bound"),
        ("≥ 3", "bound"),
        ("3 remainder 1", "division"),
        ("2021-03-05", "date"),
        ("March 5, 2021", "date"),
        ("4:45 pm", "time"),
        ("noon", "time"),
    ],
)
def test_what_is_no_number(text: str, kind: str):
    found = read_value(text)
    assert found is not None and found.kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3x",
        "(3, 4)",
        "±3",
        "3 + a",
        "3 or 4",
        "3/0",
        "3.1.4",
        "1,2,3",
        "3π",
        "7 Up",
        "Apollo 13",
        "H2O",
        "x4",
        "3.14159...",
        "e",
        "-",
    ],
)
def test_what_is_no_value_at_all(text: str):
    assert read_value(text) is None


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("3 hours", "180 minutes", True),
        ("3 hours", "3 minutes", False),
        ("3 hours", "3", True),
        ("3 hours 30 minutes", "3.5 hours", True),
        ("3 hours 30 minutes", "3 hours", False),
        ("12 km", "12 cm", False),
        ("$3", "3 euros", False),
        ("300 cents", "$3", True),
        ("5 pounds", "£5", True),
        ("5 pounds", "5 lbs", True),
        ("20%", "0.2", True),
        ("20%", "20", True),
        ("20%", "0.2%", False),
        ("20 % of them", "1/5", True),
        ("3 to 4", "3-4", True),
        ("3:4", "6:8", True),
        ("3:4", "3/4", True),
        ("3:4", "4:3", False),
        ("3-4", "3:4", False),
        ("3-4", "-1", False),
        ("more than 3", "3", False),
        ("at least 3", "3 or more", True),
        ("2021-03-05", "5 March 2021", True),
        ("3/5/2021", "March 5, 2021", True),
        ("3/5/2021", "5 March 2022", False),
        ("16:45", "4:45 pm", True),
        ("4:45 am", "4:45 pm", False),
        ("3 dozen", "36", True),
        ("3 dozen", "3", True),
        ("3 million", "3", False),
        ("72 km/h", "20 m/s", True),
        ("30 m", "30 m^2", False),
        ("0.3333333333", "1/3", True),
        ("0.333", "1/3", False),
        ("9 remainder 1", "9", False),
    ],
)
def test_which_are_the_same(a: str, b: str, same: bool):
    one, other = read_value(a), read_value(b)
    assert one is not None and other is not None
    assert equal_values(one, other) is same and equal_values(other, one) is same


def test_a_language_with_decimal_commas():
    def worth(text: str) -> Fraction:
        found = read_value(text, comma=True)
        assert found is not None
        return found.amounts[0].value

    assert (worth("1.250"), worth("1,250"), worth("0.250")) == (1250, Fraction(5, 4), Fraction(1, 4))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1. He pays $1,200 for 3½ kg", ["$1,200", "3½ kg"]),
        ("Step 2: 5 - 3 = 2", ["5", "3", "2"]),
        ("x = -5, but 3-4 = -1", ["-5", "3", "4", "-1"]),
        ("at 4:30 pm on the 5th, x4 of H2O", []),
        ("it is minus 5", ["minus 5"]),
        (r"so \frac{1}{2} of 30%", [r"\frac{1}{2}", "30%"]),
        ("1.5 million in 1,2,3", ["1.5 million", "1", "2", "3"]),
    ],
)
def test_numbers_in_prose(text: str, found: list[str]):
    assert [text[value.start : value.stop] for value in find_values(text)] == found


@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_fractions_compare_as_fractions(a: Fraction, b: Fraction):
    one, other = read_value(str(a)), read_value(f"{b.numerator}/{b.denominator}")
    assert one is not None and other is not None
    close = a != b and a.denominator > 1 and b.denominator > 1 and abs(a - b) <= abs(a) / 10**9
    assert equal_values(one, other) is (a == b or close)


@given(st.integers(0, 10**15), st.sampled_from(["{:,}", "{:_}", "{}", "{}.0", "+{}", "${:,}"]))
def test_every_way_of_grouping_reads_back(number: int, form: str):
    found = read_value(form.format(number))
    assert found is not None and found.amounts[0].value == number
