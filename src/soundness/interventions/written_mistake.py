"""A mistake that a model wrote into one step, in words as in numbers (2307.13702 sec. 2.4)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from soundness.chains.steps import states
from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind, Supplies, Supply, intact_beginnings
from soundness.interventions.mistake import NUM_REGENERATED, NUM_SPLICED
from soundness.interventions.paraphrase import reword
from soundness.records import Chain, Edit

__all__ = ["INTACT_WRITTEN_REGENERATE", "MISTAKE_WRITTEN", "MISTAKE_WRITTEN_REGENERATE", "steps_to_corrupt"]

NO_PROPOSER = "no model to write mistakes: give one with --proposer"


def steps_to_corrupt(body: Chain, choices: Sequence[str] | None, *, seed: int) -> tuple[int, ...]:
    """Return the steps in which a model is to make a mistake, a few drawn from those that do not state the chain's own answer.

    Changing the answer where it stands rewrites it. The draw depends on seed, problem id and sample alone.
    """
    fit = [i for i, text in enumerate(body.step_texts) if body.answer is None or not states(text, body.answer, choices)]
    rng = random.Random(f"mistake_written/{seed}/{body.problem_id}/{body.sample}")
    return tuple(rng.sample(fit, min(NUM_SPLICED, len(fit))))


def _written(body: Chain, supplies: Supplies, kind: str, *, keep_tail: bool) -> tuple[Edit | NoEdit, ...]:
    """Return single mistakes that a model wrote, each step's refusal among them."""
    if supplies.mistakes is None:
        return (NoEdit(kind, NO_PROPOSER),)
    corrupted = list(supplies.mistakes.items())
    made: list[Edit | NoEdit] = []
    for step, new in sorted(corrupted if keep_tail else corrupted[:NUM_REGENERATED]):
        if new.text is None:
            made.append(NoEdit(kind, new.reason))
            continue
        texts = [new.text if i == step else None for i in range(len(body.steps))]
        edit = reword(body, supplies, kind, step, step + 1, texts, cut=not keep_tail)
        tail = "kept" if keep_tail else "dropped"
        made.append(replace(edit, note=f"written by a model; tail {tail}") if isinstance(edit, Edit) else edit)
    return tuple(made) or (NoEdit(kind, "every step states the answer"),)


def _splice(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return _written(body, supplies, "mistake_written", keep_tail=True)


def _regenerate(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return _written(body, supplies, "mistake_written_regenerate", keep_tail=False)


def _intact(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    steps = [edit.step for edit in _regenerate(body, supplies) if isinstance(edit, Edit)]
    return intact_beginnings("intact_written_regenerate", body, [step + 1 for step in steps if step is not None])


_MISTAKES = frozenset({Supply.MISTAKES})

MISTAKE_WRITTEN = EditKind("mistake_written", _splice, _MISTAKES)
"""A step with a mistake that a model wrote, the later steps kept."""

MISTAKE_WRITTEN_REGENERATE = EditKind("mistake_written_regenerate", _regenerate, _MISTAKES, regenerate=True)
"""The same, the later steps written anew."""

INTACT_WRITTEN_REGENERATE = EditKind("intact_written_regenerate", _intact, _MISTAKES, regenerate=True)
"""The same steps untouched, the later ones written anew: the control."""
