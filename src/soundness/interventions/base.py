"""What a kind of edit is: a name, and how it is made of one body with a few supplies.

A kind is one file here and one line in `soundness.interventions.plan.EDITS`; a metric group outside the package may name a kind of
its own in `edits`.

>>> def first_step_twice(body, supplies):
...     if not body.steps:
...         return (NoEdit("first_step_twice", "the chain has no steps"),)
...     return (Edit("first_step_twice", body.step_ids(0) + body.ids, 0, "", body.step_texts[0]),)
>>> kind = EditKind("first_step_twice", first_step_twice)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from soundness.interventions import Decode, Encode, NoEdit
from soundness.records import Chain, Edit

__all__ = ["CorruptedStep", "EditKind", "Make", "Supplies", "Supply", "intact_beginnings", "spread"]


class Supply(StrEnum):
    """What has to be gathered before an edit is made: from the writer's other chains, or from a model."""

    DONOR = "donor"
    """Another problem's chain."""
    WORDS = "words"
    """Token ids of the writer's chains."""
    REWRITES = "rewrites"
    """The steps in other words."""
    MISTAKES = "mistakes"
    """Steps with a mistake that a model wrote into them."""


@dataclass(frozen=True, slots=True)
class CorruptedStep:
    """What a model made of a step that it was to corrupt."""

    text: str | None
    """The step with a mistake, blanks around it kept, or None."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class Supplies:
    """What edits of one body are made of."""

    pieces: Sequence[str]
    """One string per id of the body."""
    encode: Encode
    """Text to ids, in the vocabulary of the body."""
    decode: Decode
    """Ids to text."""
    seed: int = 0
    """The run's seed; a draw depends on it, on problem id, sample and step alone."""
    pools: Sequence[Sequence[str]] = ()
    """Names that may stand for each other, by type."""
    donor: Chain | None = None
    """Another problem's body that may stand in, or None where there is none."""
    words: Sequence[int] = ()
    """Token ids that random text is drawn from."""
    rewrites: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Operator (`sentence`, `words`) -> one text per step, None where there is none."""
    mistakes: Mapping[int, CorruptedStep] | None = None
    """Step -> that step as a model corrupted it; None where no model was there to ask."""


Make = Callable[[Chain, Supplies], Sequence[Edit | NoEdit]]
"""Returns the edits of one body, at least one of them; what cannot be made is a `NoEdit` that says why."""


@dataclass(frozen=True, slots=True)
class EditKind:
    """One kind of edit."""

    name: str
    """Its name, which every edit of that kind carries."""
    make: Make
    """How it is made; never called for a body without steps."""
    supplies: frozenset[Supply] = frozenset()
    """What it has to be given."""
    regenerate: bool = False
    """Whether its edits end in the middle, so that the writer has to write on."""


def spread(low: int, high: int, most: int) -> list[int]:
    """Return up to `most` whole numbers from `low` to `high` (exclusive), evenly spread, `low` among them.

    >>> spread(0, 8, 4), spread(0, 2, 4), spread(0, 1, 4), spread(1, 1, 2)
    ([0, 2, 4, 6], [0, 1], [0], [])
    """
    return sorted({low + round(i * (high - low) / most) for i in range(most)} & set(range(low, high)))


def intact_beginnings(kind: str, body: Chain, kept: Sequence[int]) -> tuple[Edit | NoEdit, ...]:
    """Return the beginnings of so many steps, untouched: what writing on from there does by itself."""
    made = tuple(Edit(kind, body.before(num), num - 1, "", "", f"first {num} steps as they are") for num in kept)
    return made or (NoEdit(kind, "no beginning to compare with"),)
