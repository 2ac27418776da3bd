"""Cases whose readings are written down by hand, so that metrics can be checked against arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from soundness.chains.body import Body
from soundness.chains.sample import sample_chains
from soundness.metrics import GROUPS
from soundness.metrics.base import NO_ANSWER
from soundness.metrics.belief import Belief
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.scripted import load_scripted
from soundness.models.store import Store
from soundness.records import AskedAnswer, Chain, Probe, Problem, Prompt, Reading, Span
from soundness.scoring.reading import CaseRead
from soundness.scoring.score import Helpers, Sampling, ScoredChains, score_chains
from soundness.tasks.base import Task, load_task

PROMPT, CUE = (1, 2), (9,)
STEP = 100  # step i of a chain is the one token 100 + i


class Cases:
    """Makes cases of K one-token steps, and readers of probes from what stands written."""

    prompt, cue = PROMPT, CUE

    def make(
        self,
        num_steps: int,
        *,
        answer_ids: Sequence[int] = (50,),
        finish="stop",
        answer_step: int | None = None,
        rivals: Sequence[Sequence[int]] = (),
        edits=None,
        problem_id: str = "p",
        reference: str | None = "7",
        outcome=None,
    ) -> Case:
        ids = tuple(STEP + i for i in range(num_steps))
        chain = Chain(
            problem_id=problem_id,
            model="m",
            sample=0,
            seed=0,
            prompt=Prompt("q", PROMPT),
            ids=ids,
            text="x" * num_steps,
            finish=finish,
            steps=tuple(Span(i, i + 1) for i in range(num_steps)),
            step_texts=("x",) * num_steps,
            answer="7",
            answer_step=answer_step,
            outcome=outcome,
        )
        belief = Belief(tuple(answer_ids), tuple(map(tuple, rivals)))
        body = Body(chain, ("x",) * num_steps, (), ())
        choices = tuple("abcd"[: len(rivals)]) or None
        problem = Problem(problem_id, "q", reference, choices=choices)
        gold = belief if reference is not None else None
        return Case(problem, chain, "self", body, PROMPT, CUE, gold, belief, edits=edits or {})

    def reader(self, ladder, *, top=None, ids=(50,)):
        """Return a look-up: after i steps the answer `ids` has `ladder[i]` nats (spread over its tokens), and is top as told."""

        def read(probe: Probe) -> Reading:
            assert probe.continuation == tuple(ids)
            steps = len(probe.prefix) - len(PROMPT) - len(CUE)
            assert probe.prefix == (*PROMPT, *(STEP + i for i in range(steps)), *CUE)
            n = len(ids)
            return Reading((ladder[steps] / n,) * n, ((True,) * n) if top is None else (bool(top[steps]),) * n)

        return read

    def answers(self, case: Case, *, after: str | None, before: str | None) -> CaseRead:
        """Return a look-up of what is answered `after` all steps and `before` any."""

        def answer(value: str | None) -> AskedAnswer:
            return AskedAnswer(f" {value or ''}", value, "stop", "" if value else NO_ANSWER)

        return CaseRead(case, {}, {case.after(case.body.chain.ids): answer(after), case.after(()): answer(before)})

    def values(self, group, case, read):
        """Return name -> number, or the reason where there is none."""
        return {v.metric: v.reason if v.number is None else v.number for v in group.values(case, read)}


@pytest.fixture
def cases() -> Cases:
    return Cases()


Planted = Callable[..., ScoredChains]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Return what a planted model makes of its own chains, for the families named."""
    count = iter(range(1000))

    def run(
        model: str | Model,
        task: str | Task,
        families: Sequence[str],
        *,
        limit: int = 6,
        samples: int = 1,
        temperature: float = 0.0,
        helpers: Helpers | None = None,
    ) -> ScoredChains:
        writer = load_scripted(model) if isinstance(model, str) else model
        loaded = load_task(task, limit=limit) if isinstance(task, str) else task
        with Store(tmp_path / f"store{next(count)}.sqlite") as store:
            cached = CachedModel(writer, store)
            sampling = Sampling(temperature=temperature)
            chains = sample_chains(cached, loaded, samples=samples, temperature=temperature)
            chosen = [GROUPS[name] for name in families]
            return score_chains(chains, loaded, chosen, cached, reader="self", sampling=sampling, helpers=helpers)

    return run


@pytest.fixture
def values() -> Callable[[ScoredChains, str], list[float | None]]:
    """Return every value of one metric, in order."""
    return lambda found, metric: [score.value for score in found.scores if score.metric == metric]
