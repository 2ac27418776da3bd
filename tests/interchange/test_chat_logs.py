from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from soundness.chains.imported import load_traces
from soundness.errors import TaskError
from soundness.interchange.chat_logs import import_chats
from soundness.interchange.traces import write_traces

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
SAID = {"role": "assistant", "content": "Answer: 4", "reasoning_content": "2 + 2 = 4"}
CHOICE = {"index": 0, "message": SAID, "finish_reason": "stop"}
WHOLE = "<think>\n2 + 2 = 4\n</think>\n\nAnswer: 4"

IN_PARTS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "2 + 2?"}]}]
SAID_IN_PARTS = {"content": [{"type": "thinking", "thinking": "2 + 2 = 4"}, {"type": "text", "text": "Answer: 4"}]}
OPEN_ROUTER = {"content": "Answer: 4", "reasoning": "2 + 2 = 4"}

FORMS: dict[str, list[list[dict[str, Any]]]] = {
    "messages and response": [[{"messages": ASKED, "response": {"model": "m", "choices": [CHOICE]}, "answer": "4"}]],
    "request and response": [[{"request": {"messages": ASKED, "model": "m"}, "response": {"choices": [CHOICE]}, "target": 4}]],
    "batch": [
        [{"custom_id": "1", "method": "POST", "body": {"messages": ASKED, "model": "m", "metadata": {"answer": "4"}}}],
        [{"custom_id": "1", "response": {"status_code": 200, "body": {"model": "m", "choices": [CHOICE]}}, "error": None}],
    ],
    "last message": [[{"messages": [*ASKED, SAID], "model": "m", "finish_reason": "stop", "metadata": {"reference": "4"}}]],
    "choices on the line": [[{"messages": ASKED, "model": "m", "choices": [CHOICE], "answer": "4"}]],
    "parts": [[{"messages": IN_PARTS, "response": {"model": "m", "choices": [{"message": SAID_IN_PARTS}]}, "answer": "4"}]],
    "OpenRouter": [[{"messages": ASKED, "response": {"model": "m", "choices": [{"message": OPEN_ROUTER}]}, "answer": "4"}]],
}


def imported(folder: Path, *logs: list[dict[str, Any]], model: str | None = None):
    paths = []
    for number, rows in enumerate(logs):
        paths.append(folder / f"{number}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = import_chats(paths, model=model)
    return found, load_traces(write_traces(found, folder / "out"))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_trace(name: str, tmp_path: Path):
    found, (trace,) = imported(tmp_path, *FORMS[name])
    assert (trace.text, trace.model, trace.finish, trace.problem.question, trace.problem.answer) == (
        WHOLE,
        "m",
        "stop",
        "2 + 2?",
        "4",
    )
    assert trace.problem.meta["prompt_turns"] == [["system", "Be brief."], ["user", "2 + 2?"]]
    assert found.account == ()


def test_several_choices_and_equal_requests_are_samples_of_one_problem(tmp_path: Path):
    row = {"messages": ASKED, "response": {"model": "m", "choices": [CHOICE, {"message": {"content": "5"}}]}, "answer": "4"}
    _, traces = imported(tmp_path, [row, row, {**row, "response": {"model": "other", "choices": [CHOICE]}}])
    assert [(trace.model, trace.sample) for trace in traces] == [("m", 0), ("m", 1), ("m", 2), ("m", 3), ("other", 0)]
    assert len({trace.problem.id for trace in traces}) == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("end_turn", "stop"), ("content_filter", "length")],
)
def test_finish_reasons_of_providers(reason: str, finish: str, tmp_path: Path):
    row = {"messages": ASKED, "response": {"choices": [{"message": {"content": "x"}, "finish_reason": reason}]}}
    found, (trace,) = imported(tmp_path, [row])
    assert trace.finish == finish
    assert any("content filter" in line for line in found.account) == (reason == "content_filter")


def test_what_is_lost_on_the_way_is_counted(tmp_path: Path):
    def line(message, **more):
        return {"messages": ASKED, "response": {"choices": [{"message": message, **more}]}, "answer": "4"}

    tools = {
        "messages": [*ASKED, {"role": "tool", "content": "7"}, {"role": "user", "content": "so?"}],
        "response": {"choices": [CHOICE]},
    }
    rows = [
        line({"content": "4"}, usage={"completion_tokens_details": {"reasoning_tokens": 9}}),
        line({"content": "4", "reasoning_details": [{"type": "reasoning.encrypted"}]}),
        line({"content": None, "tool_calls": [{"id": 1}]}),
        line({"content": None, "refusal": "I cannot say."}),
        line({"content": "4"}, finish_reason="tired"),
        {"messages": ASKED, "response": None, "error": {"message": "429"}},
        {"messages": ASKED, "response": {"choices": [{"message": {"content": "5"}}]}},
        tools,
    ]
    found, traces = imported(tmp_path, rows)
    account = " ".join(found.account)
    for said in (
        *("2 replies have reasoning that is not in the log", "1 replies call a tool", "1 replies ended by 'tired'"),
        *("1 requests have no reply", "1 replies have no reference answer", "1 conversations hold something else"),
    ):
        assert said in account
    assert "I cannot say." in [trace.text for trace in traces] and len(traces) == 5


def test_options_beside_a_reply(tmp_path: Path):
    row = {"messages": ASKED, "response": {"choices": [CHOICE]}, "metadata": {"options": ["3", "4"], "answer": "B"}}
    _, (trace,) = imported(tmp_path, [row])
    assert (trace.problem.choices, trace.problem.answer) == (("3", "4"), "B")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"question": "?"}], "messages and a response"),
        ([{"custom_id": "1", "response": {"body": {"choices": [CHOICE]}}}], "no request with this custom_id"),
        ([{"custom_id": "1", "body": {"messages": ASKED}}], "requests and no responses"),
        (
            [{"messages": [{"role": "tool", "content": "x"}], "response": {"choices": [CHOICE]}}],
            "conversation of users and assistants",
        ),
        ([{"messages": [], "response": {"choices": [CHOICE]}}], "ends in a user's message"),
    ],
)
def test_logs_in_no_known_form_are_refused(rows: list[dict[str, Any]], told: str, tmp_path: Path):
    with pytest.raises(TaskError, match=told):
        imported(tmp_path, rows)


def test_broken_lines_raise_nothing_but_task_errors(tmp_path: Path):
    rng = random.Random("chats")
    junk = [
        None,
        1,
        "",
        "x",
        [],
        {},
        [None],
        [{}],
        {"choices": None},
        {"choices": [None]},
        {"choices": [{"message": None}]},
        {"body": {}},
        "\ud800",
    ]
    names = ["messages", "response", "request", "choices", "custom_id", "body", "metadata", "answer", "usage", "model", "error"]
    for _ in range(800):
        logs = json.loads(json.dumps(rng.choice(list(FORMS.values()))))
        row = rng.choice(rng.choice(logs))
        for _ in range(rng.randint(1, 3)):
            row[rng.choice(names)] = rng.choice(junk)
        try:
            imported(tmp_path, *logs)
        except TaskError as error:
            assert "\n" not in str(error)
