from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.statements import find_statements, next_question


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Answer: 31", ["31"]),
        ("**Answer:** 31", ["31"]),
        ("The final answer is 31. It is odd.", ["31"]),
        ("Answer:\n\n```\n31\n```", ["31"]),
        ("### Final Answer\n31", ["31"]),
        (r"so \boxed{31}", ["31"]),
        (r"\boxed{1}, \boxed{2} and \boxed{3}", ["1, 2, 3"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        ('{"steps": 3, "answer": 31}', ["31"]),
        ("{'final_answer': 'Oslo', 'score': 2}", ["Oslo"]),
        ("#### 31", ["31"]),
        ("31 is the answer.", ["31"]),
        ("Option C is correct.", ["Option C"]),
        ("I would choose C.", ["C."]),
        ("The answer is not A but B.", ["B."]),
        ("答案是31。", ["31"]),
        ("正解は B です。", ["B です"]),
        ("정답: 31", ["31"]),
        ("Die Antwort lautet 31.", ["31"]),
        ("La réponse est 31.", ["31"]),
        ("La respuesta correcta es 31.", ["31"]),
        ("Ответ: 31", ["31"]),
        ("Answer: J. R. R. Tolkien et al. 1990", ["J. R. R. Tolkien et al. 1990"]),
    ],
)
def test_where_an_answer_is_stated(text: str, stated: list[str]):
    assert [statement.of(text) for statement in find_statements(text)] == stated


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A common wrong answer is 31.",
        "The student's answer is 31.",
        "Had she bought two, the answer would be 31.",
        "If we doubled it, the answer would be 31",
        "The answer to step 2 is 31.",
        "The answer is correct because 31 is odd.",
        "The answer is not 31.",
        "The answer isn't 31.",
        "You might think the answer is 31.",
        "Suppose the answer is 31.",
        "Is the answer 31?",
        "Answer choices: A) 31 B) 32",
        "End with 'Answer: ' followed by the number.",
        'Write "Answer: [your answer]" on the last line.',
        r"Put it into \boxed{}.",
        r"Put it into \boxed{...}.",
        "The answer could be 31.",
        "错误答案是31。",
        '{"reasoning": "31", "answer": null}',
        "#### ",
        "Alternatively, the answer is 31.",
    ],
)
def test_what_states_nothing(text: str):
    assert find_statements(text) == []


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Answer: 3\nQuestion: 4?", 10),
        ("Answer: 3\n\n**Problem 2:** 4?", 11),
        ("Answer: 3\nQ: 4?", 10),
        ("Answer: 3\nUser: more", 10),
        ("答案是3。\n问题：4？", 6),
        ("Answer: 3\nThe question was easy.", None),
        ("Answer: 3", None),
    ],
)
def test_where_a_new_question_begins(text: str, asked: int | None):
    assert next_question(text.replace("：", ":"), 1) == asked


def test_a_language_with_decimal_commas_is_known():
    assert [find_statements(text)[0].comma for text in ("Antwort: 3", "La réponse est 3.", "Answer: 3")] == [True, True, False]


parts = st.sampled_from(
    [
        "Answer: ",
        "the answer is ",
        r"\boxed{",
        "}",
        "\n",
        " ",
        "#### ",
        '"answer": ',
        "答案是",
        "is correct",
        "3",
        "B",
        ".",
        "I choose ",
    ]
)


@given(st.lists(parts, max_size=15).map("".join) | st.text(max_size=80))
def test_statements_lie_in_the_text_in_order(text: str):
    found = find_statements(text)
    assert [statement.begin for statement in found] == sorted(statement.begin for statement in found)
    assert all(0 <= statement.begin <= len(text) and statement.start <= statement.stop <= len(text) for statement in found)


@pytest.mark.parametrize(
    "text",
    [
        "answer" + " " * 20000 + "x" * 20000,
        "answer of " * 5000,
        r"\boxed{" * 20000,
        "is the answer " * 5000,
        "Final answer\n" * 5000,
        '"answer": "' * 5000,
        "答" * 50000,
        "### " * 20000,
        "no. " * 20000,
        " is" * 30000,
    ],
    ids=lambda text: text[:14],
)
def test_long_texts_take_no_time(text: str):
    find_statements(text)  # the suite's time limit is the test
