"""Cases whose readings are written down by hand, so that metrics can be checked against arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from soundness.metrics.belief import Belief
from soundness.metrics.case import Body, Case
from soundness.records import Chain, Probe, Problem, Prompt, Reading, Span

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

    def values(self, family, case, read):
        """Return name -> number, or the reason where there is none."""
        return {v.metric: v.reason if v.number is None else v.number for v in family.values(case, read)}


@pytest.fixture
def cases() -> Cases:
    return Cases()
