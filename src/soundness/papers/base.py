"""What a reproduction is: a claim, the arms that test it, what would confirm it and what would refute it, fixed before it runs.

A reproduction is one module of this folder. It holds, as data at its top, `PAPER` (a `Paper`) and `SCALES` (scale -> a frozen
dataclass of sizes), and the functions

    run(scale, seed, out, told) -> dict           one training seed: everything measured, as plain JSON, with "figures" in it
    tables(seeds) -> Sequence[Table]              what a reader wants to see beside the expectations
    pictures(seeds) -> Mapping[str, dict]         name -> Vega-Lite specification

`scale` is one of the dataclasses in `SCALES`, `out` a folder of this seed and these settings alone, with whatever a killed run left
there. `seeds` is what `run` gave, one entry per seed.
"figures" holds a number for every expectation, or None where it could not be computed, with the reason in the list "skipped" beside
it. Whether a claim is confirmed is computed here from the figures, never by hand.

A scale may have a field `data`, the folder of problems that is not part of the package; a module that has one also has

    inputs(scale) -> Mapping[str, str]            file -> digest of what it holds, or "absent"
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from soundness.files import read_json, write_text
from soundness.progress import Progress
from soundness.statistics.seeds import mean_known, seed_interval

__all__ = [
    "VEGA_LITE",
    "Arm",
    "Expectation",
    "Finding",
    "Paper",
    "Quoted",
    "Setting",
    "State",
    "Told",
    "difference",
    "find",
    "make_once",
    "overall",
    "seed_interval",
]

VEGA_LITE = "https://vega.github.io/schema/vega-lite/v6.json"
"""What a picture's specification names as its `$schema`."""

Told = Progress
"""Told (what is being done, how much of it is done, how much there is)."""

Trust = Literal["paper", "abstract", "code", "second-hand", "unverified", "computed"]
"""How far a quoted figure can be trusted: in the paper's text, in its abstract alone, in the authors' code, in somebody else's
account, nowhere to be checked, or derived here."""


class State(StrEnum):
    """What a reproduction came to."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class Quoted:
    """A figure as its source prints it."""

    what: str
    value: str
    trust: Trust


@dataclass(frozen=True, slots=True)
class Setting:
    """A size of the set-up and where it comes from; `name` is a field of the scale, or several ("layers, width"), or words."""

    name: str
    source: str
    """Such as "paper, sec. 4", "code", or "ours: ..." with the reason."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the models or readings that are compared."""

    name: str
    what: str
    control: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """Something that should come out, with the bounds that say whether it did, fixed before anything ran.

    Confirmed where the 95 % interval over seeds lies above `confirmed_above`, refuted where it lies below `refuted_below`, otherwise
    not reached. A `premise` must be confirmed for the claim to be testable at this scale at all; an `observation` is reported and
    decides nothing.
    """

    figure: str
    """Name of the figure in what `run` returns."""
    says: str
    """What should come out, as a sentence."""
    unit: str
    confirmed_above: float
    refuted_below: float
    role: Literal["claim", "premise", "observation"] = "claim"

    def __post_init__(self) -> None:
        assert self.refuted_below <= self.confirmed_above, self


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper's claim and how it is tested here."""

    name: str
    """As on the command line."""
    title: str
    reference: str
    """Identifier and version, such as "2505.13775 v3"."""
    claim: str
    """The claim in one sentence."""
    differs: tuple[str, ...]
    """Where this differs from the paper beyond size."""
    refuted_if: str
    """What would refute the claim, in words."""
    arms: tuple[Arm, ...]
    expectations: tuple[Expectation, ...]
    quoted: tuple[Quoted, ...]
    settings: tuple[Setting, ...]
    revision: str = "1"
    """Goes up whenever `run` would give other figures: what an earlier revision left is not taken up again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one expectation."""

    expectation: Expectation
    values: tuple[float | None, ...]
    """The figure, seed by seed; None where it could not be computed."""
    mean: float | None
    low: float | None
    """95 % interval over seeds (Student's t); None below two seeds or where a seed has no figure."""
    high: float | None
    state: State


def find(expectation: Expectation, seeds: Sequence[Mapping[str, Any]]) -> Finding:
    """Return what became of an expectation over the seeds; a missing figure of any seed leaves it not reached."""
    values = tuple(seed["figures"].get(expectation.figure) for seed in seeds)
    known = [float(value) for value in values if value is not None]
    mean = mean_known(known)
    interval = seed_interval(known) if len(known) == len(values) else None
    if interval is None:
        return Finding(expectation, values, mean, None, None, State.NOT_REACHED)
    low, high = interval
    state = State.NOT_REACHED
    if low > expectation.confirmed_above:
        state = State.CONFIRMED
    elif high < expectation.refuted_below:
        state = State.REFUTED
    return Finding(expectation, values, mean, low, high, state)


def overall(findings: Sequence[Finding]) -> State:
    """Return what the claim as a whole came to.

    Not reached where a premise is not confirmed; refuted where any part of the claim is; confirmed where every part is.
    """
    premises = [one.state for one in findings if one.expectation.role == "premise"]
    claims = [one.state for one in findings if one.expectation.role == "claim"]
    assert claims, "a reproduction needs a claim"
    if any(state is not State.CONFIRMED for state in premises):
        return State.NOT_REACHED
    if State.REFUTED in claims:
        return State.REFUTED
    return State.CONFIRMED if all(state is State.CONFIRMED for state in claims) else State.NOT_REACHED


def difference(one: float | None, other: float | None) -> float | None:
    """Return `one` less `other`, or None where either is missing."""
    return None if one is None or other is None else one - other


def make_once(path: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the JSON file `path` holds; where it is not there, what `make` gives is kept in it first.

    Raises RunError where the file cannot be written.
    """
    if not path.is_file():
        write_text(path, json.dumps(make(), allow_nan=False))
    found: dict[str, Any] = read_json(path)
    return found
