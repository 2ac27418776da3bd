from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.errors import SettingError, SoundnessError, TaskError
from soundness.records import Problem, Prompt, Stop, Turn
from soundness.tasks.base import Task
from soundness.tasks.examples import built_in_examples
from soundness.tasks.prompts import FORMATS, OPTIONS, Prompting, parse_prompting, plain_text

OPEN = Problem("1", "What is 2 + 2?", "4")
CHOICE = Problem("2", "Which is a metal?", "B", choices=("oak", "tin"))
SUMS = Task("sums", (OPEN, Problem("3", "What is 5 - 2?", "3")))
EXAMPLE = {"question": "What is 1 + 1 + 1?", "answer": "3", "steps": ["1 + 1 = 2", "2 + 1 = 3"]}


class Model:
    """Renders as plain text; taught or not."""

    def __init__(self, instructed: bool = True) -> None:
        self.instructed = instructed

    def render(self, message, prompting=None):
        turns = [Turn("user", message)] if isinstance(message, str) else message
        return Prompt(plain_text(turns), (0,))


def test_options_of_a_command_line_become_a_prompting(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("{}")
    made = parse_prompting(
        {
            "system": "Be brief.\\nPlease.",
            "few_shot": "3",
            "few_shot_from": "train.jsonl",
            "chat_template_kwargs": ["enable_thinking=false", "reasoning_effort=high,budget=3"],
            "stop": ["\\n\\n", "id=7", "7"],
            "cue": None,
        },
        folder=tmp_path,
        escapes=True,
    )
    assert made == Prompting(
        system="Be brief.\nPlease.",
        few_shot=3,
        few_shot_from=str(tmp_path / "train.jsonl"),
        chat_template_kwargs={"enable_thinking": False, "reasoning_effort": "high", "budget": 3},
        stop=("\n\n", 7, "7"),
    )
    assert parse_prompting(made.given) == made
    assert parse_prompting({}) == Prompting()
    assert parse_prompting({"stop": "a\\n"}).stop == ("a\\n",)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sytem": "x"}, "there is no 'sytem' (did you mean 'system'?)"),
        (
            {"answer_format": "boxd"},
            "answer_format: one of line, letter, boxed, json, custom was wanted (did you mean 'boxed'?)",
        ),
        ({"template": "chatml"}, "template: one of own, shared, none"),
        ({"few_shot": "many"}, "few_shot: "),
        ({"few_shot": -1}, "few_shot: needs a whole number from 0 to 64, found '-1'"),
        ({"few_shot": True}, "few_shot: needs a whole number"),
        ({"few_shot": "9" * 5000}, "few_shot: "),
        ({"chat_template_kwargs": "enable_thinking"}, "NAME=VALUE was wanted"),
        ({"chat_template_kwargs": '{"a": '}, "no JSON object"),
        ({"chat_template_kwargs": 5}, "NAME=VALUE was wanted"),
        ({"chat_template": "/no/such/file"}, "chat_template: needs a file with a chat template"),
        ({"chat_template": "x" * 300}, "chat_template: needs a file"),
        ({"stop": ""}, "stop: needs texts that are not empty"),
        ({"stop": [1.5]}, "stop: "),
        ({"date": "yesterday"}, "date: needs a date such as 2025-01-01"),
        ({"examples": [{"question": "x"}]}, "examples: example 1 needs answer and steps"),
        ({"examples": [EXAMPLE], "few_shot": 2}, "few_shot is 2, and there are 1 examples"),
        ({"examples": [EXAMPLE], "few_shot_from": "x"}, "exclude each other"),
        ({"answer_format": "custom"}, "needs a cue and an instruction"),
        ({"template": "none", "chat_template": "{{ x }}"}, "template none leaves the chat template out"),
        ({"system": 3}, "system: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options, told):
    with pytest.raises(SettingError) as error:
        parse_prompting(options)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(OPTIONS), anything, max_size=4), st.booleans())
def test_no_table_of_options_raises_anything_else(options, escapes):
    try:
        assert isinstance(parse_prompting(options, escapes=escapes), Prompting)
    except SoundnessError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "answer", "scored", "worked"),
    [
        ("line", "4", "\nAnswer: 4\n", "Answer: 4"),
        ("boxed", "\\frac{1}{2}", "\nAnswer: \\boxed{\\frac{1}{2}}", "Answer: \\boxed{\\frac{1}{2}}"),
        ("json", "4", '\n{"answer": "4"}', '{"answer": "4"}'),
    ],
)
def test_an_answer_format_sets_instruction_cue_and_terminator(name, answer, scored, worked):
    task = Task("t", (replace(OPEN, answer=answer), CHOICE)).with_prompting(Prompting(answer_format=name))
    first, second = task.problems
    assert task.cue + task.continuation(answer, first) == scored
    assert task.worked(first).endswith(worked)
    assert task.message(first).endswith(FORMATS[name].open_instruction)
    assert task.message(second).endswith(FORMATS[name].choice_instruction)
    assert not task.continuation("B", second).endswith(task.terminator)
    assert task.read_asked(f"{answer}{task.terminator} and more") == answer
    line = f"Two.{scored.rstrip()}\n"
    assert task.stop(worked=True).end(f"{line}More") == len(line)


def test_a_world_keeps_its_own_form_unless_a_format_is_asked_for():
    own = replace(SUMS, instruction="", cue="So:", terminator="!")
    assert own.with_prompting(Prompting(system="x")).cue == "So:"
    assert own.with_prompting(Prompting(system="x")).message(OPEN) == OPEN.question
    boxed = own.with_prompting(Prompting(answer_format="boxed"))
    assert (boxed.cue, boxed.terminator, boxed.instruction) == ("\nAnswer: \\boxed{", "}", None)
    custom = own.with_prompting(Prompting(answer_format="custom", cue="\nResult:", instruction="Go.", terminator=";"))
    assert (custom.cue, custom.continuation("4"), custom.message(OPEN)) == ("\nResult:", " 4;", "What is 2 + 2?\nGo.")
    assert custom.stop(worked=True).end("Result: 4\nResult: 5\n") == 10


def test_letters_are_for_choices():
    with pytest.raises(TaskError, match="'1' has none"):
        SUMS.with_prompting(Prompting(answer_format="letter"))
    assert "the letter" in Task("c", (CHOICE,)).with_prompting(Prompting(answer_format="letter")).message(CHOICE)


def test_a_taught_model_is_asked_by_the_message_alone_and_another_by_worked_examples():
    told = SUMS.prompt(Model(), OPEN)
    assert (told.text, told.stop) == (f"{SUMS.message(OPEN)}\n", None)
    shown = SUMS.prompt(Model(instructed=False), OPEN)
    assert shown.text.count("Question: ") == 5
    assert shown.text.endswith("Answer: 5\n\nQuestion: What is 2 + 2?\nReasoning:\n")
    assert "Think step by step" not in shown.text
    assert shown.stop.end("2 + 2 = 4\nAnswer: 4\nAnswer: 4\n") == len("2 + 2 = 4\nAnswer: 4\n")
    assert shown.stop.end("2 + 2 = 4\nQuestion: What is") == len("2 + 2 = 4")
    assert shown.stop.end("The answer is near: 4") is None
    bare = SUMS.with_prompting(Prompting(few_shot=0)).prompt(Model(instructed=False), OPEN)
    assert (bare.text, bare.stop) == (told.text, None)
    none = SUMS.with_prompting(Prompting(template="none")).prompt(Model(), OPEN)
    assert none.text == shown.text


def test_system_and_instruction_stand_above_worked_examples_in_plain_text():
    task = SUMS.with_prompting(Prompting(system="Be exact.", instruction="Show your work.", few_shot=1))
    text = task.prompt(Model(instructed=False), OPEN).text
    assert text.startswith("Be exact.\n\nShow your work.\n\nQuestion: ")
    assert text.count("Show your work.") == 1
    turns = task.turns(OPEN)
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[1].content.endswith("Show your work.") and turns[3].content.endswith("Show your work.")


def test_written_examples_are_shown_and_never_the_problem_itself():
    same = {"question": OPEN.question, "answer": "4", "rationale": "It is known."}
    task = SUMS.with_prompting(Prompting(examples=(EXAMPLE, same)))
    assert [turn.content for turn in task.turns(OPEN)][1] == "1 + 1 = 2\n2 + 1 = 3\nAnswer: 3"
    assert len(task.turns(OPEN)) == 3 and len(task.turns(task.problems[1])) == 5
    with pytest.raises(TaskError, match="few_shot is 9, and 4 worked examples are built in"):
        SUMS.with_prompting(Prompting(few_shot=9))


def test_built_in_examples_fit_the_kind_and_are_worked():
    numbers, texts = Task("n", (OPEN,)), Task("t", (Problem("1", "Who?", "Ada Lovelace"),))
    kinds = {
        built_in_examples(task.problems, False)[0].id: built_in_examples(task.problems, False) for task in (numbers, texts)
    }
    assert built_in_examples(numbers.problems, False) != built_in_examples(texts.problems, False)
    for kind in (*kinds.values(), built_in_examples((CHOICE,), True)):
        assert len(kind) == 4
        for example in kind:
            assert example.steps and example.answer
            assert example.choices is None or example.answer_text in example.choices
    letters = {example.answer for example in built_in_examples((CHOICE,), True)}
    assert len(letters) == 4
    text = Task("c", (CHOICE,)).prompt(Model(instructed=False), CHOICE).text
    assert "A. oak\nB. tin\nReasoning:\n" in text and text.count("\nAnswer: ") == 4


def test_the_fingerprint_follows_the_prompting():
    seen = {SUMS.fingerprint}
    for options in ({"system": "x"}, {"few_shot": 1}, {"answer_format": "boxed"}, {"stop": ("x",)}, {"date": "2026-01-01"}):
        seen.add(SUMS.with_prompting(Prompting(**options)).fingerprint)
    assert len(seen) == 6
    assert SUMS.with_prompting(Prompting()).fingerprint == SUMS.fingerprint


@pytest.mark.parametrize(
    ("pieces", "stop", "kept"),
    [
        (["a", "\n", "Question", ":"], Stop(("\nQuestion:",)), 1),
        (["a ", "##", "# b"], Stop(("###",)), 1),
        (["Answer", ": 4", "\n\n", "So"], Stop(line=r"^Answer:.*\n"), 3),
        (["Answer", ": 4", "\nSo"], Stop(line=r"^Answer:.*\n"), 2),
        (["Answer", ": 4"], Stop(line=r"^Answer:.*\n"), None),
        (["", "x", ""], Stop(("x",)), 1),
        ([], Stop(("x",)), None),
    ],
)
def test_a_stop_keeps_whole_tokens_before_its_end(pieces, stop, kept):
    assert stop.kept(pieces) == kept


def test_where_two_stops_meet():
    assert Stop(("a",), (1,)).joined(Stop(("b", "a"), (2,), "x")) == Stop(("a", "b"), (1, 2), "x")
    assert Stop(("a",)).joined(None) == Stop(("a",))
    assert Stop(("a",)).key != Stop(("b",)).key


def test_a_problem_may_bring_the_conversation_that_it_is_asked_in():
    turns = [["system", "Be brief."], ["user", "a"], ["assistant", "b"], ["user", "2 + 2?"]]
    own = replace(OPEN, meta={"prompt_turns": turns})
    assert SUMS.turns(own) == tuple(Turn(*turn) for turn in turns)
    assert SUMS.with_prompting(Prompting(system="x")).turns(own)[0] == Turn("system", "Be brief.")
    assert SUMS.with_prompting(Prompting(system="x")).turns(replace(OPEN, meta={"prompt_turns": turns[1:]}))[0].content == "x"
    for other in (["How?", "Why?"], [["user"]], [["tool", "x"]], "x", [], [["user", 3]], turns[:3]):
        assert SUMS.turns(replace(OPEN, meta={"prompt_turns": other})) == SUMS.turns(OPEN), "a field of another's"
