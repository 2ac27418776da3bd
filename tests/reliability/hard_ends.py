"""Audits that end hard: killed at any moment, on a full disk, or beside others that want the same folder.

Arguments: what (kill, grow, full, contend, score; several with commas), how often, seed, folder. Each attack is a process of its own,
forked once everything is imported, and is followed by the same command undisturbed, which has to end with the bytes of a run that
nobody disturbed. Prints one JSON object: what -> counts, with `wrong`, a list of what should not have been.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soundness import auditing
from soundness.errors import SoundnessError
from soundness.report.page import write_page
from soundness.runs.folder import open_run

BASE, TUNED = "scripted:computes?slip=0.3", "scripted:ignores-chain?slip=0.3&seed=1"
ERROR = 3


def audit(out: Path, limit: int = 5) -> None:
    options: dict[str, Any] = {"metrics": ["info_gain", "filler"], "noise_floor": False, "batch_size": 2}
    auditing.audit(BASE, [TUNED], "chain-sum", limit=limit, out=out, **options)


def audit_three(out: Path) -> None:
    audit(out, 3)


def score(out: Path) -> None:
    traces = out.parent / "traces.jsonl"
    auditing.score(traces, scorer=BASE, out=out, metrics=["info_gain"], batch_size=2)


def write_traces(path: Path) -> None:
    rows = []
    for i in range(12):
        trace = f"{i} + 2 = {i + 2}\nAnswer: {i + 2}"
        rows.append({"id": str(i), "question": f"What is {i} + 2?", "answer": str(i + 2), "trace": trace, "model": "m"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def results(path: Path) -> dict[str, bytes]:
    """Return what two runs of one thing have in common, byte by byte."""
    names = sorted(
        one.name for one in path.iterdir() if one.suffix in (".parquet", ".json", ".jsonl") and one.name != "run.json"
    )
    found = {name: (path / name).read_bytes() for name in names}
    document = json.loads((path / "run.json").read_text())
    kept = {name: document.get(name) for name in ("settings", "verdicts", "models", "seeds", "tables", "estimates")}
    return {**found, "run.json": json.dumps(kept, sort_keys=True).encode()}


def begin(work: Callable[[Path], None], out: Path, room: int | None = None) -> int:
    """Return the process id of a child that does `work`, where given with room for files of so many bytes.

    It ends with 0, with ERROR where it was refused in a short message, or with 1 and a traceback.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        work(out)
        code = 0
    except SoundnessError as error:
        code = ERROR if 0 < len(str(error)) <= 2_000 else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int, patience: float = 120.0) -> int:
    """Return how a child ended: its exit code, or minus the signal; -99 where it had to be given up."""
    stop = time.monotonic() + patience
    while time.monotonic() < stop:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -99


def leftovers(path: Path) -> list[str]:
    return [one.name for one in path.iterdir() if one.name.endswith((".part", ".writing"))]


class Attack:
    """Attacks of one kind, and what became of them."""

    def __init__(self, what: str, seed: str, root: Path) -> None:
        self.work = score if what == "score" else audit
        self.rng = random.Random(f"{what}/{seed}")
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        whole, begun = root / f"whole-{what}", time.monotonic()
        assert ended(begin(self.work, whole)) == 0
        self.seconds = time.monotonic() - begun
        self.expected = results(whole)

    def killed(self, work: Callable[[Path], None], out: Path) -> None:
        child = begin(work, out)
        time.sleep(self.rng.uniform(0, 1.2 * self.seconds))
        os.kill(child, signal.SIGKILL)
        self.counts["killed" if ended(child) == -signal.SIGKILL else "ended before"] += 1

    def kill(self, out: Path) -> None:
        for _ in range(self.rng.choice([1, 1, 2, 3])):
            self.killed(self.work, out)

    score = kill

    def grow(self, out: Path) -> None:
        """A finished run that is killed while problems are added to it stays finished."""
        assert ended(begin(audit_three, out)) == 0
        before = results(out)
        self.killed(audit, out)
        state = open_run(out)
        if not state.finished or state.changes():
            self.wrong.append(f"{out.name}: left unfinished or torn: {state.changes()}")
        elif len(state.problems()) == 3 and results(out) != before:
            self.wrong.append(f"{out.name}: lost what it had")
        write_page(state, out.parent / "page.html")
        self.counts["grown" if len(state.problems()) == 5 else "as it was"] += 1

    def full(self, out: Path) -> None:
        room = int(self.rng.choice([0, 100, 2_000, 8_000, 20_000, 40_000, 80_000]) * self.rng.uniform(0.5, 1))
        code = ended(begin(self.work, out, room))
        self.counts[{0: "there was room", ERROR: "said"}.get(code, "failed")] += 1
        if code not in (0, ERROR):
            self.wrong.append(f"{out.name}: exit {code} with room for {room} bytes")

    def contend(self, out: Path) -> None:
        children = [begin(self.work, out) for _ in range(4)]
        codes = sorted(ended(child) for child in children)
        self.counts["won"] += codes.count(0)
        self.counts["refused"] += codes.count(ERROR)
        if codes[0] != 0 or set(codes) - {0, ERROR}:
            self.wrong.append(f"{out.name}: exit codes {codes}")

    def undisturbed(self, out: Path) -> None:
        """The same command once more."""
        code = ended(begin(self.work, out))
        if code != 0:
            self.wrong.append(f"{out.name}: the same command again ended with {code}")
        elif (found := results(out)) != self.expected:
            self.wrong.append(f"{out.name}: another {', '.join(n for n in self.expected if found.get(n) != self.expected[n])}")
        elif open_run(out).changes() or leftovers(out):
            self.wrong.append(f"{out.name}: {open_run(out).changes()} {leftovers(out)}")


def main() -> None:
    kinds, count, seed, root = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    write_traces(root / "traces.jsonl")
    audit(root / "imports")  # what is imported on the way is imported once, before the forks
    found: dict[str, dict[str, Any]] = {}
    for what in kinds:
        attack = Attack(what, seed, root)
        for number in range(count):
            out = root / f"{what}-{number}"
            getattr(attack, what)(out)
            attack.undisturbed(out)
            shutil.rmtree(out, ignore_errors=True)
        found[what] = {"tried": count, **attack.counts, "wrong": attack.wrong}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
