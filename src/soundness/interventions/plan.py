"""Which edits of one chain's reasoning an audit makes, and how many of each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from soundness.chains.steps import states
from soundness.interventions import Decode, Encode, NoEdit
from soundness.interventions.drop import drop
from soundness.interventions.entity import Pools, change_entity, entity_steps
from soundness.interventions.fill import FILLERS, fill_tail, fill_whole, filler_lengths
from soundness.interventions.mistake import Operator, eligible_steps, mistake
from soundness.interventions.noise import random_text
from soundness.interventions.paraphrase import paraphrase
from soundness.interventions.perturb import perturb
from soundness.interventions.proposer import Mistaken
from soundness.interventions.shuffle import shuffle
from soundness.interventions.swap import swap
from soundness.records import Chain, Edit

__all__ = ["KINDS", "REGENERATED", "Supplies", "edit_body", "steps_to_spoil"]

REGENERATED = (
    "mistake_regenerate",
    "intact_regenerate",
    "mistake_written_regenerate",
    "intact_written_regenerate",
    "paraphrase_regenerate",
    "paraphrase_intact_regenerate",
)
"""Kinds that end in the middle: the rest is for the writer to write."""

KINDS = (
    "swap",
    "shuffle",
    "random_text",
    "fill_tail",
    "fill_tail_underscores",
    "fill_whole",
    "mistake_splice",
    "mistake_operand",
    "mistake_written",
    "step_random",
    "drop",
    "perturb",
    "paraphrase_step",
    "paraphrase_tail",
    "paraphrase_tail_words",
    *REGENERATED,
)
"""Every kind of edit that `edit_body` knows."""

# Each further point costs a tail to read (or to write): means over a few evenly spread points are as good a mean over problems.
_FILL_POINTS = 4
_SPLICED_MISTAKES = 3
_REGENERATED_MISTAKES = 2
_DROPPED_STEPS = 6
_REWORDED_TAILS = 4
_REWORDED_HEADS = 2


@dataclass(frozen=True, slots=True)
class Supplies:
    """What some edits are made of."""

    pools: Pools = ()
    """Names that may stand for each other, by type."""
    words: Sequence[int] = ()
    """Token ids that random text is drawn from."""
    rewrites: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """Paraphrase operator (`sentence`, `words`) -> one text per step, None where there is none."""
    mistakes: Mapping[int, Mistaken] | None = None
    """Step -> that step as a model spoilt it, for `steps_to_spoil`; None where no model was there to ask."""


def _spread(low: int, high: int, most: int) -> list[int]:
    """Return up to `most` whole numbers from `low` to `high` (exclusive), evenly spread, `low` among them."""
    return sorted({low + round(i * (high - low) / most) for i in range(most)} & set(range(low, high)))


def steps_to_spoil(body: Chain, choices: Sequence[str] | None, *, seed: int) -> tuple[int, ...]:
    """Return the steps in which a model is to make a mistake, a few drawn from those that do not state the chain's own answer.

    Changing the answer where it stands rewrites it. The draw depends on seed, problem id and sample alone.
    """
    fit = [i for i, text in enumerate(body.step_texts) if body.answer is None or not states(text, body.answer, choices)]
    rng = random.Random(f"mistake_written/{seed}/{body.problem_id}/{body.sample}")
    return tuple(rng.sample(fit, min(_SPLICED_MISTAKES, len(fit))))


def edit_body(
    body: Chain,
    pieces: Sequence[str],
    donor: Chain | None,
    encode: Encode,
    decode: Decode,
    *,
    seed: int,
    kinds: Sequence[str],
    supplies: Supplies | None = None,
) -> dict[str, tuple[Edit | NoEdit, ...]]:
    """Return the edits of `body` by kind; a kind that this body does not allow holds a `NoEdit` with the reason.

    Edits of the kinds in `REGENERATED` end with the changed step: the rest is for the writer to write. Mistakes change a
    number; where no step has one, a name of `supplies.pools`.
    """
    supplies = supplies or Supplies()
    edits: dict[str, tuple[Edit | NoEdit, ...]] = {}
    if not body.steps:
        return {kind: (NoEdit(kind, "no steps before the answer"),) for kind in kinds}
    if "swap" in kinds:
        edits["swap"] = (
            NoEdit("swap", "no other problem's chain with another answer") if donor is None else swap(body, donor),
        )
    if "shuffle" in kinds:
        edits["shuffle"] = (shuffle(body, pieces, encode, seed=seed),)
    if "fill_tail" in kinds:
        points = sorted({round(i * len(body.steps) / _FILL_POINTS) for i in range(_FILL_POINTS)})
        edits["fill_tail"] = tuple(fill_tail(body, point, pieces, encode, decode) for point in points)
    if "fill_whole" in kinds:
        lengths = [length for length in filler_lengths(len(body.ids), most=_FILL_POINTS + 1) if length]
        edits["fill_whole"] = tuple(fill_whole(body, encode, decode, length=length) for length in lengths)
    if "random_text" in kinds:
        edits["random_text"] = (random_text(body, supplies.words, decode, seed=seed),)
    if "fill_tail_underscores" in kinds:
        points = sorted({round(i * len(body.steps) / _FILL_POINTS) for i in range(_FILL_POINTS)})
        form = FILLERS["underscores"]
        edits["fill_tail_underscores"] = tuple(fill_tail(body, point, pieces, encode, decode, form) for point in points)
    if "drop" in kinds:
        edits["drop"] = tuple(drop(body, step, pieces) for step in _spread(0, len(body.steps), _DROPPED_STEPS))
    if "perturb" in kinds:
        edits["perturb"] = tuple(perturb(body, i, pieces, encode, decode, seed=seed) for i in range(len(body.steps)))
    spoil = _Spoiler(body, pieces, encode, decode, seed, supplies)
    if "mistake_splice" in kinds:
        edits["mistake_splice"] = spoil.mistakes("mistake_splice", _SPLICED_MISTAKES, "result")
    if "mistake_operand" in kinds:
        edits["mistake_operand"] = spoil.mistakes("mistake_operand", _SPLICED_MISTAKES, "operand")
    if "mistake_regenerate" in kinds:
        edits["mistake_regenerate"] = spoil.mistakes("mistake_regenerate", _REGENERATED_MISTAKES, "result")
    if "step_random" in kinds:
        edits["step_random"] = spoil.random_steps()
    if "intact_regenerate" in kinds:
        same = [e.step for e in spoil.mistakes("mistake_regenerate", _REGENERATED_MISTAKES, "result") if isinstance(e, Edit)]
        edits["intact_regenerate"] = spoil.intact("intact_regenerate", [step + 1 for step in same if step is not None])
    for kind in ("mistake_written", "mistake_written_regenerate"):
        if kind in kinds:
            edits[kind] = spoil.written(kind)
    if "intact_written_regenerate" in kinds:
        same = [edit.step for edit in spoil.written("mistake_written_regenerate") if isinstance(edit, Edit)]
        edits["intact_written_regenerate"] = spoil.intact(
            "intact_written_regenerate", [step + 1 for step in same if step is not None]
        )
    edits.update(spoil.reworded(kinds))
    return {kind: edits[kind] for kind in kinds if kind in edits}


@dataclass(frozen=True, slots=True)
class _Spoiler:
    """Edits of single steps and of stretches of one body."""

    body: Chain
    pieces: Sequence[str]
    encode: Encode
    decode: Decode
    seed: int
    supplies: Supplies

    def mistakes(self, kind: str, most: int, operator: Operator) -> tuple[Edit | NoEdit, ...]:
        """Return up to `most` single mistakes: in numbers or, where no step has one to change, in names."""
        body, keep_tail = self.body, kind != "mistake_regenerate"
        steps: Sequence[int] = eligible_steps(body, self.pieces, operator)
        by_name = not steps
        if by_name:
            steps = entity_steps(body, self.pieces, self.supplies.pools, operator)
        chosen = random.Random(f"{kind}/{self.seed}/{body.problem_id}/{body.sample}").sample(steps, min(most, len(steps)))
        made: list[Edit | NoEdit] = []
        for step in sorted(chosen):
            if by_name:
                pools = self.supplies.pools
                edit = change_entity(
                    body,
                    step,
                    self.pieces,
                    self.encode,
                    self.decode,
                    pools,
                    seed=self.seed,
                    keep_tail=keep_tail,
                    operator=operator,
                )
            else:
                edit = mistake(
                    body, step, self.pieces, self.encode, self.decode, seed=self.seed, keep_tail=keep_tail, operator=operator
                )
            made.append(replace(edit, kind=kind))
        return tuple(made) or (NoEdit(kind, "no number or name to change before the answer is stated"),)

    def written(self, kind: str) -> tuple[Edit | NoEdit, ...]:
        """Return single mistakes that a model wrote, each step's refusal among them."""
        if self.supplies.mistakes is None:
            return (NoEdit(kind, "no model to write mistakes: give one with --proposer"),)
        keep_tail = kind == "mistake_written"
        chosen = list(self.supplies.mistakes.items())
        made: list[Edit | NoEdit] = []
        for step, mistaken in sorted(chosen if keep_tail else chosen[:_REGENERATED_MISTAKES]):
            if mistaken.text is None:
                made.append(NoEdit(kind, mistaken.reason))
                continue
            texts = [mistaken.text if i == step else None for i in range(len(self.body.steps))]
            edit = self._reword(kind, step, step + 1, texts, cut=not keep_tail)
            tail = "kept" if keep_tail else "dropped"
            made.append(replace(edit, note=f"written by a model; tail {tail}") if isinstance(edit, Edit) else edit)
        return tuple(made) or (NoEdit(kind, "every step states the answer"),)

    def random_steps(self) -> tuple[Edit | NoEdit, ...]:
        """Return random words of equal length in place of the steps that `mistake_splice` spoils."""
        made: list[Edit | NoEdit] = []
        for edit in self.mistakes("mistake_splice", _SPLICED_MISTAKES, "result"):
            if isinstance(edit, NoEdit) or edit.step is None:
                made.append(NoEdit("step_random", edit.reason if isinstance(edit, NoEdit) else "no step"))
                continue
            start, stop = self.body.steps[edit.step]
            step = replace(self.body, ids=self.body.ids[start:stop], problem_id=f"{self.body.problem_id}/{edit.step}")
            noise = random_text(step, self.supplies.words, self.decode, seed=self.seed)
            if isinstance(noise, Edit):
                ids = self.body.ids[:start] + noise.ids + self.body.ids[stop:]
                noise = replace(noise, kind="step_random", ids=ids, step=edit.step, before=edit.before)
            made.append(noise)
        return tuple(made)

    def intact(self, kind: str, kept: Sequence[int]) -> tuple[Edit | NoEdit, ...]:
        """Return the beginnings of so many steps, untouched."""
        made = tuple(Edit(kind, self.body.before(num), num - 1, "", "", f"first {num} steps as they are") for num in kept)
        return made or (NoEdit(kind, "no beginning to compare with"),)

    def reworded(self, kinds: Sequence[str]) -> dict[str, tuple[Edit | NoEdit, ...]]:
        """Return the paraphrases among `kinds`."""
        num = len(self.body.steps)
        nothing = [None] * num
        first, second = (self.supplies.rewrites.get(name, nothing) for name in ("sentence", "words"))
        edits: dict[str, tuple[Edit | NoEdit, ...]] = {}
        for kind, rewrites in (("paraphrase_tail", first), ("paraphrase_tail_words", second)):
            if kind in kinds:
                points = _spread(0, num, _REWORDED_TAILS)
                made = [(point, self._reword(kind, point, num, rewrites)) for point in points]
                # `step` is where the rewording begins, so that the number of steps kept can be read from it.
                edits[kind] = tuple(replace(e, step=point or None) if isinstance(e, Edit) else e for point, e in made)
        if "paraphrase_step" in kinds:
            steps = [self._reword("paraphrase_step", i, i + 1, first, cut=True) for i in range(num)]
            edits["paraphrase_step"] = tuple(steps)
        heads = _spread(1, num, _REWORDED_HEADS)
        if "paraphrase_regenerate" in kinds:
            kind = "paraphrase_regenerate"
            made_heads = tuple(self._reword(kind, 0, stop, first, cut=True) for stop in heads)
            edits[kind] = made_heads or (NoEdit(kind, "a chain of one step has no beginning"),)
        if "paraphrase_intact_regenerate" in kinds:
            edits["paraphrase_intact_regenerate"] = self.intact("paraphrase_intact_regenerate", heads)
        return edits

    def _reword(self, kind: str, start: int, stop: int, rewrites: Sequence[str | None], cut: bool = False) -> Edit | NoEdit:
        """Return steps `start` to `stop` in other words; with `cut`, what follows them is dropped."""
        edit = paraphrase(self.body, start, stop, rewrites, self.pieces, self.encode, self.decode, kind=kind)
        tail = len(self.body.ids) - self.body.steps[stop - 1].stop
        if isinstance(edit, Edit) and cut:
            # The step last reworded is the one that tells draws of different beginnings apart.
            return replace(edit, ids=edit.ids[: len(edit.ids) - tail], step=stop - 1)
        return edit
