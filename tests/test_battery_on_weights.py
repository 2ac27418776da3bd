"""Every measure of one pass over chains, read by a tiny transformer with a real tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundness.auditing import score
from soundness.tasks.base import load_task

READ = [
    "info_gain",
    "filler",
    "filler_forms",
    "swap",
    "mistake",
    "mistake_regenerated",
    "mistake_forms",
    "controls",
    "paraphrase",
    "necessity",
    "redundancy",
]


def test_edits_survive_a_tokenizer_of_words(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    rows = [
        {
            "question": problem.question,
            "choices": list(problem.choices),
            "answer": problem.answer,
            "trace": f"{problem.rationale}\nAnswer: {problem.answer}\n",
            "model": "writer",
            "meta": dict(problem.meta),
        }
        for problem in load_task("lookup:hops=2,choices=3", limit=3).problems
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = tiny.metaspace_tokenizer()
    folder = tiny.folder("llama", tokenizer=tokenizer, name="llama-words")
    run = score(path, scorer=str(folder), out=tmp_path / "run", metrics=READ, max_tokens=24, dtype="float32", device="cpu")
    found = {row["metric"]: row for row in run.document["estimates"]}
    read = (
        "true_thinking",
        "drop_margin",
        "paraphrase_margin",
        "filler_margin_underscores",
        "noise_margin",
        "info_gain_over_noise",
    )
    for metric in read:
        assert found[metric]["n"] == 3 and found[metric]["value"] is not None, (metric, found[metric])
    assert found["necessity"]["value"] != 0.0
