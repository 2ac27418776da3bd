"""Sentences and worked equations. Each case is written with "¦" where another one starts; the character is part of no case."""

from __future__ import annotations

import pytest

from soundness.chains.sentences import equation_starts, has_equation, link_starts, sentence_starts
from soundness.chains.steps import split_steps, step_texts


def marked(text: str, places) -> str:
    edges = [0, *places, len(text)]
    return "¦".join(text[start:stop] for start, stop in zip(edges, edges[1:], strict=False))


SENTENCES = [
    # titles, mountains, months, units
    "Dr. Wu and Prof. Li saw Mt. Blanc.¦ Capt. Ray did not.",
    "On Feb. 3 they left.¦ They came back in Nov.¦ The end.",
    "From Mon. to Fri. she works.¦ On Sat. she sleeps.",
    "It is 5 ft. 3 in. tall and weighs 12 lb. at most.¦ Good.",
    "Half of 10 lbs. is 5 lbs.¦ Then we add 3.",
    "They all came in.¦ 5 more followed.",
    "He sat.¦ 5 people stood.¦ The sun.¦ 3 clouds.",
    # countries, initials, letters
    "The U.S. Army is in the U.K. as well.¦ She left the U.S.¦ Then she came back.",
    "J. R. R. Tolkien wrote it.¦ Read it.",
    "Plan B.¦ Then plan C.",
    "Acme Inc. sells tea, Acme Ltd. jam.¦ Acme Corp.¦ They merged.",
    # times
    "At 3 p.m. he ate.¦ At 5 p.m.¦ Then he slept from 9 p.m. to 6 a.m.",
    # Latin, references
    "Take fruit, i.e. pears, cf. Fig. 3 and Eq. 2.¦ See Sec. 4 too.",
    "Wu et al. say so.¦ See pp. 3 and 4, No. 7.",
    "It costs Rs. 500, see p. 7 and c. 1900.¦ Ft. Worth is in the U.S.¦ They drove.",
    "She has a B.Sc. in law.¦ On Sat. Jan. 5 she got her Ph.D.¦ Then she left.",
    '"Why?" he asked.¦ "Stop!" she said.¦ Yahoo! is a name.',
    # numbers
    "It is 3.14159 or .5 of it, in v1.2.3.¦ Then 5.¦ Then 6.0.",
    "1. Add 2 to it.¦ 2. Stop.",
    "1. Add, then 2. halve it.¦ 3. Stop.",
    # German, French, Spanish
    "Das sind z.B. drei, d.h. bzw. vier.¦ Am 5. Mai sind es fünf.",
    "M. Petit et Mme. Petit viennent.¦ Fin.",
    # the blank that was forgotten
    "So it is 7.¦Then we halve it.¦The rest is 3.",
    "Call Math.Round and Node.js now.¦ Done.",
    # scripts without blanks, other marks
    "第一步，加起来。¦第二步！¦好？¦完",
    "全部で７．５個です。¦次に進みます。",
    "「はい。」¦と言った。¦おわり",
    "यह सात है।¦ फिर चौदह।¦ बस",
    "هذا سبعة۔¦ ثم ثمانية؟¦ نعم",
    "ဒါ ခုနစ်။¦နောက်ထပ်",
    "เรามีเจ็ด¦ แล้วคูณสอง¦ ได้สิบสี่",
    # marks that end none
    "He has 2, 3, ... and 9.¦ Wait...¦ Now go.",
    "5! = 120.¦ Is it?¦ (Yes.)¦ 'Good.'¦ End",
    # steps numbered in one line
    "Step 1: two and six make eight¦ Step 2: half of it is four¦ Step 3) done",
    "The next step 2 is easy and so is a step",
]


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences(case):
    text = case.replace("¦", "")
    assert marked(text, sentence_starts(text, 0, len(text))) == case


EQUATIONS = [
    "2 + 6 = 8,¦ then 8 / 2 = 4",
    "2 + 6 = 8;¦ 8 / 2 = 4;¦ 4 - 1 = 3",
    "2 + 6 = 8¦ and 8 / 2 = 4",
    "2 + 6 = 8 ->¦ 8 / 2 = 4 =>¦ 4 - 1 = 3",
    "$2 + 6 = 8$,¦ so $8 \\div 2 = 4$",
    "1,200 + 300 = 1,500,¦ and 1,500 / 5 = 300",
    "2＋6＝8，¦8÷2＝4",
    "6 times 2 = 12,¦ 12 minus 5 = 7",
    "x + 4 = 11,¦ so x = 7",
    "Adding 6 to 2 gives 8,¦ then taking 4 from 8 leaves 4",
    "2 plus 6 is 8,¦ and 8 minus 4 is 4",
    "Half of 8 makes 4;¦ 3 times 4 equals 12",
    "6 zu 2 addiert ergibt 8,¦ dann 4 von 8 abgezogen ergibt 4",
    "1. 2 + 6 = 8;¦ 2. 8 / 2 = 4",
    # none to cut
    "2 + 6 = 8, so she has 8 apples, and that is it",
    "x = 3, y = 4, z = 5",
    "f(2 + 6 = 8, 8 / 2 = 4)",
    "if a >= 2, b <= 3 and c != 4, d == 5",
    "3, 4, 5 and 6 make 18",
    "She makes 3 cakes, he leaves 4 of them, and she is 5",
    "It gives 4, then it gives 5",
    "2 + 6 = 8",
]


@pytest.mark.parametrize("case", EQUATIONS)
def test_equations(case):
    text = case.replace("¦", "")
    assert marked(text, equation_starts(text, 0, len(text))) == case


LINKS = [
    "2 * (3 + 4) = 2 * 7¦ = 14",
    "2 + 6 = 8 / 2¦ = 4 - 1¦ = 3",
    "10 % of 30 = 0.1 \\cdot 30¦ = 3",
    "\\frac{6}{2} + 1 = 3 + 1¦ = 4",
    "3 × 4 ＝ 12 − 2¦ ＝ 10",
    "x = y = 3",
    "2 + 6 = 8",
    "12 = 12 = twelve",
    "a + b = b + a = c",
]


@pytest.mark.parametrize("case", LINKS)
def test_links_of_a_chain_of_equals_signs(case):
    text = case.replace("¦", "")
    assert marked(text, link_starts(text, 0, len(text))) == case


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so 2 + 6 = 8", True),
        ("half of it, 8 \\div 2 = 4", True),
        ("２＋６＝８", True),
        ("6 plus 2 = 8", True),
        ("20 % of 30 ≈ 6", True),
        ("Subtracting 2 from 7 leaves 5", True),
        ("3 plus 4 is 7", True),
        ("the answer is 7", False),
        ("there are 3 and 4", False),
        ("it gives 7", False),
        ("let x = 3", False),
        ("2 + 6 apples", False),
        ("a + b => c", False),
        ("x >= 2 + 6", False),
        ("", False),
    ],
)
def test_worked_equations(text, expected):
    assert has_equation(text) is expected


ONE_LINE = [
    "2 + 6 = 8,¦ then 8 / 2 = 4,¦ then 4 - 1 = 3, so the answer is 3.",
    "She has 2 + 6 = 8 apples.¦ Half of them is 8 / 2 = 4.¦ So 4.",
    "(2 + 6) / 2 - 1 = 8 / 2 - 1¦ = 4 - 1¦ = 3",
    "她有2 + 6 = 8个苹果。¦一半是8 / 2 = 4个。¦所以答案是4。",
    "Step 1: 2 + 6 = 8¦ Step 2: 8 / 2 = 4¦ Step 3: 4 - 1 = 3",
    "2 and 6 make eight and half of it is four",
]


@pytest.mark.parametrize("case", ONE_LINE)
@pytest.mark.parametrize("ending", ["", "\n¦Answer: 3"])
def test_one_line_is_cut_into_its_steps(case, ending):
    text = (case + ending).replace("¦", "")
    pieces = list(text)
    assert "¦".join(step_texts(pieces, split_steps(pieces))) == case + ending


def test_two_equations_a_line_are_the_steps_that_one_a_line_are():
    one = "2 + 6 = 8\n8 / 2 = 4\n4 - 1 = 3\n3 * 5 = 15\nAnswer: 15"
    two = "2 + 6 = 8, 8 / 2 = 4\n4 - 1 = 3, 3 * 5 = 15\nAnswer: 15"
    steps = [step_texts(list(text), split_steps(list(text))) for text in (one, two)]
    assert [[part.strip(" \n,") for part in parts] for parts in steps][0] == [part.strip(" \n,") for part in steps[1]]


def test_a_long_line_among_short_ones_is_cut_into_sentences():
    long = "This is the one line of this chain that goes on and on and on. " * 4
    text = f"a\nb\n{long}\nc\nd"
    assert len(split_steps(list(text))) == 8
