"""Every kind of edit by name, and the edits of one body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundness.errors import MetricError, near
from soundness.interventions import NO_STEPS, NoEdit
from soundness.interventions.base import EditKind, Supplies
from soundness.interventions.drop import DROP
from soundness.interventions.exchange import EXCHANGES
from soundness.interventions.fill import FILL_TAIL, FILL_TAIL_UNDERSCORES, FILL_WHOLE
from soundness.interventions.mistake import INTACT_REGENERATE, MISTAKE_OPERAND, MISTAKE_REGENERATE, MISTAKE_SPLICE
from soundness.interventions.paraphrase import (
    PARAPHRASE_INTACT_REGENERATE,
    PARAPHRASE_REGENERATE,
    PARAPHRASE_STEP,
    PARAPHRASE_TAIL,
    PARAPHRASE_TAIL_WORDS,
)
from soundness.interventions.perturb import PERTURB
from soundness.interventions.random_step import STEP_RANDOM
from soundness.interventions.random_text import RANDOM_TEXT
from soundness.interventions.shuffle import SHUFFLE
from soundness.interventions.swap import SWAP
from soundness.interventions.written_mistake import INTACT_WRITTEN_REGENERATE, MISTAKE_WRITTEN, MISTAKE_WRITTEN_REGENERATE
from soundness.records import Chain, Edit

__all__ = ["EDITS", "edit_body", "kinds_of"]

EDITS: dict[str, EditKind] = {
    kind.name: kind
    for kind in (
        SWAP,
        SHUFFLE,
        RANDOM_TEXT,
        FILL_TAIL,
        FILL_TAIL_UNDERSCORES,
        FILL_WHOLE,
        MISTAKE_SPLICE,
        MISTAKE_OPERAND,
        MISTAKE_WRITTEN,
        STEP_RANDOM,
        DROP,
        PERTURB,
        PARAPHRASE_STEP,
        PARAPHRASE_TAIL,
        PARAPHRASE_TAIL_WORDS,
        MISTAKE_REGENERATE,
        INTACT_REGENERATE,
        MISTAKE_WRITTEN_REGENERATE,
        INTACT_WRITTEN_REGENERATE,
        PARAPHRASE_REGENERATE,
        PARAPHRASE_INTACT_REGENERATE,
    )
}
"""Every kind of edit by its name."""


def kinds_of(names: Iterable[str | EditKind]) -> list[EditKind]:
    """Return the kinds that `names` name or are, each once, sorted by name.

    Raises MetricError for an unknown name, and for a kind of a user's own whose name another kind has.
    """
    kinds: dict[str, EditKind] = {}
    for entry in names:
        if entry in EXCHANGES:  # made of whole chains, not of a body
            continue
        if isinstance(entry, str) and entry not in EDITS:
            raise MetricError(f"unknown kind of edit {entry!r}{near(entry, EDITS)}; there are {', '.join(EDITS)}")
        kind = EDITS[entry] if isinstance(entry, str) else entry
        if {**EDITS, **kinds}.get(kind.name, kind) is not kind:
            raise MetricError(f"another kind of edit is called {kind.name!r} already: choose another name")
        kinds[kind.name] = kind
    return [kinds[name] for name in sorted(kinds)]


def edit_body(body: Chain, kinds: Sequence[EditKind], supplies: Supplies) -> dict[str, tuple[Edit | NoEdit, ...]]:
    """Return the edits of `body` by kind; a kind that this body does not allow holds a `NoEdit` with the reason.

    Edits of kinds that `regenerate` end with the changed step: the rest is for the writer to write.
    """
    if not body.steps:
        return {kind.name: (NoEdit(kind.name, NO_STEPS),) for kind in kinds}
    return {kind.name: tuple(kind.make(body, supplies)) for kind in kinds}
