"""What watching costs a training: the same supervised fine-tuning with the monitor at its defaults and without."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from soundness.tasks.base import load_task
from soundness.training import sft
from soundness.training.common import Settings
from soundness.training.monitor import SoundnessMonitor

BASE, TASK = "organism:base", "organism:domain"
PANEL_SEED = 1
"""The panel is the training's domain, other problems."""

TARGET = 0.05
"""Most that looking may add, as a share of the training time."""


class Costs(NamedTuple):
    """One training with the monitor, and one without right before it."""

    plain: float
    """Seconds of the training without."""
    watched: float
    """Seconds of the training with, all looks included."""
    first: float
    """Seconds of the look at the base, before the first step."""
    during: float
    """Seconds of the looks between the first step and the last."""
    last: float
    """Seconds of the look after the last step."""
    num_during: int
    """Looks between the first step and the last."""

    @property
    def share(self) -> float:
        """Return the looks during training as a share of the time of the training around them."""
        return self.during / (self.watched - self.first - self.during - self.last)

    @property
    def over_plain(self) -> float:
        """Return what the monitor added to the plain training, as a share of it; without the first look and the last."""
        return (self.watched - self.first - self.last) / self.plain - 1


def train(out: Path, steps: int, monitor: SoundnessMonitor | None = None) -> float:
    """Return the seconds of one training."""
    settings = Settings(max_steps=steps, batch_size=16, adaptation="full", learning_rate=1e-4, dtype="float32", device="cpu")
    folder = sft.train(BASE, load_task(TASK, limit=1000, seed=0), out=out, settings=settings, monitor=monitor)
    return float(json.loads((folder / "training.json").read_text())["seconds"])


def measure(steps: int = 400, rounds: int = 3) -> list[Costs]:
    """Return the costs of each round; a short training warms up before the first."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train(folder / "warm", 10)
        for place in range(rounds):
            plain = train(folder / f"plain-{place}", steps)
            monitor = SoundnessMonitor(None, load_task(TASK, limit=16, seed=PANEL_SEED))
            watched = train(folder / f"watched-{place}", steps, monitor)
            assert monitor.reference is not None
            *during, last = monitor.looks
            seconds = sum(one.seconds for one in during)
            found.append(Costs(plain, watched, monitor.reference.seconds, seconds, last.seconds, len(during)))
    return found


def section(steps: int = 400) -> str:
    """Return the part on the monitor."""
    rows = measure(steps)
    share, added = (statistics.median(getattr(row, name) for row in rows) for name in ("share", "over_plain"))
    reached = "reached" if share <= TARGET else "missed"
    table = [
        f"| {row.plain:.2f} | {row.watched:.2f} | {row.first:.2f} | {row.num_during} | {row.during:.2f} | {row.last:.2f} "
        f"| {row.share:.1%} | {row.over_plain:+.1%} |"
        for row in rows
    ]
    return "\n".join(
        [
            "## The monitor",
            "",
            f"Supervised fine-tuning of `{BASE}` on `{TASK}`, all weights, {steps} steps of 16, with `SoundnessMonitor` at its defaults (16 problems, looks as",
            "often as 5 % of the training time allow) and without. Looking: the looks between the first step and the last, beside the training around",
            "them. Added: what the training with the monitor took longer than the one without, which holds the machine's own swings too. The look at the base",
            "before the first step and the one after the last are taken once, however long the training is, and are in neither.",
            "",
            "| without, s | with, s | first look, s | looks during | their time, s | last look, s | looking | added |",
            "|---|---|---|---|---|---|---|---|",
            *table,
            "",
            f"Medians: looking {share:.1%} ({reached}: at most {TARGET:.0%}), added {added:+.1%}.",
        ]
    )
