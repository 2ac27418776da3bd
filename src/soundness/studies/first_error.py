"""Which number of a step tells the first wrong step, where people have marked it?

Detectors of one step, each so that a higher value points to a wrong one:

    gain                 how much the step moves the model towards an answer: away from the reference answer is suspicious, and so is
                         *towards* the chain's own answer, which a wrong step makes likelier
    surprise             mean surprise (minus log p) of the step's tokens, nats
    surprise of digits   largest surprise of a token that holds a digit, nats
    saved by question    how much less surprising the tokens are with the question than without, nats per token; little is suspicious
    asked                log-odds that the model calls the step wrong when asked
    false equation       whether an equation in the step is false, by arithmetic
    length, position     characters of the step, and its number: controls, which no detector may merely repeat

Steps count up to the first wrong one, for later ones build on it, and all steps of chains without a mistake. Long steps are wrong
more often, and marked steps stand late: each AUROC is therefore shown again within steps of one position and within steps of one
quarter of the lengths.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from soundness.chains.imported import load_traces, to_chains, trace_task
from soundness.errors import SoundnessError
from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.records import Chain, Probe
from soundness.statistics.auroc import Marked, auroc_interval
from soundness.tasks.base import Task

__all__ = ["COMBINATIONS", "DETECTORS", "FILES", "find_data", "labelled_chains"]

FILES = {"bbh_mistake": "the reference answer", "processbench": "the chain's own answer"}
"""File (without .jsonl) -> whose answer the gain is taken towards."""

DETECTORS = ("gain", "surprise", "surprise of digits", "saved by question", "asked", "false equation", "length", "position")

COMBINATIONS = {
    "digits + gain": ("surprise of digits", "gain"),
    "digits + gain + length": ("surprise of digits", "gain", "length"),
}
"""Sums of ranks; nothing is fitted."""

_LONGEST = 1200  # characters of question and steps; one pass over a longer chain takes seconds on a CPU
_QUESTION = "\nIs the last step correct? Answer Yes or No:"
# "18 - 6 = 12", "1/3 * 18 = 6", "\(3 \times 4 = 12\)": two numbers, a sign, a result; no longer expression on either side.
_EQUATION = re.compile(
    r"(?<![\d.,*/+×÷-])(?<![-+*/×÷] )\$?(\d[\d,]*(?:\.\d+)?)\s*(\+|-|−|\*|×|x|/|÷|\\times|\\div)\s*\$?(\d[\d,]*(?:\.\d+)?)"
    r"\s*=\s*\$?(-?\d[\d,]*(?:\.\d+)?)(?![\d,]*[.\d]*\d|\s*[-+*/×÷])"
)


def find_data(data: str | Path | None) -> Path | None:
    """Return the folder of labelled chains: `data`, or ../shared/data beside the current one; None where it is absent."""
    folder = Path(data) if data is not None else Path("..") / "shared" / "data"
    return folder if all((folder / f"{name}.jsonl").is_file() for name in FILES) else None


def labelled_chains(
    data: str | Path | None, scorer: str, limit: int, *, seed: int, on_progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Return, per file, the AUROC with interval of every detector of the first wrong step, or why it was skipped.

    `pooled` over all steps, `within position` and `within length` (quarters) among steps that are alike in that. Chains are resampled
    whole. `limit` short chains are taken from each file.
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
    found: dict[str, Any] = {"scorer": scorer}
    for name, target in FILES.items():
        chains = _read_file(folder / f"{name}.jsonl", target, model, limit, on_progress)
        found[name] = {"towards": target, **_results(chains, seed)}
    return found


@dataclass(frozen=True, slots=True)
class _Detected:
    """One chain with a value per detector and step."""

    values: Mapping[str, Sequence[float]]
    """Detector -> a value for each step that counts."""
    wrong: int | None
    """The first wrong step, or None where there is none among those that count."""

    @property
    def num_steps(self) -> int:
        return len(self.values["position"])


def _results(chains: Sequence[_Detected], seed: int) -> dict[str, Any]:
    """Return the sizes and every AUROC."""
    detected = _with_combinations(chains)
    lengths = [length for chain in detected for length in chain.values["length"]]
    quarters = np.quantile(lengths, [0.25, 0.5, 0.75]) if lengths else np.zeros(3)
    strata: dict[str, Callable[[_Detected, int], int]] = {
        "pooled": lambda chain, step: 0,
        "within position": lambda chain, step: step,
        "within length": lambda chain, step: int(np.searchsorted(quarters, chain.values["length"][step])),
    }
    table: dict[str, dict[str, list[float] | None]] = {}
    for name in (*DETECTORS, *COMBINATIONS):
        table[name] = {}
        for how, stratum in strata.items():
            groups = [
                [Marked(chain.values[name][i], i == chain.wrong, stratum(chain, i)) for i in range(chain.num_steps)]
                for chain in detected
            ]
            estimate = auroc_interval(groups, seed=seed, resamples=999)
            table[name][how] = list(estimate) if estimate is not None else None
    return {
        "chains": len(detected),
        "steps": sum(chain.num_steps for chain in detected),
        "wrong_steps": sum(chain.wrong is not None for chain in detected),
        "auroc": table,
    }


def _with_combinations(chains: Sequence[_Detected]) -> list[_Detected]:
    """Return the chains with the sums of ranks over all steps beside the single detectors."""
    from scipy.stats import rankdata

    ranks = (
        {name: rankdata([value for chain in chains for value in chain.values[name]]) for name in DETECTORS} if chains else {}
    )
    found, place = [], 0
    for chain in chains:
        here = slice(place, place + chain.num_steps)
        sums = {name: sum(ranks[part][here] for part in parts).tolist() for name, parts in COMBINATIONS.items()}
        found.append(_Detected({**chain.values, **sums}, chain.wrong))
        place += chain.num_steps
    return found


def _read_file(path: Path, target: str, model: Model, limit: int, told: Callable[[str, int, int], None]) -> list[_Detected]:
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
    found = []
    for done, chain in enumerate(to_chains(imported, model, task, splitter="auto")):
        told(f"steps of {path.stem}", done, len(imported))
        mark = marks.get(chain.problem_id)
        last = len(chain.steps) if mark is None else min(int(mark) + 1, len(chain.steps))
        if last:
            values = _detect(chain, task, model, last, own="own" in target)
            if values is not None:
                found.append(_Detected(values, int(mark) if mark is not None and int(mark) < last else None))
    told(f"steps of {path.stem}", len(imported), len(imported))
    return found


def _detect(chain: Chain, task: Task, model: Model, last: int, *, own: bool) -> dict[str, list[float]] | None:
    """Return each detector's value for the first `last` steps, or None where the chain has no answer to take a gain towards."""
    problem = task.by_id[chain.problem_id]
    answer = chain.answer if own else problem.answer
    if answer is None:
        return None
    prompt, cue = chain.prompt.ids, tuple(model.encode(task.cue))
    target = tuple(model.encode(task.continuation(answer, problem)))
    bare = model.render("").ids  # the same template with nothing asked
    asked = tuple(model.encode(_QUESTION))
    yes, no = (tuple(model.encode(word)) for word in (" Yes", " No"))
    steps = range(last)
    probes = {
        **{("ladder", i): Probe((*prompt, *chain.before(i), *cue), target) for i in range(last + 1)},
        **{("step", i): Probe((*prompt, *chain.before(i)), chain.step_ids(i)) for i in steps},
        **{("bare", i): Probe((*bare, *chain.before(i)), chain.step_ids(i)) for i in steps},
        **{("yes", i): Probe((*prompt, *chain.before(i + 1), *asked), yes) for i in steps},
        **{("no", i): Probe((*prompt, *chain.before(i + 1), *asked), no) for i in steps},
    }
    read = dict(zip(probes, model.read(list(probes.values())), strict=True))
    ladder = [read["ladder", i].nats for i in range(last + 1)]
    sign = 1.0 if own else -1.0
    surprises = [[-nats for nats in read["step", i].token_nats] for i in steps]
    digits = [
        [
            surprise
            for surprise, piece in zip(surprises[i], model.pieces(chain.step_ids(i)), strict=True)
            if re.search(r"\d", piece)
        ]
        for i in steps
    ]
    means = [sum(row) / len(row) for row in surprises]
    return {
        "gain": [sign * (ladder[i + 1] - ladder[i]) for i in steps],
        "surprise": means,
        # A step without numbers cannot be wrong in one.
        "surprise of digits": [max(row, default=0.0) for row in digits],
        # Negative where the question saves something.
        "saved by question": [means[i] + read["bare", i].nats / len(read["bare", i].token_nats) for i in steps],
        "asked": [read["no", i].nats - read["yes", i].nats for i in steps],
        "false equation": [float(_is_false(chain.step_texts[i])) for i in steps],
        "length": [float(len(chain.step_texts[i])) for i in steps],
        "position": [float(i) for i in steps],
    }


def _is_false(text: str) -> bool:
    """Return whether a plain equation of two numbers in `text` does not hold; a rounded result is not held against it.

    >>> _is_false("He has 18 - 6 = 12 left, and 12 / 7 = 1.71."), _is_false("So 12 + 6 = 17.")
    (False, True)
    """
    return any(not _holds(*found.groups()) for found in _EQUATION.finditer(text))


def _holds(first: str, sign: str, second: str, result: str) -> bool:
    a, b, c = (Fraction(number.replace(",", "").rstrip(".")) for number in (first, second, result))
    if sign in ("/", "÷", "\\div"):
        if b == 0:
            return False
        value = a / b
    else:
        value = a + b if sign == "+" else a - b if sign in ("-", "−") else a * b
    places = len(result.partition(".")[2])
    return abs(value - c) <= Fraction(1, 2 * 10**places) * (places > 0 or value.denominator > 1)
