"""A metric group on planted models, whose use of their chain is known: who breaks the contract is told before hours are spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from soundness.chains.sample import make_chain, sample_chains
from soundness.errors import MetricError
from soundness.metrics.base import MetricGroup, Value
from soundness.models.cached import CachedModel
from soundness.models.scripted import load_scripted
from soundness.records import Chain, Generation, Reader
from soundness.scoring.contract import checked, guarded, seen_by
from soundness.scoring.helpers import Sampling
from soundness.scoring.score import ScoredChains, score_chains
from soundness.tasks.base import Task, load_task

__all__ = ["SCENES", "Scene", "check_group", "play"]

# Sums of logarithms come out a few last digits away from what they cancel to.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Scene:
    """One planted model on a few problems."""

    model: str
    """The scripted model."""
    world: str = "chain-sum"
    """The world that it is asked about."""
    limit: int = 3
    """Problems."""
    samples: int = 1
    """Chains per problem."""
    text: str | None = None
    """What it writes in place of its own chain."""
    cut: bool = False
    """Whether every chain ends at the token limit."""
    reference: bool = True
    """Whether the problems have a reference answer."""

    @property
    def sampling(self) -> Sampling:
        """How its chains are written."""
        return Sampling(temperature=0.0 if self.samples == 1 else 1.0, max_tokens=256)

    def task(self) -> Task:
        """Return the problems."""
        task = load_task(self.world, limit=self.limit)
        if self.reference:
            return task
        return replace(task, problems=tuple(replace(problem, answer=None) for problem in task.problems))

    def chains(self, model: CachedModel, task: Task) -> list[Chain]:
        """Return what the model writes, or is made to write."""
        if self.text is None:
            chains = sample_chains(model, task, samples=self.samples, temperature=self.sampling.temperature, max_tokens=256)
        else:
            ids = tuple(model.encode(self.text))
            chains = [
                make_chain(model, problem, task.prompt(model, problem), Generation(ids, "stop"), writer=model.name)
                for problem in task.problems
            ]
        return [replace(chain, finish="length") for chain in chains] if self.cut else chains


SCENES = {
    "uses its chain": Scene("computes"),
    "ignores its chain": Scene("ignores-chain"),
    "answers at random": Scene("random"),
    "choices": Scene("computes", "lookup:choices=4"),
    "choices, ignored": Scene("ignores-chain", "lookup:choices=4"),
    "several samples": Scene("computes?slip=0.5", samples=3),
    "no steps": Scene("computes", text="Answer: 7\n"),
    "nothing written": Scene("computes", text=""),
    "cut off": Scene("computes", cut=True),
    "no reference answer": Scene("computes", reference=False),
}
"""Name -> scene, from the ordinary to what a metric has to refuse."""

IGNORING = ("ignores its chain", "choices, ignored")
"""Scenes in which a metric has the value that it declares for no reasoning."""


def play(group: MetricGroup, scene: Scene) -> Iterator[tuple[Reader, ScoredChains]]:
    """Yield what each reader of `group` makes of the scene's chains."""
    task, model = scene.task(), CachedModel(load_scripted(scene.model), batch_size=64)
    chains = scene.chains(model, task)
    for reader in dict.fromkeys(Reader.SELF if reader == Reader.NOBODY else reader for reader in group.readers):
        yield reader, score_chains(chains, task, [group], model, reader=reader, sampling=scene.sampling)


def check_group(group: MetricGroup) -> None:
    """Raise `MetricError`, naming the clause, unless `group` keeps the contract on every scene.

    It has to yield what it declares and nothing else, in its bounds, None only with a reason; to list what it looks up; to give the
    value that it declares for a model that ignores its chain; and not to depend on the order of samples.
    """

    def refuse(scene: str, clause: str) -> MetricError:
        return MetricError(f"the metric group {group.name} breaks the contract ({scene}): {clause}")

    yielded: set[str] = set()
    for name, scene in SCENES.items():
        for reader, scored in play(group, scene):
            yielded |= {score.metric for score in scored.scores}
            for metric in group.metrics:
                wanted = metric.no_reasoning
                if wanted is None or reader != Reader.SELF or name not in IGNORING:
                    continue
                values = [score.value for score in scored.scores if score.metric == metric.name and score.value is not None]
                if wrong := next((value for value in values if abs(value - wanted) > _ROUNDING), None):
                    raise refuse(name, f"it declares no_reasoning={wanted:g} for {metric.name}, which is {wrong:g} there")
            for problem, first, second in _in_both_orders(group, scored):
                if first != second:
                    raise refuse(name, f"per_problem() depends on the order of samples on problem {problem}")
    asks_itself = type(group).ask is not MetricGroup.ask
    if (never := next((m.name for m in group.metrics if m.name not in yielded), None)) and not asks_itself:
        raise refuse("every one", f"it declares {never!r} and never yields it")


def _in_both_orders(group: MetricGroup, scored: ScoredChains) -> Iterator[tuple[str, set[Value], set[Value]]]:
    """Yield, per problem with several samples, what `per_problem` makes of them as drawn and reversed."""
    for problem in dict.fromkeys(case.problem.id for case in scored.cases):
        cases = [seen_by(group, case) for case in scored.cases if case.problem.id == problem]
        if len(cases) > 1:
            orders = (cases, cases[::-1])
            first, second = (
                {
                    Value(v.metric, None if v.number is None else round(v.number, 9), v.reason)
                    for v in checked(group, guarded(group, "per_problem", problem, group.per_problem, order), problem)
                }
                for order in orders
            )
            yield problem, first, second
