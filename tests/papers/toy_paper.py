"""A reproduction whose figures are planted: what `PLANTED` holds, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundness.papers.base import Arm, Expectation, Paper, Quoted, Setting
from soundness.report.document import Table

PAPER = Paper(
    name="toy",
    title="Toys <b>matter</b>",
    reference="0000.00001 v2",
    claim="More toys | more joy.",
    differs=("No child was asked.",),
    refuted_if="joy falls with toys.",
    arms=(Arm("toys", "with toys"), Arm("none", "without", control=True)),
    expectations=(
        Expectation("joy", "joy rises with toys", "points", 0.1, 0.0),
        Expectation("noise", "toys can be heard", "decibels", 0.0, 0.0, role="premise"),
        Expectation("mess", "the room after", "fraction", 0.5, 0.5, role="observation"),
    ),
    quoted=(Quoted("joy in the original", "+4.2", "second-hand"),),
    settings=(Setting("num_toys", "paper, sec. 1"), Setting("colour", "ours: any")),
)


@dataclass(frozen=True, slots=True)
class Scale:
    num_toys: int
    data: str = "nowhere"


SCALES = {"tiny": Scale(2), "paper": Scale(2000)}
PLANTED: dict[str, Sequence[float | None]] = {"joy": (0.5, 0.6, 0.55), "noise": (3.0, 3.1, 2.9), "mess": (0.2, 0.9, 0.4)}
CALLS: list[int] = []


def inputs(scale: Scale) -> Mapping[str, str]:
    return {"toys.jsonl": "absent" if scale.data == "nowhere" else "abc"}


def run(scale: Scale, seed: int, out: Path, told: Any) -> dict[str, Any]:
    CALLS.append(seed)
    told("playing", 1, 1)
    assert out.is_dir()
    (out / "played.json").write_text(json.dumps(scale.num_toys), encoding="utf-8")
    return {
        "figures": {name: values[seed] for name, values in PLANTED.items()},
        "skipped": ["toys.jsonl is absent: name its folder with --data"],
    }


def tables(seeds: Sequence[Mapping[str, Any]]) -> Sequence[Table]:
    return [Table("Joy by seed", ("seed", "joy"), tuple((str(s["seed"]), str(s["figures"]["joy"])) for s in seeds))]


def pictures(seeds: Sequence[Mapping[str, Any]]) -> Mapping[str, dict[str, Any]]:
    rows = [{"seed": seed["seed"], "joy": seed["figures"]["joy"]} for seed in seeds]
    return {
        "joy": {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "data": {"values": rows},
            "mark": "point",
            "encoding": {"x": {"field": "seed", "type": "quantitative"}, "y": {"field": "joy", "type": "quantitative"}},
        }
    }
