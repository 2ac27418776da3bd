"""Answers in words, options, and the one notion of equality."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers import same_answer
from soundness.answers.choices import Choice, read_choice, read_conclusion, read_last_line
from soundness.answers.equality import compare, letter_of, option_of
from soundness.answers.texts import alternatives, binary, core, plain, same_text

from .tables import KINDS

PLANETS = ("mercury", "venus", "earth", "mars")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Oslo", "oslo.", True),
        ("The Beatles", "Beatles", True),
        ("U.S.A.", "USA", True),
        ("J. R. R. Tolkien", "J.R.R. Tolkien", True),
        ("São Tomé", "Sao Tome", True),
        ("well-known", "well known", True),
        ("rock & roll", "rock and roll", True),
        ("CO_2", "CO2", True),
        ("Oslo (Norway)", "Oslo", True),
        ("Oslo, which is in Norway", "Oslo", True),
        ("it is Oslo", "Oslo", True),
        ("北京。因为它是首都", "北京", True),
        ("yes", "True", True),
        ("Oslo and Bergen", "Oslo", False),
        ("Oslofjord", "Oslo", False),
        ("not Oslo", "Oslo", False),
        ("-x", "x", False),
        ("x'", "x", True),
        ("A - B", "A + B", False),
        ("A∪B", "A∩B", False),
        ("!p", "p", False),
        ("O2-", "O2", False),
        ("C++", "C#", False),
        ("> )", "> ]", False),
        ("3-2", "3:2", False),
        ("Mercury (planet)", "Mercury (element)", False),
        ("yes", "no", False),
    ],
)
def test_words(a: str, b: str, same: bool):
    assert same_text(a, b) is same and same_text(b, a) is same


def test_pieces_of_a_sentence():
    assert core("It is Oslo, the capital of Norway") == "Oslo"
    assert core("Lisbon - on the Tagus") == "Lisbon"
    assert plain("The Cat!") == "cat" and plain("the") == "the"
    assert [binary(word) for word in ("Yes.", "FALSE", "是", "nein", "yes or no")] == [True, False, True, False, None]
    assert alternatives("['a', 'b']") == ("a", "b") and alternatives("[1, 2]") == ("[1, 2]",)
    assert [letter_of(text) for text in ("(B)", "B. venus", "B - venus", "b", "A dog", "A-", "C++", "(A) no (B) yes")] == [
        ("B", ""),
        ("B", "venus"),
        ("B", "venus"),
        None,
        None,
        None,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("7", "7.0", True),
        ("$7", "7 dollars", True),
        ("1/2", r"\frac{2}{4}", True),
        ("x = 5", "5", True),
        ("(B)", "B. venus", True),
        ("['7', 'seven']", "seven", True),
        ("1,2", "2, 1", True),
        ("1,2", "1.2", True),
        ("> 3", "x > 3", True),
        ("22/7 ≈ 3.14", "3.14", True),
        ("42", "142", False),
        ("3x", "3", False),
        ("A. neon", "A. argon", False),
        ("2021-12-25", "1984", False),
        ("0.6667", "2/3", False),
        ("7 apples", "7 apples and 2 pears", False),
        ("B", "C", False),
    ],
)
def test_answers(a: str, b: str, same: bool):
    assert same_answer(a, b) is same and same_answer(b, a) is same


def test_what_cannot_be_compared_is_neither():
    assert compare(r"\foo{3}", "3") is None and compare("9^{9^{9^{9}}}", "9") is None
    assert not same_answer(r"\foo{3}", "3")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("b", "B"),
        ("Venus", "B"),
        ("the venus", "B"),
        ("B. venus", "B"),
        ("②", "B"),
        ("B. earth", None),
        ("E", None),
        ("pluto", None),
        ("", None),
        ("venus or earth", None),
    ],
)
def test_whole_options(text: str, letter: str | None):
    assert option_of(text, PLANETS) == letter


@pytest.mark.parametrize(
    ("choices", "text", "letter"),
    [
        (("-3", "3", "6"), "3", "B"),
        (("-3", "6"), "3", None),
        (("> 3", "< 3"), "< 3", "B"),
        (("2x", "-2x"), "-2x", "B"),
        (("0.25", "0.50"), r"\frac{1}{2}", "B"),
        (("10 m/s", "12 m/s"), "12", "B"),
        (("3", "none of the above"), "None of the above.", "B"),
        (("A", "B", "AB", "O"), "AB", "C"),
        (("1,000", "10,000"), "10000", "B"),
        (("cat", "cat"), "cat", None),
    ],
)
def test_an_option_is_what_it_says(choices: tuple[str, ...], text: str, letter: str | None):
    assert option_of(text, choices) == letter


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I think it is C", Choice("C")),
        ("most likely option C", Choice("C")),
        ("C because B is too hot", Choice("C")),
        ("not B but C", Choice("C")),
        ("the planet earth", Choice("C")),
        ("B or C", Choice(None)),
        ("(A), (B), or (C)", Choice(None)),
        ("C. mars", Choice(None)),
        ("I do not know", Choice(None)),
        ("not B", None),
        ("pluto", None),
        ("A body that moves", None),
    ],
)
def test_what_a_sentence_says_of_options(text: str, said: Choice | None):
    assert read_choice(text, PLANETS) == said


def test_texts_that_state_nothing_outright():
    assert read_last_line("So, earth.", PLANETS) == "C"
    assert read_last_line("It's C.", PLANETS) == "C"
    assert read_last_line("The statement is false.", ("True", "False")) == "B"
    assert read_last_line("Earth has one moon.", PLANETS) is None
    concluded = read_conclusion("Venus is hot. Thus the most likely planet is earth.", PLANETS)
    assert concluded is not None and concluded[0] == "C"
    assert read_conclusion("Therefore it is not earth.", PLANETS) is None
    assert read_conclusion("Therefore it is earth or mars.", PLANETS) is None


texts = st.text(max_size=25) | st.sampled_from([row.reference for rows in KINDS.values() for row in rows])


@given(texts, texts)
def test_equality_is_symmetric_and_never_raises(a: str, b: str):
    assert compare(a, b) == compare(b, a)
    assert same_answer(a, b, PLANETS) == same_answer(b, a, PLANETS)


@given(texts)
def test_everything_equals_itself(a: str):
    assert same_answer(a, a) and same_answer(a, f" {a}\n")
