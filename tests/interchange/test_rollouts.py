from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from soundness.chains.imported import load_traces, trace_task
from soundness.errors import TaskError
from soundness.interchange.rollouts import conversation_in, import_trl, import_verl
from soundness.interchange.traces import write_traces
from soundness.records import Turn

ROLLOUTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "verl_rollouts.jsonl"
TURNS = [["system", "Be brief."], ["user", "What is\n2 + 2?"]]

RENDERED = {
    "tokens dropped": "system\nBe brief.\n\nuser\nWhat is\n2 + 2?\n\nassistant\n",
    "ChatML": "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is\n2 + 2?<|im_end|>\n<|im_start|>assistant\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhat is\n2 + 2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    "words": "System: Be brief.\nUser: What is\n2 + 2?\nAssistant:",
}


@pytest.mark.parametrize("name", RENDERED)
@pytest.mark.parametrize("opened", ["", "<think>\n"])
def test_a_rendered_chat_is_taken_apart(name: str, opened: str):
    assert conversation_in(RENDERED[name] + opened) == (TURNS, opened)


NOT_RENDERED = (
    "What is 2 + 2?",
    "",
    "before\nuser\nWhat?\nassistant\n",
    "user\nWhat?\n",
    "system\nx\nassistant\n",
    "user\n\nassistant\n",
)


@pytest.mark.parametrize("text", NOT_RENDERED)
def test_what_is_no_rendered_chat_is_left_whole(text: str):
    assert conversation_in(text) == (None, "")


def dump(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rollouts_of_one_prompt_are_samples_and_steps_are_writers(tmp_path: Path):
    prompt = RENDERED["tokens dropped"] + "<think>\n"
    rows = [
        {"input": prompt, "output": "2 + 2 = 4</think>\nAnswer: 4", "gts": "4", "score": 1.0, "step": 1},
        {"input": prompt, "output": "5</think>\nAnswer: 5", "gts": "4", "score": 0.0, "step": 1},
        {"input": prompt, "output": "4</think>\nAnswer: 4", "gts": {"ground_truth": ["4", "four"]}, "score": 1.0, "step": 2},
    ]
    found = import_verl([dump(tmp_path / "grpo.jsonl", *rows)])
    traces = load_traces(write_traces(found, tmp_path))
    assert [(trace.model, trace.sample) for trace in traces] == [("grpo step 1", 0), ("grpo step 1", 1), ("grpo step 2", 0)]
    assert [trace.problem.accepted for trace in traces] == [("4",), ("4",), ("4", "four")]
    assert traces[0].text == "<think>\n2 + 2 = 4</think>\nAnswer: 4"
    task = trace_task(traces, "t")
    assert task.turns(traces[0].problem) == tuple(Turn(*turn) for turn in TURNS), "asked as it was asked, nothing added"
    assert "do not say why a completion ended" in " ".join(found.account)


def test_the_run_that_a_row_names_is_its_writer(tmp_path: Path):
    rows = [{"input": "2 + 2?", "output": "4", "gts": None, "score": 1, "run": name, "step": 3} for name in ("a", "b")]
    found = import_verl([dump(tmp_path / "x.jsonl", *rows)])
    assert [row["model"] for row in found.rows] == ["a step 3", "b step 3"]
    assert len({row["problem"] for row in found.rows}) == 1
    account = " ".join(found.account)
    assert "2 prompts could not be taken apart" in account and "2 completions have no ground truth" in account
    assert [row["model"] for row in import_verl([tmp_path / "x.jsonl"], model="mine").rows] == ["mine step 3"] * 2


@pytest.mark.skipif(not ROLLOUTS.is_file(), reason=f"no data file {ROLLOUTS}")
def test_what_a_real_run_left_on_disk(tmp_path: Path):
    found = import_verl([ROLLOUTS])
    assert len(found.rows) == 240 and len({row["model"] for row in found.rows}) == 4
    assert all(row["trace"].startswith("<think>") for row in found.rows)
    assert all([role for role, _ in row["prompt_turns"]] == ["system", "user"] for row in found.rows)
    assert all("spiral order" in row["question"] and "assistant" not in row["question"] for row in found.rows)
    traces = load_traces(write_traces(found, tmp_path))
    assert len(traces) == 240
    assert "240 completions have no ground truth" in " ".join(found.account)


def test_completions_that_trl_logged(tmp_path: Path):
    folder = tmp_path / "my-run" / "completions"
    folder.mkdir(parents=True)
    chat = [{"role": "user", "content": "2 + 2?"}]
    reply = [{"role": "assistant", "content": "4", "reasoning_content": "2 + 2 = 4"}]
    talks = [{"step": 5, "prompt": chat, "completion": reply, "accuracy_reward": 1.0, "advantage": 0.5, "answer": "4"}]
    plain = [
        {
            "step": 5,
            "prompt": RENDERED["ChatML"],
            "completion": "So 4",
            "accuracy_reward": None,
            "advantage": 0.5,
            "answer": "4",
        }
    ]
    for number, rows in enumerate((talks, plain)):
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"completions_{number:05d}.parquet")
    found = import_trl(sorted(folder.iterdir()))
    traces = load_traces(write_traces(found, tmp_path / "out"))
    assert [trace.model for trace in traces] == ["my-run step 5"] * 2
    assert [trace.text for trace in traces] == ["<think>\n2 + 2 = 4\n</think>\n\n4", "So 4"]
    assert [trace.problem.answer for trace in traces] == ["4", "4"]
    assert [row.get("score") for row in found.rows] == [{"accuracy_reward": 1.0}, None]
    with pytest.raises(TaskError, match="has no completion, so TRL did not write it"):
        parquet.write_table(pyarrow.table({"prompt": ["a"]}), tmp_path / "other.parquet")
        import_trl([tmp_path / "other.parquet"])


def test_other_files_are_refused_by_name(tmp_path: Path):
    with pytest.raises(TaskError, match="line 1 has no input, output, so verl did not write it"):
        import_verl([dump(tmp_path / "a.jsonl", {"question": "?"})])
    with pytest.raises(TaskError, match="there is no file"):
        import_verl([tmp_path / "absent.jsonl"])


def test_broken_rows_raise_nothing_but_task_errors(tmp_path: Path):
    rng = random.Random("rollouts")
    junk = [
        None,
        1,
        1.5,
        True,
        "",
        "x",
        "user\n",
        "\ud800",
        [],
        {},
        [{"role": "user"}],
        [{"role": "assistant", "content": 3}],
        {"a": 1},
    ]
    for _ in range(800):
        row = {
            "input": rng.choice(list(RENDERED.values())),
            "output": "4",
            "gts": "4",
            "score": 1.0,
            "step": 1,
            "prompt": "x",
            "completion": "y",
        }
        for _ in range(rng.randint(1, 3)):
            row[rng.choice(list(row))] = rng.choice(junk)
        path = dump(tmp_path / "a.jsonl", row)
        for read in (import_verl, import_trl):
            try:
                load_traces(write_traces(read([path]), tmp_path))
            except TaskError as error:
                assert "\n" not in str(error)
