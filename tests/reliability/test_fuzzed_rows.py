"""Rows of problems and of traces with anything in them: read, or refused in one short line that names file and line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soundness.chains.imported import load_traces, to_chains, trace_task
from soundness.models.scripted import load_scripted
from soundness.runs.tables import PROBLEMS, read_rows, write_table
from soundness.tasks.base import load_task

from .conftest import Attacks

HOSTILE: list[Callable[[random.Random], str]] = [
    # JSON as text, so that what Python would not write can stand in it.
    lambda rng: str(rng.choice([0, -1, 2**63, 10**400, -(10**4299), 1.5, -0.0])),
    lambda rng: rng.choice(["1e999", "-1e999", "1e-999", "NaN", "Infinity", "9" * 4400, "1" * 10_000]),
    lambda rng: rng.choice(["null", "true", "false", "[]", "{}", '""', '" "', '"\\u0000"', '"\\n\\n\\n"']),
    lambda rng: "[" * (depth := rng.choice([1, 5, 99, 101, 480, 900, 3000])) + "]" * depth,
    lambda rng: '{"a":' * (depth := rng.choice([2, 99, 480, 1200])) + "1" + "}" * depth,
    lambda rng: json.dumps(rng.choice(["\ud800", "a\udfff", "\u202eab", "\x1b[2J", "[/red]", "a" * 100_000, "\ufeff", "\x00"])),
    lambda rng: json.dumps(
        [rng.choice(["A", "B", "", "yes", 1, None, 2.5, ["A"], {"a": 1}]) for _ in range(rng.randrange(40))]
    ),
    lambda rng: json.dumps({"text": [rng.choice(["a", "b", 3]) for _ in range(3)], "label": ["A", "B", "C"]}),
    lambda rng: json.dumps({rng.choice(["answer", "value", "aliases", "input", "\ud800"]): rng.choice([1, "x", [], None])}),
    lambda rng: json.dumps("".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(30)))),
    lambda rng: json.dumps(rng.choice(["#### 18", "\\boxed{" * 50, "$x$", "(A)", "<<1+1=2>>", "Answer:", "[[[", "((((1"])),
    lambda rng: json.dumps([{"role": rng.choice(["user", "assistant", 3, None]), "content": rng.choice(["hi", None, [], 7])}]),
    lambda rng: rng.choice(["", "x", "'single'", "{", '{"a": 1,}', "01", "+1", "1.", '"unclosed', "// comment"]),  # no JSON
]

FIELDS = {
    "problems": ["question", "answer", "id", "choices", "rationale", "steps", "facts", "context", "meta", "split", "messages"],
    "traces": ["question", "answer", "trace", "steps", "model", "id", "finish", "choices", "predicted", "sample"],
}

GOOD = {
    "problems": '{"id": "ok", "question": "What is 2 + 2?", "answer": "4"}',
    "traces": '{"id": "ok", "question": "What is 2 + 2?", "answer": "4", "trace": "2 + 2 = 4\\nAnswer: 4", "model": "m"}',
}


def hostile_row(kind: str, rng: random.Random) -> str:
    """Return a row in which one field or more is anything."""
    fields = {name: json.dumps(value) for name, value in json.loads(GOOD[kind]).items()}
    fields["id"] = f'"row {rng.randrange(10**6)}"'
    for name in rng.sample(FIELDS[kind], rng.choice([1, 1, 1, 2, 4])):
        fields[name] = rng.choice(HOSTILE)(rng)
        if rng.random() < 0.1:
            del fields[name]
    row = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"
    harm = rng.random()
    if harm < 0.05:
        row = row[: rng.randrange(len(row))]
    elif harm < 0.08:
        row = rng.choice(HOSTILE)(rng)
    elif harm < 0.1:
        row = row.replace("question", rng.choice(["Question", "prompt", "problem", "queston"]))
    return row


def hostile_file(kind: str, rng: random.Random) -> bytes:
    """Return a file of rows, some of them hostile, in any encoding."""
    rows = [GOOD[kind], *(hostile_row(kind, rng) for _ in range(rng.choice([1, 1, 1, 3])))]
    rng.shuffle(rows)
    text = rng.choice(["\n", "\n", "\r\n", "\n\n"]).join(rows)
    encoding = rng.choice(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-16-be", "latin-1", "utf-32"])
    return text.encode(encoding, "replace")


def use_problems(path: Path, folder: Path) -> None:
    task = load_task(str(path))
    assert len(task.fingerprint) == 32
    for problem in task.problems:
        assert task.message(problem).strip() and problem.id.strip()
        if problem.answer is not None:
            task.continuation(problem.answer, problem)
    write_table(folder / "problems.parquet", task.problems, PROBLEMS)
    assert [problem.id for problem in read_rows(folder / "problems.parquet", PROBLEMS)] == [p.id for p in task.problems]


def use_traces(path: Path, folder: Path) -> None:
    imported = load_traces(path)
    task = trace_task(imported, "traces")
    model = load_scripted("computes")
    chains = to_chains(imported, model, task)
    assert all("".join(chain.step_texts) == chain.text for chain in chains if chain.steps)


def attack(kind: str, count: int, seed: int, folder: Path, attacks: Attacks) -> None:
    rng = random.Random(f"{kind}/{seed}")
    use: Any = use_problems if kind == "problems" else use_traces
    path = folder / "rows.jsonl"
    for number in range(count):
        content = hostile_file(kind, rng)
        path.write_bytes(content)
        attacks.tried(f"file {number}: {content!r}", lambda: use(path, folder))
    attacks.finish(count)
    assert attacks.counts["survived"] > count / 20 and attacks.counts["refused"] > count / 20


@pytest.mark.parametrize("kind", ["problems", "traces"])
def test_a_few_files(kind: str, tmp_path: Path, attacks: Attacks) -> None:
    attack(kind, 250, 1, tmp_path, attacks)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["problems", "traces"])
def test_five_thousand_files(kind: str, tmp_path: Path, attacks: Attacks) -> None:
    attack(kind, 5_000, 2, tmp_path, attacks)
