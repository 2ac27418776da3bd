"""What watching costs a training: the same supervised fine-tuning with the monitor at its defaults and without, in turn."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from soundness.tasks.base import load_task
from soundness.training.data import build_examples
from soundness.training.monitor import SoundnessMonitor
from soundness.training.session import open_session
from soundness.training.settings import Settings
from soundness.training.sft import Config, fit_examples

BASE, TASK = "organism:base", "organism:domain"
PANEL_SEED = 1
"""The panel is the training's domain, other problems."""

TARGET = 0.05
"""Most that the monitor may add, as a share of the training without it."""

BATCH_SIZE, STEPS, SHORT_STEPS = 16, 1300, 40


class Timed(SoundnessMonitor):
    """A monitor that says how long each of its snapshots made the processor work, the base's first."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.parts: list[float] = []

    def on_train_begin(self, *given: Any, **others: Any) -> None:
        """Look at the base."""
        begun = time.process_time()
        super().on_train_begin(*given, **others)
        self.parts.append(time.process_time() - begun)

    def on_step_end(self, *given: Any, **others: Any) -> None:
        """Look where it is time to."""
        begun, snapshots = time.process_time(), len(self.snapshots)
        super().on_step_end(*given, **others)
        if len(self.snapshots) > snapshots:
            self.parts.append(time.process_time() - begun)


class Pair(NamedTuple):
    """One training without the monitor and one with it, right after each other, in seconds of processor time."""

    plain: float
    watched: float
    parts: list[float]
    """What the watched one spent in each snapshot: of the base, in between, after the last step."""

    @property
    def added(self) -> float:
        """Return what the training with the monitor took longer, as a share of the one without: everything counted."""
        return self.watched / self.plain - 1

    @property
    def measuring(self) -> float:
        """Return what the monitor took, all snapshots included, as a share of the training around it."""
        return sum(self.parts) / (self.watched - sum(self.parts))


def train(out: Path, steps: int, monitor: SoundnessMonitor | None = None) -> float:
    """Return the processor seconds of one training, from making the trainer to the saved weights."""
    settings = Settings(
        max_steps=steps, batch_size=BATCH_SIZE, adaptation="full", learning_rate=1e-4, dtype="float32", device="cpu"
    )
    task = load_task(TASK, limit=1000, seed=0)
    with open_session("sft", BASE, task, out=out, settings=settings, config=Config(), monitor=monitor) as run:
        examples = build_examples(task, "rationale", run.tokenizer)
        begun = time.process_time()
        fit_examples(run, examples)
        return time.process_time() - begun


def watch(out: Path, steps: int) -> tuple[float, list[float]]:
    """Return the same of a training with the monitor, and the parts that are its own."""
    monitor = Timed(load_task(TASK, limit=16, seed=PANEL_SEED))
    return train(out, steps, monitor), monitor.parts


def measure(steps: int, rounds: int) -> list[Pair]:
    """Return one pair per round on one thread; who goes first alternates, and a short training with the monitor warms up."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            watch(folder / "warm", 10)
            for place in range(rounds):
                if place % 2:
                    watched, parts = watch(folder / f"watched-{place}", steps)
                    plain = train(folder / f"plain-{place}", steps)
                else:
                    plain = train(folder / f"plain-{place}", steps)
                    watched, parts = watch(folder / f"watched-{place}", steps)
                found.append(Pair(plain, watched, parts))
    finally:
        torch.set_num_threads(threads)
    return found


def spread(values: list[float]) -> str:
    """Return the median and the ends of shares."""
    return f"{statistics.median(values):.1%} ({min(values):.1%} to {max(values):.1%})"


def section(steps: int = STEPS, rounds: int = 5) -> str:
    """Return the part on the monitor."""
    pairs = measure(steps, rounds)
    short = measure(SHORT_STEPS, rounds)
    added, measuring = ([getattr(pair, name) for pair in pairs] for name in ("added", "measuring"))
    fixed = statistics.median(pair.parts[0] + pair.parts[-1] for pair in (*pairs, *short))
    table = [
        f"| {count:,} | {pair.plain:.2f} | {pair.watched:.2f} | {pair.parts[0]:.2f} | {len(pair.parts) - 2} | {sum(pair.parts[1:-1]):.2f} "
        f"| {pair.parts[-1]:.2f} | {pair.measuring:.1%} | {pair.added:+.1%} |"
        for count, found in ((steps, pairs), (SHORT_STEPS, short))
        for pair in found
    ]
    reached = "reached" if statistics.median(added) <= TARGET else "missed"
    return "\n".join(
        [
            "## The monitor",
            "",
            f"Supervised fine-tuning of `{BASE}` on `{TASK}`, all weights, batches of {BATCH_SIZE}, one thread, without a monitor and with `SoundnessMonitor` at its",
            "defaults (16 problems), in turn. Seconds of processor time, so that others on the machine count less, from making the trainer to saved weights.",
            "Looking: everything the monitor does, all snapshots included, beside the training around it. Added: what the training with the monitor took longer",
            "than the one without.",
            "",
            "| steps | without, s | with, s | base, s | snapshots in between | their time, s | last snapshot, s | measuring | added |",
            "|---|---|---|---|---|---|---|---|---|",
            *table,
            "",
            f"Median (ends) over the pairs of {steps:,} steps: measuring {spread(measuring)}, added {spread(added)} ({reached}: at most {TARGET:.0%}).",
            f"The snapshot of the base and the last one take {fixed:.2f} s together, however long the training is; for them to be {TARGET:.0%} of it, it has to take "
            f"{fixed / TARGET:.0f} s.",
            f"Over the pairs of {SHORT_STEPS} steps, which have no others, added {spread([pair.added for pair in short])}.",
        ]
    )
