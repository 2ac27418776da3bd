"""What a metric is: a name with a unit, a direction and bounds; what it needs; and arithmetic on what comes back.

A *group* is a set of metrics that share what they ask. It says everything it needs in its own file, and never touches a model:

    probes    how likely is this answer after this prefix?     read(probe) -> Reading
    asks      what do you answer after this prefix?            read.answer(prefix) -> AskedAnswer
    edits     which edits of the chain it looks at             case.edits[kind]
    needs     what else has to be found out first              `Need`

Groups ask for what they need without looking at each other: equal probes are read once, equal questions asked once.

>>> class Wordiness(MetricGroup):
...     name = "wordiness"
...     metrics = (Metric(name="letters", unit="letters", direction="none", bounds=(0, None), description="Letters written."),)
...     readers = (Reader.NOBODY,)
...     def values(self, case, read):
...         yield Value("letters", float(len(case.chain.text)))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

from soundness.interventions.base import EditKind
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.records import AskedAnswer, Chain, Probe, Problem, Prompt, Reader, Reading, Score
from soundness.statistics.totals import Rows, Statistic
from soundness.tasks.base import Task
from soundness.tasks.panel import PanelTask

__all__ = [
    "CUT_OFF",
    "NOT_CHOICE",
    "NO_ANSWER",
    "NO_REFERENCE",
    "NO_STATED_ANSWER",
    "NO_STEPS",
    "ONE_SAMPLE",
    "UNREADABLE",
    "CorpusMetric",
    "Job",
    "Measured",
    "Metric",
    "MetricGroup",
    "Need",
    "Read",
    "Reader",
    "Value",
    "missing",
    "score_rows",
]

NO_REFERENCE = "no reference answer"
NO_ANSWER = "no answer could be read after the cue"
NO_STATED_ANSWER = "the chain states no answer"
NO_STEPS = "no steps before the answer"
CUT_OFF = "cut off at the token limit"
UNREADABLE = "answer unreadable"
NOT_CHOICE = "not a choice problem"
ONE_SAMPLE = "one sample per problem; ask for more with --samples"

Direction = Literal["up", "down", "none"]


class Need(StrEnum):
    """What has to be found out before a group can look at a case, beyond its probes, asks and edits."""

    OWN_ANSWER = "own answer"
    """The answer that the reader gives after the whole body: `case.own`."""
    DIRECT_ANSWER = "direct answer"
    """The answer that the reader gives without any step: `read.answer(case.after(()))`."""
    FACTS = "facts"
    """Whether each step states a true fact: `case.judgements`."""
    SEVERAL_SAMPLES = "several samples"
    """More than one chain per problem; a profile leaves the group out where there is one."""
    OTHER_TASKS = "other tasks"
    """Other tasks than the audit's: `job.other_tasks`; a profile leaves the group out where there are none."""
    REGENERATION = "regeneration"
    """The writer writes on from edited beginnings, so that nobody else can read for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric in words and data, for tables, pages and documentation."""

    name: str
    """Its name everywhere."""
    unit: str
    """Unit of its values."""
    direction: Direction
    """Which way is better: `up`, `down`, or `none` where a change is neither good nor bad by itself."""
    bounds: tuple[float | None, float | None] = (None, None)
    """Smallest and largest value that it can take, None where there is no end."""
    description: str
    """What it measures, in one sentence, with its range."""
    limitations: str = ""
    """What it does not tell."""
    source: str = "ours"
    """Paper, section or equation, or `ours`."""
    higher_means: str = ""
    """What a higher value means, in a few words."""
    no_reasoning: float | None = None
    """Its value for a model that ignores its chain and answers from the question; None where there is no such value."""


class Value(NamedTuple):
    """One metric of one case: a number, or None with a reason."""

    metric: str
    """Name of the metric."""
    number: float | None
    """The number, or None."""
    reason: str = ""
    """Why there is none."""


class Read(Protocol):
    """What came back: for a probe its reading, for a question the answer given."""

    def __call__(self, probe: Probe) -> Reading:
        """Return what the reader believes of `probe`, which one of the groups has to have listed."""
        ...

    def answer(self, prefix: Sequence[int]) -> AskedAnswer:
        """Return the answer that the reader gives right after `prefix`, which one of the groups has to have listed."""
        ...


@dataclass(frozen=True, slots=True)
class CorpusMetric:
    """A number over all problems that is no mean of numbers per problem."""

    metric: Metric
    """Its words."""
    inputs: tuple[str, ...]
    """Metrics whose scores it is made of: a row per chain that has all of them."""
    statistic: Statistic
    """From rows and weights to the number."""
    prepare: Callable[[Rows], Rows] | None = None
    """Changes the rows of each problem before anything else, or None."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a group may use for evaluations of its own, once the audit's chains are written."""

    models: Mapping[str, CachedModel]
    """Every model by its name in the run, the base first."""
    base: str
    """The base's name."""
    task: Task
    """The audit's task."""
    chains: Sequence[Chain]
    """What the base wrote."""
    max_tokens: int
    """Most tokens of one reply."""
    seed: int
    """The run's seed."""
    splitter: str
    """How chains are cut into steps."""
    other_tasks: Sequence[PanelTask] = ()
    """Tasks beside the audit's."""
    render: Callable[[Model, Task], Mapping[str, Prompt]] | None = None
    """Prompts by problem id as the audit renders them for a model; None where each model renders its own."""
    on_progress: Callable[[str, int, int], None] | None = None
    """Told (what is being done, how much of it is done, how much there is)."""

    def progress(self, what: str) -> Callable[[int, int], None] | None:
        """Return what tells the progress of `what`, or None where nobody listens."""
        if self.on_progress is None:
            return None
        listener = self.on_progress
        return lambda done, total: listener(what, done, total)


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured: what curves and tables are made of."""

    models: tuple[str, ...]
    """Names in the run, the base first."""
    scores: Sequence[Score]
    """Every score."""
    chains: Sequence[Chain]
    """Every chain, the samples of one problem side by side."""
    problems: Mapping[str, Problem]
    """The problems by id."""
    seed: int
    """The run's seed."""
    other_tasks: Sequence[str] = field(default=())
    """Names of the tasks beside the audit's."""


class MetricGroup:
    """Metrics that share what they ask. Data first; every method has a default."""

    name: str = ""
    """Its name, which also selects it."""
    metrics: tuple[Metric, ...] = ()
    """What `values` and `per_problem` yield."""
    corpus: tuple[CorpusMetric, ...] = ()
    """Numbers over all problems."""
    readers: tuple[Reader, ...] = (Reader.SELF,)
    """Who has to read for it."""
    edits: tuple[str | EditKind, ...] = ()
    """Kinds of edits that it looks at, by name (`soundness.interventions.plan.EDITS`) or as a kind of its own."""
    needs: frozenset[Need] = frozenset()
    """What else has to be found out first."""
    cost: str = ""
    """What it reads or writes per chain, in words."""

    @property
    def every_metric(self) -> tuple[Metric, ...]:
        """All of its metrics, those over all problems last."""
        return (*self.metrics, *(one.metric for one in self.corpus))

    def probes(self, case: Case) -> Iterable[tuple[str, Probe]]:
        """Return (role, probe) for every belief that it looks up in `case`."""
        return ()

    def asks(self, case: Case) -> Iterable[tuple[str, tuple[int, ...]]]:
        """Return (role, prefix) for every question that it wants answered about `case`.

        An open question is answered by greedy decoding up to the task's terminator, one with choices by the likeliest choice.
        """
        return ()

    def values(self, case: Case, read: Read) -> Iterable[Value]:
        """Return one value per metric of this chain."""
        return ()

    def per_problem(self, cases: Sequence[Case]) -> Iterable[Value]:
        """Return one value per metric that takes all samples of a problem, `cases`, in the order drawn."""
        return ()

    def ask(self, job: Job) -> Iterable[Score]:
        """Return the scores of evaluations of its own: other formats, other tasks, other readers."""
        return ()

    def curve(self, measured: Measured) -> Mapping[str, Any] | None:
        """Return what is a curve or a table rather than a number, as JSON values by name, or None."""
        return None


def missing(metrics: Iterable[Metric], reason: str, given: Mapping[str, float] | None = None) -> Iterator[Value]:
    """Yield `reason` for every metric that has no number in `given`."""
    for metric in metrics:
        number = (given or {}).get(metric.name)
        yield Value(metric.name, number, "" if number is not None else reason)


def score_rows(
    scores: Iterable[Score], inputs: Sequence[str], writer: str, reader: Reader
) -> tuple[dict[str, list[tuple[float, ...]]], dict[str, str]]:
    """Return the rows of one writer by problem, a row per chain that has every metric of `inputs`, and why problems have none.

    Scores count that were read by `reader`, or that nobody had to read for.
    """
    table: dict[tuple[str, int], dict[str, float]] = {}
    reasons: dict[str, str] = {}
    for score in scores:
        if score.writer == writer and score.metric in inputs and score.reader in (reader, Reader.NOBODY):
            row = table.setdefault((score.problem_id, score.sample), {})
            if score.value is None:
                reasons.setdefault(score.problem_id, score.reason)
            else:
                row[score.metric] = score.value
    rows: dict[str, list[tuple[float, ...]]] = {}
    for (problem, _), row in table.items():
        mine = rows.setdefault(problem, [])
        if len(row) == len(inputs):
            mine.append(tuple(row[name] for name in inputs))
    return rows, reasons
