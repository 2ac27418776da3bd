from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from soundness.errors import SettingError, TaskError
from soundness.records import Turn
from soundness.tasks import load_task
from soundness.tasks.rows import load_training_task

USER, SAID = Turn("user", "1 + 2?"), "1 + 2 = 3\nAnswer: 3"

FORMS: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": USER.content}, {"role": "assistant", "content": SAID}]},
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": USER.content}]},
            {"role": "assistant", "content": [{"type": "text", "text": SAID}]},
        ]
    },
    "ShareGPT": {"id": "x", "conversations": [{"from": "human", "value": USER.content}, {"from": "gpt", "value": SAID}]},
    "prompt and completion": {"prompt": USER.content, "completion": SAID},
    "prompt and response": {"prompt": USER.content, "response": SAID},
    "TRL's turns": {
        "prompt": [{"role": "user", "content": USER.content}],
        "completion": [{"role": "assistant", "content": SAID}],
    },
    "Alpaca": {"instruction": USER.content, "input": "", "output": SAID},
    "Alpaca without input": {"instruction": USER.content, "output": SAID, "text": "all of it"},
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_reply_after_the_same_words(name: str, tmp_path: Path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(FORMS[name]) + "\n")
    task = load_training_task(str(path))
    (problem,) = task.problems
    assert task.turns(problem) == (USER,)
    assert (problem.question, problem.answer, problem.meta["completion"]) == (USER.content, None, SAID)
    again = load_training_task([FORMS[name]])
    assert again.problems[0].meta == problem.meta
    table = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([FORMS[name]]), table)
    assert load_training_task(str(table)).problems[0].meta == problem.meta


def test_every_reply_of_a_conversation_is_learnt_with_what_stands_before_it():
    talk = [
        ("system", "Be brief."),
        ("assistant", "Hello!"),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
    ]
    task = load_training_task([{"id": 7, "messages": [{"role": role, "content": text} for role, text in talk]}])
    assert [(problem.id, problem.question, problem.meta["completion"]) for problem in task.problems] == [
        ("7", "a", "b"),
        ("7:1", "c", "d"),
    ]
    assert task.turns(task.problems[1]) == tuple(Turn(*turn) for turn in talk[:5])


def test_history_system_input_and_thinking_are_kept():
    rows = [
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "system": "Be brief.", "history": [["a", "b"]]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "why"}]},
    ]
    first, earlier, second = (load_training_task(rows).problems[place] for place in (1, 0, 2))
    assert first.meta["prompt_turns"] == [
        ["system", "Be brief."],
        ["user", "a"],
        ["assistant", "b"],
        ["user", "Add.\n\n1 and 2"],
    ]
    assert (earlier.meta["completion"], first.meta["completion"]) == ("b", "3")
    assert second.meta["completion"] == "<think>\nwhy\n</think>\n\nb"


def test_what_is_no_row_for_training_is_read_as_a_task(tmp_path: Path):
    rows = [{"question": "1 + 1?", "answer": "2", "steps": ["1 + 1 = 2"]}]
    assert load_training_task(rows) == load_task(rows)
    assert load_training_task(iter(rows)).problems == load_task(rows).problems
    verl = [{"prompt": [{"role": "user", "content": "1 + 1?"}], "reward_model": {"ground_truth": "2"}, "data_source": "d"}]
    assert load_training_task(verl).problems[0].answer == "2"
    assert len(load_training_task("chain-sum:n=3").problems) == 3
    own = [{"question": "?", "answer": "2", "completion": "So 2."}]
    assert load_training_task(own).problems[0].meta == {"completion": "So 2."}


def test_selection_columns_and_ids():
    rows = [{"src": f"{i}?", "tgt": f"{i}!", "split": "a" if i % 2 else "b"} for i in range(6)]
    task = load_training_task(rows, columns={"prompt": "src", "completion": "tgt"}, split="a", skip=1, limit=1)
    assert [(p.id, p.question, p.meta["completion"]) for p in task.problems] == [("3", "3?", "3!")]
    same = load_training_task([{"id": "x", "prompt": "a", "completion": "b"}] * 2)
    assert [problem.id for problem in same.problems] == ["x#0", "x#1"]
    chosen = {"prompt": "a", "chosen": "b", "rejected": "c"}
    assert load_training_task([chosen], columns={"completion": "chosen"}).problems[0].meta["completion"] == "b"
    told = load_training_task([FORMS["messages"]], prompt={"system": "Be brief."})
    assert told.turns(told.problems[0]) == (Turn("system", "Be brief."), USER)
    with pytest.raises(SettingError, match="few_shot is for problems"):
        load_training_task([FORMS["messages"]], prompt={"few_shot": 2})


REFUSED = [
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, "a preference"),
    ({"messages": [{"role": "user", "content": "a"}]}, "no reply to a user in it (it has user)"),
    ({"messages": []}, "a conversation was wanted"),
    ({"messages": [{"role": "assistant", "content": "a"}]}, "no reply to a user"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]}, "a reply in it is empty"),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]}, 'a turn of "tool"'),
    (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [1]}]},
        "calls a tool",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant", "content": "b"}]},
        "something else than text",
    ),
    ({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, "behind the first turn"),
    ({"messages": ["a", "b"]}, "turns with role and content"),
    ({"prompt": 3, "completion": "b"}, "text or a conversation was wanted"),
    ({"prompt": "a", "completion": "b", "history": ["x"]}, "pairs of texts were wanted"),
    ({"prompt": "\ud800", "completion": [{"role": "assistant", "content": "\ud800"}]}, "surrogate"),
]


@pytest.mark.parametrize(("row", "told"), REFUSED)
def test_rows_that_cannot_be_learnt_from_name_their_row_and_the_reason(row: dict[str, Any], told: str):
    with pytest.raises(TaskError) as error:
        load_training_task([FORMS["messages"], row])
    assert told in str(error.value) and str(error.value).startswith("row 1: ") and "\n" not in str(error.value)


def test_columns_that_make_no_sense():
    with pytest.raises(TaskError, match=r"no column 'promt' for prompt \(did you mean 'prompt'\?\)"):
        load_training_task([{"prompt": "a", "completion": "b"}], columns={"prompt": "promt"})
    with pytest.raises(TaskError, match="no 'question'"):
        load_training_task([FORMS["messages"]], columns={"question": "x"})
    with pytest.raises(TaskError, match="there is none in"):
        load_training_task("chain-sum", columns={"prompt": "x"})


def test_broken_rows_raise_nothing_but_task_errors():
    rng = random.Random("training rows")
    junk = [None, 3, "", "x", [], {}, [None], [{}], [{"role": "user", "content": "a"}], [{"role": "assistant"}], {"a": 1}]
    junk += ["\ud800", float("nan")]
    names = ["messages", "conversations", "prompt", "completion", "instruction", "input", "output", "history", "system"]
    names += ["chosen", "id", "text"]
    read = 0
    for _ in range(3000):
        row = json.loads(json.dumps(rng.choice(list(FORMS.values()))))
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.3:
                row.pop(rng.choice(list(row)), None)
            row[rng.choice(names)] = rng.choice(junk)
        try:
            task = load_training_task([row])
        except TaskError as error:
            assert "\n" not in str(error)
            continue
        read += 1
        assert task.fingerprint and task.turns(task.problems[0])
    assert read > 100
