"""Random words in place of one step: what a missing step does, beside what a mistaken one does."""

from __future__ import annotations

from dataclasses import replace

from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind, Supplies, Supply
from soundness.interventions.mistake import MISTAKE_SPLICE
from soundness.interventions.random_text import random_text
from soundness.records import Chain, Edit

__all__ = ["STEP_RANDOM"]


def _make(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    """Return random words of equal length in place of the steps that `mistake_splice` changes."""
    made: list[Edit | NoEdit] = []
    for edit in MISTAKE_SPLICE.make(body, supplies):
        if isinstance(edit, NoEdit) or edit.step is None:
            made.append(NoEdit("step_random", edit.reason if isinstance(edit, NoEdit) else "no step"))
            continue
        start, stop = body.steps[edit.step]
        step = replace(body, ids=body.ids[start:stop], problem_id=f"{body.problem_id}/{edit.step}")
        noise = random_text(step, supplies.words, supplies.decode, seed=supplies.seed)
        if isinstance(noise, Edit):
            ids = body.ids[:start] + noise.ids + body.ids[stop:]
            made.append(replace(noise, kind="step_random", ids=ids, step=edit.step, before=edit.before))
        else:
            made.append(replace(noise, kind="step_random"))
    return made


STEP_RANDOM = EditKind("step_random", _make, frozenset({Supply.WORDS}))
"""Random words in place of single steps."""
