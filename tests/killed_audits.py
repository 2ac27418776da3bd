"""Audits that are killed with SIGKILL at five places and resumed, each in a process of its own; run by test_audit.py.

Arguments: the folder of the base, that of the tuned model, where runs go. Prints one JSON object: place -> what was seen.
Processes are forked once everything is imported: that is most of the time that an audit of tiny models takes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from soundness.auditing import audit
from soundness.models.store import Store
from soundness.records import Problem
from soundness.runs.folder import Run
from soundness.tasks.base import Task

PLACES = ("sampling base", "sampling tuned", "asking", "reading", "before writing")
METRICS = ["info_gain", "early_answering"]


def run(base: str, tuned: str, out: Path) -> None:
    questions = tuple(Problem(f"p{i}", f"What is {i} + {i}?", str(2 * i)) for i in range(8))
    audit(
        base,
        [tuned],
        Task("sums", questions),
        out=out,
        samples=2,
        seed=5,
        temperature=1.0,
        max_tokens=40,
        metrics=METRICS,
        batch_size=3,
        dtype="float32",
        device="cpu",
    )


def kill_at(place: str) -> None:
    """Kill this process at `place`: after the second commit of that kind, so that half of its work is kept."""
    fingerprints: list[str] = []
    seen = {"count": 0}

    def committed(kind: str) -> None:
        seen["count"] += kind == place
        if seen["count"] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    def put_generations(self, pairs, original=Store.put_generations):
        pairs = list(pairs)
        original(self, pairs)
        request = pairs[0][0]
        if request.model not in fingerprints:
            fingerprints.append(request.model)
        writer = ("base", "tuned")[fingerprints.index(request.model)]
        committed("asking" if isinstance(request.until, str) else f"sampling {writer}")  # a Stop ends a chain

    def put_readings(self, *arguments, original=Store.put_readings):
        original(self, *arguments)
        committed("reading")

    def write_results(self, *arguments, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    Store.put_generations, Store.put_readings = put_generations, put_readings
    if place == "before writing":
        Run.write_results = write_results


def apart(base: str, tuned: str, out: Path, place: str | None) -> int:
    """Audit in a process of its own; return how it ended: 0, or minus the signal."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if place:
                kill_at(place)
            run(base, tuned, out)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    base, tuned, root = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    run(base, tuned, root / "imports")  # what is imported on the way is imported once, before the forks
    found: dict[str, object] = {"never": apart(base, tuned, root / "whole", None)}
    for number, place in enumerate(PLACES):
        out = root / f"killed-{number}"
        ended = apart(base, tuned, out, place)
        with Store(out / "store.sqlite", read_only=True) as store:
            kept = store.counts()
        unfinished = not (out / "comparisons.json").exists()
        found[place] = {"ended": ended, "unfinished": unfinished, "kept": kept, "resumed": apart(base, tuned, out, None)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
