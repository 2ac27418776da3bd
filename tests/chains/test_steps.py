from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.chains.steps import SPLITTERS, answer_key, answer_step, spans_at, split_steps, states, step_texts
from soundness.errors import SettingError
from soundness.records import Problem, Span


def texts_of(text: str, splitter: str) -> list[str]:
    pieces = list(text)
    return list(step_texts(pieces, split_steps(pieces, splitter)))


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]


fragments = [
    *"aAeg. !?…\n\t \"')0123\r。é=+-|#*:,($",
    "<think>",
    "</think>",
    "e.g.",
    "Dr.",
    " \n",
    "```",
    "```py\n",
    "\\[",
    "\\]",
    "$$",
]
fragments += [
    "\\begin{align}",
    "\\end{align}",
    "\\\\",
    "|---|",
    "\n- ",
    "\n1. ",
    "Step 1",
    "**",
    "<|channel|>final<|message|>",
    "[THINK]",
    "\u2028",
]
prose = st.lists(st.sampled_from(fragments), max_size=60).map("".join)
splitters = st.sampled_from(list(SPLITTERS))
cuts = st.lists(st.integers(0, 500), max_size=40)
any_text = prose | st.text(max_size=60) | st.lists(prose).map("\n".join)


@given(
    any_text,
    st.lists(st.integers(0, 500), max_size=40),
    st.lists(st.integers(0, 60), max_size=4),
    st.sampled_from(list(SPLITTERS)),
)
def test_steps_join_back_to_the_chain(text, places, empty, splitter):
    pieces = cut(text, places)
    for place in empty:
        pieces.insert(place % (len(pieces) + 1), "")
    steps = split_steps(pieces, splitter)
    assert [step.start for step in steps] == ([0, *(step.stop for step in steps)][: len(steps)])
    assert (steps[-1].stop if steps else 0) == len(pieces)
    assert "".join(step_texts(pieces, steps)) == text
    assert all(step.start < step.stop for step in steps)
    assert len(steps) <= 1 or all(part.strip() for part in step_texts(pieces, steps))


@given(any_text, cuts, splitters)
def test_steps_begin_at_the_first_token_past_a_boundary_whatever_the_tokens(text, places, splitter):
    fine, coarse = list(text), cut(text, places)
    ends = {sum(map(len, coarse[: step.stop])) for step in split_steps(coarse, splitter)}
    finest = [step.stop for step in split_steps(fine, splitter)]
    reachable = {sum(map(len, coarse[:count])) for count in range(len(coarse) + 1)}
    assert ends <= {min(place for place in reachable if place >= stop) for stop in finest}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\nc", ["a\n", "b\n", "c"]),
        ("a\n\n\nb\n", ["a\n\n\n", "b\n"]),
        ("\n \na\n  b", ["\n \na\n", "  b"]),
        ("one line", ["one line"]),
        ("<think>\na\nb\n</think>\n\nAnswer: 5", ["<think>\na\n", "b\n</think>\n\n", "Answer: 5"]),
        ("<think>\n\n</think>\n\na\nb", ["<think>\n\n</think>\n\na\n", "b"]),
        ("</think>\na\nb", ["</think>\na\n", "b"]),
        ("a\n<think>\n", ["a\n<think>\n"]),
        ("<think>", ["<think>"]),
        ("<think>a\nb</think>\nc", ["<think>a\n", "b</think>\n", "c"]),
        ("<think>a\nb</think>c", ["<think>a\n", "b</think>", "c"]),
        ("a\nb</think>\n\nc", ["a\n", "b</think>\n\n", "c"]),
        ("Sure. <think>a\nb</think>c", ["Sure. ", "<think>a\n", "b</think>", "c"]),
        ("[THINK]a\nb[/THINK]c", ["[THINK]a\n", "b[/THINK]", "c"]),
        ("a\r\nb\rc\u2028d", ["a\r\n", "b\r", "c\u2028", "d"]),
    ],
)
def test_lines(text, expected):
    assert texts_of(text, "lines") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.5. So yes! Really? Ok.", ["It is 3.5.", " So yes!", " Really?", " Ok."]),
        (
            "Use fruit, e.g. apples. Dr. Smith vs. Jones, i.e. two.",
            ["Use fruit, e.g. apples.", " Dr. Smith vs. Jones, i.e. two."],
        ),
        ("Apples, pears etc. are fruit. Apples etc. The end.", ["Apples, pears etc. are fruit.", " Apples etc.", " The end."]),
        ("The answer is no. It is not. See no. 5 there.", ["The answer is no.", " It is not.", " See no. 5 there."]),
        ("Option A. is J. K. Smith's. Next.", ["Option A. is J. K. Smith's.", " Next."]),
        ("1. Add them. 2. Halve them.", ["1. Add them.", " 2. Halve them."]),
        ("It gives 5. Then stop.", ["It gives 5.", " Then stop."]),
        ('He said "go." She went. (So it is.) End', ['He said "go."', " She went.", " (So it is.)", " End"]),
        ("Add 1, 2, ... and 9. Wait... Now go.", ["Add 1, 2, ... and 9.", " Wait...", " Now go."]),
        ("5! = 120. What? = 3.", ["5! = 120.", " What? = 3."]),
        ("One.\n\nTwo. \nThree", ["One.\n\n", "Two. \n", "Three"]),
        ("One.\n  Two.", ["One.\n", "  Two."]),
        ("no mark at all", ["no mark at all"]),
        ("第一句。第二句！好", ["第一句。", "第二句！", "好"]),
        ("<think>\nOne. Two.\n</think>\nSo 5.", ["<think>\nOne.", " Two.\n</think>\n", "So 5."]),
        ("   ", ["   "]),
        ("\n\n", ["\n\n"]),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert texts_of(text, "sentences") == expected


HOSTILE = [
    "e.g. ",
    "a. ",
    "3 + 4 = 7, ",
    "= 3 + 4 ",
    "(",
    "|",
    "\\[ a\n",
    "$$ a\n\nb",
    "```py\na\n",
    "\\begin{align} a\n",
    "\n",
    " ",
    "<think>\n",
]
HOSTILE += ["# a\n", "1. \n", "**", "Step 1: a ", "</think>\n", "a" * 70 + "\nb ", "<|channel|>analysis<|message|>a"]


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("part", HOSTILE)
def test_a_long_text_of_one_kind_is_split_in_linear_time(part, splitter):
    """A text of 60 kB takes a tenth of a second; anything quadratic would take minutes."""
    text = part * (60_000 // len(part))
    pieces = [text[start : start + 8] for start in range(0, len(text), 8)]
    steps = split_steps(pieces, splitter)
    assert steps[-1].stop == len(pieces)


def test_auto_takes_short_lines_and_cuts_long_paragraphs_into_sentences():
    assert texts_of("3 + 4 = 7\n7 - 2 = 5\nAnswer: 5", "auto") == ["3 + 4 = 7\n", "7 - 2 = 5\n", "Answer: 5"]
    assert texts_of("One. Two. Three.", "auto") == ["One.", " Two.", " Three."]
    paragraph = "This sentence is here to be long enough. " * 12
    assert len(texts_of(f"{paragraph}\n{paragraph}", "auto")) == 24
    assert len(texts_of(f"<think>\n{paragraph}\n</think>\nAnswer: 5", "auto")) == 13, "a tag is no line of its own"


def test_a_straddling_token_belongs_to_the_earlier_step():
    assert split_steps(["a", "\nb", "\n", "c"], "lines") == (Span(0, 3), Span(3, 4))
    assert split_steps([" one", ".", " Two", "."], "sentences") == (Span(0, 2), Span(2, 4))


def test_a_character_split_over_tokens_starts_the_new_step_with_its_first_byte():
    assert split_steps(["a\n", "", "é", "!"], "lines") == (Span(0, 1), Span(1, 4))


def test_a_step_left_blank_by_its_tokens_joins_its_neighbour():
    assert spans_at(["a\nb", "\n", "c"], [0, 2, 4]) == (Span(0, 2), Span(2, 3))
    assert spans_at(["  ", "a", "b"], [0, 2, 3]) == (Span(0, 2), Span(2, 3))


def test_empty_chain_has_no_steps_and_ids_without_text_make_one():
    assert split_steps([]) == ()
    assert split_steps(["", ""]) == (Span(0, 2),)


def test_unknown_splitter_names_a_near_one():
    with pytest.raises(SettingError, match="did you mean 'sentences'"):
        split_steps(["a"], "sentence")


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("so it is 4.", "4", True),
        ("so it is 4.0 apples", "4", True),
        ("$4.00", "4", True),
        ("2 * 2 = 4", "4", True),
        ("3-4", "4", True),
        ("14", "4", False),
        ("42", "4", False),
        ("4.5", "4", False),
        ("x = -4", "4", False),
        ("x = -4", "-4", True),
        ("3-4", "-4", False),
        ("the 4th", "4", False),
        ("4. Then add", "4", False),
        ("Step 4: add", "4", False),
        ("4", "4", True),
        ("it makes 70,000", "$70000", True),
        ("half, 0.5", "1/2", True),
        ("that is 1/2", "1/2", True),
        ("that is 11/2", "1/2", False),
        ("The blue whale.", "a Blue Whale", True),
        ("bluewhales", "whale", False),
        ("whales", "whale", False),
        ("no reason to doubt", "no", False),
        ("No, it is not", "no", True),
        ("so the answer is no", "No", True),
        ("it is true that cats", "True", False),
        ("Stella is happy: True.", "True", True),
        ("gives $\\frac{1}{2}$", "\\frac{1}{2}", True),
        ("so \\boxed{(45^{\\circ}, 60^{\\circ})}", "(45, 60)", True),
        ("thus \\boxed{\\text{No}}", "No", True),
        ("the answer is \\boxed{yes}", "yes", True),
        ("that is -$15", "-$15", True),
        ("anything", "", False),
        ("] ] } done", "] ] }", True),
    ],
)
def test_statements(text, answer, expected):
    assert states(text, answer) is expected


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("so (B)", "B", True),
        ("Answer: B", "B", True),
        ("**Answer:** B", "B", True),
        ("the correct answer is B.", "B", True),
        ("Option B is incorrect", "B", True),
        ("B", "B", True),
        ("B. a cow", "B", True),
        ("\\boxed{B}", "B", True),
        ("Both B and C", "B", False),
        ("it is a COW!", "B", True),
        ("cowboys", "B", False),
        ("A dog runs", "A", False),
        ("The answer is A dog", "A", False),
        ("The answer is A.", "A", True),
        ("Option A is wrong", "A", True),
        ("the answer is (A)", "A", True),
        ("I picked a red cat", "cat", True),
        ("(A)", "cat", True),
        ("there are 12", "C", True),
        ("there are 112", "C", False),
    ],
)
def test_statements_with_choices(text, answer, expected):
    assert states(text, answer, ["cat", "cow", "12"]) is expected


def test_answer_step_is_the_first_that_states_it():
    texts = ["1. 3 + 4 = 7\n", "7 - 2 = 5\n", "Answer: 5"]
    assert answer_step(texts, "5") == 1
    assert answer_step(texts, "1") is None
    assert answer_step(texts, None) is None
    assert answer_step([], "5") is None
    problem = Problem("q", "Which?", "B", choices=("cat", "cow"))
    assert answer_step(["It moos.", "So a cow.", "Answer: B"], "B", problem) == 1
    assert answer_step(["It moos.", "So a cow.", "Answer: B"], "B") == 2


@given(st.integers(-10000, 10000), st.integers(-10000, 10000))
def test_a_whole_number_states_itself_and_no_other(one, other):
    assert states(f"The result is {one}.", str(other)) is (one == other)
    assert (answer_key(str(one)) == answer_key(f"{other}.0")) is (one == other)
