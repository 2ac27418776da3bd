"""One mistake in one step: a number changed or, where no step has one to change, a name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind, Supplies, intact_beginnings
from soundness.interventions.name_mistake import change_entity, entity_steps
from soundness.interventions.number_mistake import Operator, eligible_steps, mistake
from soundness.records import Chain, Edit

__all__ = [
    "INTACT_REGENERATE",
    "MISTAKE_OPERAND",
    "MISTAKE_REGENERATE",
    "MISTAKE_SPLICE",
    "NUM_REGENERATED",
    "NUM_SPLICED",
    "mistakes",
]

NUM_SPLICED = 3
"""Mistakes spliced into one chain: each costs a tail to read."""

NUM_REGENERATED = 2
"""Mistakes after which the rest is written anew: each costs half a chain to write."""


def mistakes(
    body: Chain, supplies: Supplies, kind: str, most: int, operator: Operator, *, keep_tail: bool
) -> tuple[Edit | NoEdit, ...]:
    """Return up to `most` single mistakes of `kind`, in steps drawn by `kind`, seed, problem id and sample."""
    steps: Sequence[int] = eligible_steps(body, supplies.pieces, operator)
    by_name = not steps
    if by_name:
        steps = entity_steps(body, supplies.pieces, supplies.pools, operator)
    drawn = random.Random(f"{kind}/{supplies.seed}/{body.problem_id}/{body.sample}").sample(steps, min(most, len(steps)))
    tools = (supplies.pieces, supplies.encode, supplies.decode)
    made: list[Edit | NoEdit] = []
    for step in sorted(drawn):
        edit: Edit | NoEdit
        if by_name:
            edit = change_entity(body, step, *tools, supplies.pools, seed=supplies.seed, keep_tail=keep_tail, operator=operator)
        else:
            edit = mistake(body, step, *tools, seed=supplies.seed, keep_tail=keep_tail, operator=operator)
        made.append(replace(edit, kind=kind))
    return tuple(made) or (NoEdit(kind, "no number or name to change before the answer is stated"),)


def _splice(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return mistakes(body, supplies, "mistake_splice", NUM_SPLICED, "result", keep_tail=True)


def _operand(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return mistakes(body, supplies, "mistake_operand", NUM_SPLICED, "operand", keep_tail=True)


def _regenerate(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return mistakes(body, supplies, "mistake_regenerate", NUM_REGENERATED, "result", keep_tail=False)


def _intact(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    steps = [edit.step for edit in _regenerate(body, supplies) if isinstance(edit, Edit)]
    return intact_beginnings("intact_regenerate", body, [step + 1 for step in steps if step is not None])


MISTAKE_SPLICE = EditKind("mistake_splice", _splice)
"""The result of a step changed, the later steps kept, up to three steps."""

MISTAKE_OPERAND = EditKind("mistake_operand", _operand)
"""The first number of a step changed in place of its result: a second operator."""

MISTAKE_REGENERATE = EditKind("mistake_regenerate", _regenerate, regenerate=True)
"""The result of a step changed, the later steps written anew, up to two steps."""

INTACT_REGENERATE = EditKind("intact_regenerate", _intact, regenerate=True)
"""The same steps untouched, the later ones written anew: the control of `mistake_regenerate`."""
