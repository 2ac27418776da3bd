from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers import grade, read_answer, same_answer
from soundness.answers.numbers import find_numbers
from soundness.answers.reader import conclusion_start
from soundness.answers.values import read_value
from soundness.records import Finish, Outcome, Problem

from .tables import KINDS, Row

METALS = ("a dog", "oak tree", "vitamin C", "red")
SHORT = ("yes", "no", "maybe")
TRUTH = ("True", "False")


def ask(answer: str | None, choices: tuple[str, ...] | None = None) -> Problem:
    return Problem("1", "?", answer, choices=choices)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 18", "18"),
        ("The answer is 18.", "18"),
        ("the answer is: 18", "18"),
        ("**Answer:** 18", "18"),
        ("**Answer**: **18**", "18"),
        ("Final Answer: 18", "18"),
        ("Final answer 18", "18"),
        ("So, the final answer is $18$.", "18"),
        ("#### 18", "18"),
        (r"\boxed{18}", "18"),
        (r"The answer is \(\boxed{18}\) dollars.", "18"),
        ("Answer:\n18", "18"),
        ("Answer: 18 dollars per day for 5 days", "18"),
        ("Answer: 18%", "18"),
        ("Answer: $70,000", "70000"),
        ("Answer: 70000.00", "70000"),
        ("Answer: 70{,}000", "70000"),
        ("Answer: 51", "51.0"),
        ("Answer: 1,234.50", "1234.5"),
        ("Answer: −5", "-5"),
        ("Answer: $-5", "-5"),
        ("Answer: 1/2", "0.5"),
        ("Answer: 0.5", "1/2"),
        ("Answer: 3 1/2", "3.5"),
        (r"Answer: $\frac{3}{4}$", "0.75"),
        (r"\boxed{\dfrac{3}{4}}", r"\frac{3}{4}"),
        ("Answer: 5 + 3", "8"),
        ("Answer: 9 * 2 = 18", "18"),
        ("Answer: x = 5", "5"),
        ("The answer is 3 + 4 = 7", "7"),
        (r"\boxed{1, \frac{1}{81}}", r"1, \frac{1}{81}"),
        (r"The answer is \(x^2+1\).", "x^2 + 1"),
        ("Answer: (3, 5)", "(3,5)"),
        ("18 is the final answer", "18"),
        ("The answer is 4. No, wait: the answer is 18.", "18"),
        ("Answer: 4\nAnswer: 18\n", "18"),
        ("She sells 16 - 3 - 4 = 9 eggs and makes 9 * 2 = $18 a day.", "18"),
        ("Answer: She has 16 - 3 = 13 left. Then she makes 9 * 2 = 18.", "18"),
        ("Answer: Paris. It is big and old.", "Paris"),
        ("The answer is Paris, because it is old.", "the paris"),
        ("The answer is St. Louis.", "St. Louis"),
        ("The answer is > }", "> }"),
        ("Answer: Yes, it is so.", "yes"),
        ("<think>The answer is 4.</think>The answer is 18.", "18"),
        ("a</think>b</think> 18", "18"),
        ("<think> The answer is 18.", "18"),
    ],
)
def test_right(text: str, answer: str):
    assert grade(text, "stop", ask(answer)).outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 142", "42"),
        ("Answer: 42", "142"),
        ("Answer: 4.2", "42"),
        ("Answer: -42", "42"),
        ("Answer: 1,42", "42"),
        ("The answer is 18. No: the answer is 17.", "18"),
        ("Answer: 1/3", "0.5"),
        (r"Answer: $\frac{1}{4}$", "0.75"),
        ("Answer: New York City", "New York"),
        ("Answer: York", "New York"),
        ("The answer is > ]", "> }"),
        ("<think>The answer is 18.</think>The answer is 17.", "18"),
    ],
)
def test_wrong(text: str, answer: str):
    assert grade(text, "stop", ask(answer)).outcome is Outcome.WRONG


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "18"),
        ("I do not know.", "18"),
        ("3 + 4 = 7. Answer: I don't know", "18"),
        ("The answer cannot be told, the answer is unknown.", "18"),
        ("Answer: 5 or 6", "5"),
        ("It is Paris.", "Paris"),
        ("<think>First 18", "18"),
        ("<think>The answer is 18.</think>", "18"),
        ("Answer: 9^{9^{9^9}}", "18"),
    ],
)
def test_unreadable(text: str, answer: str):
    assert grade(text, "stop", ask(answer)).outcome is Outcome.UNREADABLE


@pytest.mark.parametrize(
    ("text", "choices", "letter"),
    [
        ("B", METALS, "B"),
        ("b", METALS, "B"),
        ("(B)", METALS, "B"),
        ("B.", METALS, "B"),
        ("B. oak tree", METALS, "B"),
        ("Oak tree.", METALS, "B"),
        ("Answer: B", METALS, "B"),
        ("Answer: b) oak tree", METALS, "B"),
        ("Answer: (B)", METALS, "B"),
        ("Answer: **B**", METALS, "B"),
        ("Answer: B. oak tree", METALS, "B"),
        ("Answer: the oak tree", METALS, "B"),
        ("Answer: A dog", METALS, "A"),
        ("The answer is option B.", METALS, "B"),
        ("The answer is most likely B", METALS, "B"),
        ("The answer is B because A is wrong.", METALS, "B"),
        ("The correct option is B", METALS, "B"),
        ("The answer is the one that grows (option B).", METALS, "B"),
        ("Option A is wrong. Option B is correct. Option C is wrong.", METALS, "B"),
        ("It grows, so it must be (option B).", METALS, "B"),
        (r"The final answer is $\boxed{B}$. I hope it is correct.", METALS, "B"),
        (r"\boxed{\text{B}}", METALS, "B"),
        ("The answer is vitamin C.", METALS, "C"),
        ("Answer: A\nNo. Answer: B", METALS, "B"),
        ("The answer is A", METALS, "A"),
        ("So the answer is yes.", SHORT, "A"),
        ("The answer is no, because it rains.", SHORT, "B"),
        ("It is so.\nTrue", TRUTH, "A"),
        ("Wren is not simple. So, False.", TRUTH, "B"),
        ("Answer: False", TRUTH, "B"),
    ],
)
def test_choices(text: str, choices: tuple[str, ...], letter: str):
    assert grade(text, "stop", ask("A", choices)).answer == letter


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("A dog runs.", METALS),
        ("The answer is A dog runs", METALS),
        ("Answer: A or B", METALS),
        ("Answer: A, B", METALS),
        ("The answer is either A or B.", METALS),
        ("So the answer is (A), (B), (C), or (D).", METALS),
        ("Answer: B. red", METALS),
        ("The answer is vitamin D", METALS),
        ("Answer: E", METALS),
        ("It is not option B.", METALS),
        ("The answer is not listed.", METALS),
        ("Answer: no effect", SHORT),
        ("The answer is True or False", TRUTH),
        ("It is true that Wren is simple.", TRUTH),
    ],
)
def test_no_letter_can_be_read(text: str, choices: tuple[str, ...]):
    graded = grade(text, "stop", ask("B", choices))
    assert (graded.outcome, graded.answer) == (Outcome.UNREADABLE, None)


@pytest.mark.parametrize(
    ("text", "answer", "outcome"),
    [
        ("16 - 3 = 13 and", "18", Outcome.CUT_OFF),
        ("", "18", Outcome.CUT_OFF),
        ("Answer: 1", "18", Outcome.CUT_OFF),
        ("The answer is", "18", Outcome.CUT_OFF),
        ("Answer: 18", "18", Outcome.RIGHT),
        ("Answer: 17\nNow", "18", Outcome.WRONG),
        ("Answer: 17\nAnswer: 1", "18", Outcome.WRONG),
        ("Answer: 18\nAnswer: 1", "18", Outcome.RIGHT),
        (r"So \boxed{17}", "18", Outcome.WRONG),
        ("<think>The answer is 18. Wait", "18", Outcome.CUT_OFF),
        ("<think>no</think>The answer is 18. It", "18", Outcome.RIGHT),
    ],
)
def test_cut_by_the_limit(text: str, answer: str, outcome: Outcome):
    assert grade(text, "length", ask(answer)).outcome is outcome


def test_cut_off_gives_no_answer():
    assert grade("Answer: 1", "length", ask("18")).answer is None
    assert grade("16 - 3 = 13", "length", ask("18")).answer is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"Thus \(c = \boxed{750}\).", "750"),
        ("The answer is 18 dollars a day.", "18 dollars a day"),
        ("Answer: Paris.", "Paris"),
        ("It takes 21 weeks.", None),
    ],
)
def test_without_reference_the_answer_is_read_and_not_judged(text: str, answer: str | None):
    assert grade(text, "stop", ask(None))[:2] == (None, answer)


def test_an_option_is_its_letter_and_its_text():
    for a, b in (("A", "A"), ("A", "a dog"), ("(b) oak tree", "B")):
        assert same_answer(a, b, METALS) and same_answer(b, a, METALS)
    for a, b in (("A", "oak tree"), ("A", "B"), ("a cat", "a cat")):
        assert not same_answer(a, b, METALS)


def test_huge_numbers_and_text_do_no_harm():
    digits = "9" * 6000
    assert grade(f"Answer: {digits}", "stop", ask("18")).outcome is Outcome.UNREADABLE
    assert grade(f"{digits} " * 5, "stop", ask("18")).outcome is not None
    assert grade("answer" + " " * 5000 + "x" * 5000, "stop", ask("18")).outcome is Outcome.UNREADABLE


def test_formulas_compare_in_other_threads_too():
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(same_answer("2/7", r"\frac{4}{14}")))
    thread.start()
    thread.join()
    assert results == [True]


def test_plain_numbers_need_no_algebra():
    code = (
        "import sys; from soundness.answers import grade; from soundness.records import Problem\n"
        "grade('Answer: 17', 'stop', Problem('1', '?', '18')); "
        "sys.exit(bool({'sympy', 'mpmath', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


numbers = st.integers(-(10**12), 10**12)
statements = st.sampled_from(
    ["Answer: {}", "The answer is {}.", "#### {}", r"So $\boxed{{{}}}$.", "**Answer:** {}", "3 + 4 = 7, so the answer is {}"]
)


@given(numbers, statements, st.booleans())
def test_stating_the_reference_is_right(number: int, statement: str, commas: bool):
    stated = statement.format(f"{number:,}" if commas else number)
    assert grade(f"First 12, then 34.\n{stated}", "stop", ask(str(number))).outcome is Outcome.RIGHT
    assert grade(stated, "stop", ask(f"{number}.0")).outcome is Outcome.RIGHT


@given(numbers, numbers, statements)
def test_stating_any_other_integer_is_wrong(number: int, other: int, statement: str):
    if number != other:
        assert grade(f"It is {number}.\n{statement.format(other)}", "stop", ask(str(number))).outcome is Outcome.WRONG


@given(st.text(), st.sampled_from(["18", "Paris", r"\frac{1}{2}", None]), st.sampled_from([None, METALS]))
def test_any_text_gets_a_grade(text: str, answer: str | None, choices: tuple[str, ...] | None):
    problem = ask(answer if choices is None or answer is None else "B", choices)
    for finish in ("stop", "length"):
        outcome, read = grade(text, finish, problem)[:2]
        assert (outcome is None) == (problem.answer is None)
        assert (outcome in (Outcome.RIGHT, Outcome.WRONG)) <= (read is not None)


def test_any_of_several_accepted_answers_is_right():
    capital = Problem("1", "Capital of France?", "Paris", meta={"aliases": ["City of Light", "Lutetia"]})
    for text, outcome in (("Answer: Paris", "right"), ("Answer: the City of Light", "right"), ("Answer: Lyon", "wrong")):
        assert grade(text, "stop", capital).outcome == outcome
    assert grade("It is", "length", capital).outcome == "cut_off"
    assert grade("Answer: Lutetia", "stop", Problem("1", "?", "Paris")).outcome == "wrong"


def _plain(row: Row) -> bool:
    return row.finish == "stop" and not row.prompt and len(row.text) < 400


RIGHT = [row for rows in KINDS.values() for row in rows if row.grades == "R" and _plain(row)]


AROUND = ["{}\n", "{}  ", "\n{}\n\n", "{}<|im_end|>", "{}</s>", "<think>Hm.</think>\n\n{}", "<think>\n\n</think>\n\n{}"]


@pytest.mark.parametrize("around", AROUND)
def test_what_stands_around_a_text_changes_nothing(around: str):
    changed = []
    for row in RIGHT:
        if "<" in row.text or "analysis" in row.text:
            continue  # has channels or turns of its own
        problem = Problem("1", "?", row.reference, choices=row.choices)
        if grade(around.format("\0").replace("\0", row.text), "stop", problem).outcome is not Outcome.RIGHT:
            changed.append(row.text)
    assert changed == []


def test_a_reference_that_is_stated_is_right():
    missed = []
    for row in RIGHT:
        if row.choices is None and len(row.reference) < 60:
            for text in (
                f"Answer: {row.reference}",
                f"The final answer is: {row.reference}\n",
                f"<answer>{row.reference}</answer>",
            ):
                if grade(text, "stop", Problem("1", "?", row.reference)).outcome is not Outcome.RIGHT:
                    missed.append(text)
    assert missed == []


def test_what_is_read_from_a_right_text_equals_the_reference_for_everybody_else_too():
    for row in RIGHT:
        graded = grade(row.text, "stop", Problem("1", "?", row.reference, choices=row.choices))
        assert graded.answer is not None and same_answer(graded.answer, row.reference, row.choices), row.text


@given(
    st.sampled_from([row for rows in KINDS.values() for row in rows]), st.integers(0, 400), st.sampled_from(["stop", "length"])
)
def test_a_text_cut_anywhere_gets_a_grade(row: Row, place: int, finish: Finish):
    graded = grade(row.text[:place], finish, Problem("1", "?", row.reference, choices=row.choices), row.prompt)
    assert graded.outcome is not None and (graded.outcome in (Outcome.RIGHT, Outcome.WRONG)) <= (graded.answer is not None)


def test_confidence_says_what_was_only_inferred():
    def confidence(text: str, answer: str = "7", choices: tuple[str, ...] | None = None) -> tuple[str | None, str]:
        graded = grade(text, "stop", ask(answer, choices))
        return graded.confidence, graded.how

    assert confidence("Answer: 7") == ("high", "label")
    assert confidence(r"\boxed{7}") == ("high", "boxed")
    assert confidence("3 + 4 = 7") == ("low", "last number")
    assert confidence("7") == ("low", "last number")
    assert confidence("Oslo", "Oslo") == ("low", "bare")
    assert confidence("So it is\nB", "B", METALS) == ("low", "last line")
    assert confidence("Answer: B", "B", METALS) == ("high", "label")


def test_an_answer_without_a_reference():
    assert read_answer("Answer: 7 km") == "7 km"
    assert read_answer("so $x = 7$. The answer is $x^2$.") == "x^2"
    assert read_answer("The answer is Oslo, the capital of Norway.") == "Oslo"
    assert read_answer("Answer: B", METALS) == "B" and read_answer("It is hard to say.", METALS) is None
    assert read_answer("I guess 7. Wait", prompt="<|im_start|>assistant\n<think>\n") is None
    assert read_answer("Therefore, it takes 35 minutes.") == "35 minutes" and read_answer("It takes 35 minutes.") is None


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("3 + 4 = 7\nAnswer: 7", 10),
        ("3 + 4 = 7", None),
        ("<think>so the answer is 8</think>Answer: 7", 33),
        (r"so \boxed{7}", 3),
    ],
)
def test_where_the_conclusion_begins(text: str, start: int | None):
    assert conclusion_start(text, None, "7") == start


FORMS: dict[str, Callable[[str], str]] = {
    "final": lambda stated: f"Final Answer: {stated}",
    "bold": lambda stated: f"**Answer:** {stated}",
    "line of its own": lambda stated: f"Answer:\n{stated}",
    "heading": lambda stated: f"### Final Answer\n{stated}",
    "list": lambda stated: f"- Answer: {stated}",
    "quote": lambda stated: f"> Answer: {stated}",
    "sentence": lambda stated: f"Therefore, the correct answer is {stated}",
    "behind working": lambda stated: f"First, 12 + 30 = 42.\n\nAnswer: {stated}\n\nI hope this helps!",
    "behind thinking": lambda stated: f"<think>\nThe answer is 77?\n</think>\n\nAnswer: {stated}\n",
    "lines of Windows": lambda stated: f"Let me see.\r\nAnswer: {stated}\r\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_however_it_is_marked_it_is_worth_the_same(form: str):
    changed = []
    for kind, rows in KINDS.items():
        for row in rows:
            plain = row.text.startswith("Answer: ") and "\n" not in row.text and _plain(row) and row.grades in ("R", "N", "W")
            if not plain or kind == "limits" or row.text.endswith(("7!", "x'")):
                continue
            graded = grade(FORMS[form](row.text[8:]), "stop", Problem("1", "?", row.reference, choices=row.choices))
            if (graded.outcome is Outcome.RIGHT) != (row.grades == "R"):
                changed.append((row.text, graded.answer))
    assert changed == []


def test_no_other_number_of_a_text_is_its_answer():
    taken = []
    for row in RIGHT:
        if row.choices is not None:
            continue
        for number in {number.text for number in find_numbers(row.text)}:
            graded = grade(row.text, "stop", Problem("1", "?", number))
            if graded.outcome is Outcome.RIGHT and not same_answer(number, row.reference):
                value = read_value(graded.answer or "")
                if value is None or value.amounts[0].unit is None:  # the number of a quantity without its unit is fine
                    taken.append((row.text, number))
    # "3 dozen" is 3 to whom is asked for dozens; years and marks of sources stand beside words, where no number is wanted.
    assert [text for text, _ in taken if not re.search(r"\[1\]|dozen|\(\d{4}", text)] == []


def test_no_other_word_of_a_text_is_its_answer():
    taken = []
    for row in RIGHT:
        for word in set(re.findall(r"[A-Za-z]{2,}|\b[A-Z]\b", row.text)) if row.choices is None else ():
            if word.casefold() in row.reference.casefold() or same_answer(word, row.reference):
                continue
            if grade(row.text, "stop", Problem("1", "?", word)).outcome is Outcome.RIGHT:
                taken.append((row.text, word))
    assert taken == []
