from __future__ import annotations

import pytest

from soundness.interventions import NO_STEPS, NoEdit
from soundness.interventions.exchange import exchange_edits, written_up_to_answer
from soundness.records import Chain, Edit, Problem, Prompt

PROBLEM = Problem("1", "3 + 4 - 2?", "5")


def chain(text: str, answer: str | None = "5", problem_id: str = "1", prompt: str = "") -> Chain:
    return Chain(problem_id, "m", 0, 0, Prompt(prompt, ()), tuple(map(ord, text)), text, "stop", answer=answer)


def written(text: str, answer: str | None = "5", problem_id: str = "1"):
    made = chain(text, answer, problem_id)
    return written_up_to_answer(made, PROBLEM, made.ids, tuple(text))


@pytest.mark.parametrize(
    ("text", "steps", "lead"),
    [
        ("3 + 4 = 7\n7 - 2 = 5\nAnswer: 5\n", "3 + 4 = 7\n7 - 2 = 5\n", "Answer:"),
        ("3 + 4 = 7, then 7 - 2 = 5, so the answer is 5.", "3 + 4 = 7, then 7 - 2 = 5", ", so the answer is"),
        ("3 + 4 = 7. Hence \\boxed{5}", "3 + 4 = 7.", " Hence \\boxed{"),
        ("<think>\n3 + 4 = 7\n7 - 2 = 5\n</think>\n\nAnswer: 5", "<think>\n3 + 4 = 7\n7 - 2 = 5\n</think>\n\n", "Answer:"),
        ("Answer: 3 + 4 = 7, 7 - 2 = 5", "Answer: 3 + 4 = 7, 7 - 2 =", ""),
    ],
)
def test_a_chain_is_cut_where_it_states_its_answer(text: str, steps: str, lead: str) -> None:
    found = written(text)
    assert found is not None and found.has_steps
    assert "".join(map(chr, found.ids)) == found.text == steps + lead and found.lead == lead
    assert "".join(map(chr, found.open)) == steps


@pytest.mark.parametrize("text", ["Answer: 5", "The answer is 5.", "Answer: 5\n3 + 4 = 7\n7 - 2 = 5\n", "Sure! Answer: 5"])
def test_an_answer_that_no_step_stands_before_has_none(text: str) -> None:
    found = written(text)
    assert found is not None and not found.has_steps
    edits = exchange_edits(
        found,
        found,
        lambda t: list(map(ord, t)),
        lambda i: "".join(map(chr, i)),
        tuple(text),
        seed=0,
        kinds=("intact", "exchange", "wrong_number", "bare"),
        why="?",
    )
    assert edits == {kind: (NoEdit(kind, NO_STEPS),) for kind in ("intact", "exchange", "wrong_number", "bare")}


def test_thinking_before_an_answer_that_is_explained_afterwards_is_a_step() -> None:
    found = written("<think>3 + 4 is 7, less 2 is 5</think>Answer: 5\nThat is 3 + 4 = 7 and 7 - 2 = 5, as was to be shown.")
    assert found is not None and found.has_steps


def test_a_chain_without_answer_has_no_such_place() -> None:
    assert written("3 + 4 = 7", None) is None
    assert written("3 + 4 = 7, 7 - 2 makes 5") is None  # nothing is stated outright


def edits_of(text: str, donor_text: str, kinds: tuple[str, ...]):
    own, donor = written(text), written(donor_text, "8", "2")
    return exchange_edits(
        own, donor, lambda t: list(map(ord, t)), lambda i: "".join(map(chr, i)), tuple(text), seed=0, kinds=kinds, why="cut off"
    )


def test_edits_say_what_they_lead_to() -> None:
    found = edits_of(
        "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5",
        "1 + 9 = 0\n0 + 8 = 8\nSo the answer is 8.",
        ("intact", "bare", "exchange", "exchange_open"),
    )
    ids = {kind: "".join(map(chr, edit.ids)) for kind, (edit,) in found.items() if isinstance(edit, Edit)}
    assert ids == {
        "intact": "3 + 4 = 7\n7 - 2 = 5\nAnswer:",
        "bare": "Answer:",
        "exchange": "1 + 9 = 0\n0 + 8 = 8\nSo the answer is",
        "exchange_open": "1 + 9 = 0\n0 + 8 = 8\n",
    }
    assert [found[kind][0].leads_to for kind in ("intact", "exchange")] == ["5", "8"]
    assert found["exchange"][0].lead == "So the answer is"


def test_wrong_numbers_end_a_clause_and_are_not_the_answer() -> None:
    text = "1. 3 + 4 = 7 (check: 7 - 4 = 3)\n2. 7 - 2 = 5\nAnswer: 5"
    found = edits_of(text, "x 1 Answer: 8", ("wrong_number",))["wrong_number"]
    assert len(found) == 2  # 7 and the check's 3; the markers, operands and the answer stay
    for edit in found:
        assert isinstance(edit, Edit)
        made = "".join(map(chr, edit.ids))
        differing = [i for i, (a, b) in enumerate(zip(text, made, strict=False)) if a != b]
        assert len(differing) == 1 and text[differing[0]] == edit.before and made[differing[0]] == edit.after != "5"
        assert made.endswith("Answer:")
    (none,) = edits_of(
        "Nothing is left of the apples but their cores, which makes it so. Answer: 5", "x 1 Answer: 8", ("wrong_number",)
    )["wrong_number"]
    assert isinstance(none, NoEdit)
