"""Which reproductions there are, and what the shipped results say of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Protocol, cast

from soundness.errors import RunError, SettingError, near
from soundness.papers.base import Finding, Paper, State, Told, find, overall
from soundness.report.document import Table

__all__ = [
    "REPRODUCTIONS",
    "Reproduction",
    "Result",
    "findings",
    "load_reproduction",
    "load_scale",
    "read_result",
    "reads_data",
    "shipped",
]

REPRODUCTIONS: dict[str, str] = {
    name: f"soundness.papers.{name.replace('-', '_')}"
    for name in ("corrupted-traces", "cot-length", "sft-splits", "selection", "lanham")
}
"""Name on the command line -> module that holds the reproduction."""


class Reproduction(Protocol):
    """A module of this folder."""

    PAPER: Paper
    SCALES: Mapping[str, Any]

    def run(self, scale: Any, seed: int, out: Path, told: Told) -> dict[str, Any]:
        """Return everything measured with one seed, as plain JSON."""
        ...

    def tables(self, seeds: Sequence[Mapping[str, Any]]) -> Sequence[Table]:
        """Return the tables beside the expectations."""
        ...

    def pictures(self, seeds: Sequence[Mapping[str, Any]]) -> Mapping[str, dict[str, Any]]:
        """Return name -> Vega-Lite specification."""
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished reproduction left."""

    name: str
    """Of the reproduction."""
    scale: str
    """Name of the scale."""
    sizes: dict[str, Any]
    """The scale's fields, without the folder of data."""
    revision: str
    """Of the code that measured."""
    inputs: dict[str, str]
    """File of data -> digest, or "absent"."""
    date: str
    """Day on which it ended, UTC."""
    command: str
    """What makes the same figures."""
    machine: str
    """Cores and devices, in words."""
    versions: dict[str, str]
    """Package -> version."""
    seconds: list[float]
    """Time each seed took, by the clock."""
    seeds: list[dict[str, Any]]
    """What `run` gave, seed by seed, with the seed under "seed"."""
    processor_seconds: list[float | None] = field(default_factory=list)
    """Processor time of each seed, on one thread: what the clock would show on a machine that does nothing else."""

    def text(self) -> str:
        """Return it as JSON, the same bytes for the same result."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def load_reproduction(name: str) -> Reproduction:
    """Return the module of a reproduction. Raises SettingError for an unknown name."""
    if name not in REPRODUCTIONS:
        raise SettingError(
            f"there is no reproduction {name!r}{near(name, REPRODUCTIONS)}; there are {', '.join(REPRODUCTIONS)}"
        )
    return cast("Reproduction", import_module(REPRODUCTIONS[name]))


def load_scale(module: Reproduction, name: str) -> Any:
    """Return the sizes of a scale. Raises SettingError where the reproduction has no such scale."""
    if name not in module.SCALES:
        known = ", ".join(module.SCALES)
        raise SettingError(f"{module.PAPER.name} has no scale {name!r}{near(name, module.SCALES)}; there are {known}")
    return module.SCALES[name]


def reads_data(name: str) -> bool:
    """Return whether a reproduction reads problems that are not part of the package."""
    return any(one.name == "data" for scale in load_reproduction(name).SCALES.values() for one in fields(scale))


def read_result(text: str) -> Result:
    """Return the result that `Result.text` wrote. Raises RunError where it is no such file."""
    try:
        return Result(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise RunError(f"this is not the result of a reproduction ({error}); make it anew with soundness reproduce") from error


def shipped(name: str) -> Result | None:
    """Return the result of the reproduction `name` that comes with the package, or None where there is none."""
    file = resources.files("soundness.papers").joinpath("results", f"{name}.json")
    return read_result(file.read_text(encoding="utf-8")) if file.is_file() else None


def findings(paper: Paper, result: Result) -> tuple[list[Finding], State]:
    """Return what became of each expectation, and of the claim as a whole, from the figures of the seeds."""
    found = [find(expectation, result.seeds) for expectation in paper.expectations]
    return found, overall(found)
