"""Does the information gain of a step tell wrong steps from right ones, where people have marked the first wrong one?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundness.chains.imported import load_traces, to_chains, trace_task
from soundness.errors import SoundnessError
from soundness.metrics.choosing import choose
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.scoring.score import Sampling, score_chains
from soundness.studies.validation import auroc_interval

__all__ = ["FILES", "find_data", "labelled_chains"]

FILES = {"bbh_mistake": "the reference answer", "processbench": "the chain's own answer"}
"""File (without .jsonl) -> whose answer the gain is taken towards."""

_LONGEST = 1200  # characters of question and steps; one pass over a longer chain takes seconds on a CPU


def find_data(data: str | Path | None) -> Path | None:
    """Return the folder of labelled chains: `data`, or ../shared/data beside the current one; None where it is absent."""
    folder = Path(data) if data is not None else Path("..") / "shared" / "data"
    return folder if all((folder / f"{name}.jsonl").is_file() for name in FILES) else None


def labelled_chains(
    data: str | Path | None, scorer: str, limit: int, *, seed: int, on_progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Return, per file, the AUROC with interval of three detectors of the first wrong step, or why it was skipped.

    Among the steps up to and with the first wrong one (later ones build on it), and all steps of chains without mistake: minus the
    step's information gain, the step's length in characters, and its place. Above 0.5 a higher value points to the wrong step.
    Chains are resampled whole.
    """
    folder = find_data(data)
    if folder is None:
        where = data if data is not None else "../shared/data"
        return {
            "skipped": f"{where} does not hold {' and '.join(f'{name}.jsonl' for name in FILES)}; name the folder with --data"
        }
    try:
        model = load_model(scorer)
    except SoundnessError as error:
        return {"skipped": f"the scorer {scorer} cannot be loaded: {error}"}
    return {
        "scorer": scorer,
        **{
            name: _one_file(folder / f"{name}.jsonl", target, model, limit, seed, on_progress) for name, target in FILES.items()
        },
    }


def _one_file(
    path: Path, target: str, model: Any, limit: int, seed: int, told: Callable[[str, int, int], None]
) -> dict[str, Any]:
    import tempfile

    lines = path.read_text(encoding="utf-8").splitlines()
    short = [line for line in lines if sum(map(len, (row := json.loads(line))["steps"])) + len(row["question"]) <= _LONGEST]
    # Every k-th row, so that a file sorted by kind gives some of each.
    kept = short[:: max(1, len(short) // limit)][:limit]
    marks = {str(row["id"]): row.get("mistake_index") for row in map(json.loads, kept)}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / path.name
        rows.write_text(
            "\n".join(json.dumps({"model": "writer", **json.loads(line)}) for line in kept) + "\n", encoding="utf-8"
        )
        imported = load_traces(rows, None)
        task = trace_task(imported, path.stem)
        chains = to_chains(imported, model, task, splitter="auto")
    reader = CachedModel(model)
    found = score_chains(
        chains,
        task,
        choose(["early_answering"]),
        reader,
        reader="base",
        sampling=Sampling(seed),
        on_progress=lambda what, done, total: told(f"{what} {path.stem}", done, total),
    )
    cases = found.cases
    groups: dict[str, list[tuple[list[float], list[float]]]] = {"gain": [], "length": [], "position": []}
    wrong = steps = 0
    ladders = reader.read_groups(
        [[p for _, ps in case.ladder(case.gold) for p in ps] if case.gold and not case.skip_reason else [] for case in cases],
        on_progress=lambda done, total: told(f"steps of {path.stem}", done, total),
    )
    for case in cases:
        if case.gold is None or case.skip_reason or case.chain.problem_id not in marks:
            continue
        nats = [case.gold.nats(case.after_steps(i), ladders.__getitem__) for i in range(case.body.num_steps + 1)]
        mark = marks[case.chain.problem_id]
        last = case.body.num_steps if mark is None else min(int(mark) + 1, case.body.num_steps)
        values = {
            "gain": [nats[i] - nats[i + 1] for i in range(last)],
            "length": [float(len(case.body.chain.step_texts[i])) for i in range(last)],
            "position": [float(i) for i in range(last)],
        }
        ups = {int(mark)} if mark is not None and int(mark) < case.body.num_steps else set()
        wrong, steps = wrong + len(ups), steps + last
        for name, row in values.items():
            groups[name].append(([v for i, v in enumerate(row) if i in ups], [v for i, v in enumerate(row) if i not in ups]))
    results: dict[str, Any] = {"towards": target, "chains": len(groups["gain"]), "steps": steps, "wrong_steps": wrong}
    for name, rows_ in groups.items():
        estimate = auroc_interval(rows_, seed=seed) if rows_ else None
        assert estimate is None or all(map(math.isfinite, estimate))
        results[f"auroc_{name}"] = list(estimate) if estimate else None
    return results
