"""Edits that end where an answer is stated: every chain is given another problem's, up to that problem's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundness.interventions.exchange import exchange_edits, option_text, written_up_to_answer
from soundness.interventions.swap import donors
from soundness.metrics.base import CUT_OFF, NO_STATED_ANSWER
from soundness.metrics.case import Case
from soundness.models.cached import CachedModel
from soundness.records import Outcome
from soundness.scoring.helpers import Sampling

__all__ = ["exchange_cases"]


def exchange_cases(
    cases: list[Case], kinds: Sequence[str], model: CachedModel, sampling: Sampling, *, own_ids: bool
) -> list[Case]:
    """Return the cases with the edits that end where an answer is stated.

    Every case is given another problem's chain, those too that were cut off or give no answer; donors are chains with steps and an
    answer.
    """
    ids = [case.chain.ids if own_ids else tuple(model.encode(case.chain.text)) for case in cases]
    parts = [(row, tuple(model.pieces(row))) for row in ids]
    written = [
        written_up_to_answer(case.chain, case.problem, *part)
        if case.chain.outcome in (Outcome.RIGHT, Outcome.WRONG, None) and not case.cut_off
        else None
        for case, part in zip(cases, parts, strict=True)
    ]
    by_place = {
        (case.chain.problem_id, case.chain.sample): found
        for case, found in zip(cases, written, strict=True)
        if found is not None and found.has_steps
    }
    # A chain without tokens can be given a donor and is none; letters mean different things to different problems.
    chains = []
    for case in cases:
        source = by_place.get((case.chain.problem_id, case.chain.sample))
        answer = option_text(case.problem, case.chain.answer)
        chains.append(replace(case.chain, ids=source.ids if source is not None else (), answer=answer))
    answers = {case.problem.id: case.problem.answer_text for case in cases}
    chosen = donors(chains, seed=sampling.seed, answers=answers)
    edited = []
    for case, own, (_, pieces) in zip(cases, written, parts, strict=True):
        donor = chosen[case.chain.problem_id, case.chain.sample]
        made = exchange_edits(
            own,
            by_place[donor.problem_id, donor.sample] if donor is not None else None,
            model.encode,
            model.decode,
            pieces,
            seed=sampling.seed,
            kinds=kinds,
            why=CUT_OFF if case.cut_off else NO_STATED_ANSWER,
        )
        edited.append(replace(case, edits={**case.edits, **made}))
    return edited
