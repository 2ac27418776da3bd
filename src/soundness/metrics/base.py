"""What a metric is: a name with a unit and a sign, a few probes to ask, and arithmetic on what comes back.

A *family* is a group of metrics that share probes. It lists its probes for a case and later turns readings into numbers; it never
touches a model. Families ask for what they need without looking at each other: equal probes are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from soundness.metrics.case import Case
from soundness.records import Probe, Reading

if TYPE_CHECKING:
    from soundness.statistics.totals import Rows, Statistic

__all__ = ["NO_ANSWER", "NO_REFERENCE", "Family", "Metric", "OverSamples", "Read", "Total", "Totals", "Value", "missing"]

Read = Callable[[Probe], Reading]
"""Looks up what came back for a probe."""

NO_REFERENCE = "no reference answer"
NO_ANSWER = "no answer could be read after the cue"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric in words, for tables, pages and documentation."""

    name: str
    """Its name everywhere."""
    unit: str
    """Unit of its values."""
    higher_is: str
    """What a higher value means."""
    says: str
    """What it tells, in one sentence, with its range and its value without reasoning."""
    says_not: str
    """What it does not tell."""
    source: str
    """Paper, section or equation, or `ours`."""


class Value(NamedTuple):
    """One metric of one case: a number, or None with a reason."""

    metric: str
    """Name of the metric."""
    number: float | None
    """The number, or None."""
    reason: str = ""
    """Why there is none."""


class Family(Protocol):
    """Metrics that share probes."""

    @property
    def name(self) -> str:
        """Its name, which also selects it."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it computes."""
        ...

    @property
    def scorers(self) -> tuple[str, ...]:
        """Who has to read for it: `self` (the writer), `base` (the base reads others' chains), `tuned` (a tuned model reads the
        base's chains), or `-` (nobody).
        """
        ...

    @property
    def cost(self) -> str:
        """What it reads or writes per chain, in words."""
        ...

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield (role, probe) for everything it needs to know about `case`."""
        ...

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield one value per metric."""
        ...


@runtime_checkable
class OverSamples(Protocol):
    """A family that also looks at all samples of one problem at once."""

    def of_problem(self, cases: Sequence[Case]) -> Iterator[Value]:
        """Yield one value per metric of that kind; `cases` are those of one problem and writer, in the order drawn."""
        ...


@dataclass(frozen=True, slots=True)
class Total:
    """A number over all problems that is no mean of numbers per problem."""

    metric: Metric
    """Its words."""
    inputs: tuple[str, ...]
    """Metrics whose scores it is made of: a row per chain that has all of them."""
    statistic: Statistic
    """From rows and weights to the number."""
    prepare: Callable[[Rows], Rows] | None = None
    """Changes the rows of each problem before anything else, or None."""


@runtime_checkable
class Totals(Protocol):
    """A family that has numbers over all problems; each stands in `metrics` as well."""

    @property
    def totals(self) -> tuple[Total, ...]:
        """Those numbers."""
        ...


def missing(metrics: tuple[Metric, ...], reason: str, given: Mapping[str, float] | None = None) -> Iterator[Value]:
    """Yield `reason` for every metric that has no number in `given`."""
    for metric in metrics:
        number = (given or {}).get(metric.name)
        yield Value(metric.name, number, "" if number is not None else reason)
