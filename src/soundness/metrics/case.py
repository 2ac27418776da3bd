"""One chain as one scorer sees it, with everything the metrics ask about it.

Legend. Steps 0..K-1 are the chain's reasoning: the *body*, what stands before the chain states its answer outright ("Answer: 18").
Restating an answer carries nothing towards it, and a model that writes nothing else has no steps. `S_i(a)` is the log-probability
of answer a after the first i steps of the body and the cue, nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate

from soundness.chains.steps import answer_step, split_steps, step_texts
from soundness.interventions import NoEdit
from soundness.metrics.belief import Belief
from soundness.metrics.judgement import Judgement
from soundness.models.base import Model
from soundness.records import Chain, Edit, Probe, Problem, Span

__all__ = ["Body", "Case", "body_of"]

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Body:
    """The reasoning of one chain in one vocabulary."""

    chain: Chain
    """The chain cut down to its body: ids, text and steps; `answer_step` is the first step that states the target."""
    pieces: tuple[str, ...]
    """One string per id."""
    head: tuple[int, ...]
    """Ids that open a thinking span, or nothing."""
    close: tuple[int, ...]
    """Ids that close a thinking span before the cue, or nothing."""

    @cached_property
    def num_steps(self) -> int:
        """K, the number of steps."""
        return len(self.chain.steps)


def body_of(chain: Chain, problem: Problem, model: Model, *, own_ids: bool = True, splitter: str = "auto") -> Body:
    """Return the reasoning in `chain`, in the vocabulary of `model`.

    With `own_ids` the generated ids are kept; without (another vocabulary) each step's text is encoded, so that steps stay what
    they were. A thinking span is the whole of the reasoning: what follows it only reports.
    """
    if own_ids:
        ids, steps = chain.ids, chain.steps
    else:
        parts = [tuple(model.encode(text)) for text in chain.step_texts]
        ids = tuple(token for part in parts for token in part)
        stops = list(accumulate(map(len, parts)))
        steps = tuple(Span(stop - len(part), stop) for part, stop in zip(parts, stops, strict=True))
    pieces = tuple(model.pieces(ids))
    head: tuple[int, ...] = ()
    close: tuple[int, ...] = ()
    opened = chain.text.lstrip().startswith(_OPEN)
    if opened or chain.prompt.text.rstrip().endswith(_OPEN):
        low, high = _thinking(pieces, opened)
        head, close = ids[:low], tuple(model.encode(f"\n{_CLOSE}\n\n"))
        ids, pieces = ids[low:high], pieces[low:high]
        steps = split_steps(pieces, splitter) if "".join(pieces).strip() else ()
    elif chain.conclusion is not None:
        steps = steps[: chain.conclusion]
    length = steps[-1].stop if steps else 0
    ids, pieces = ids[:length], pieces[:length]
    texts = step_texts(pieces, steps)
    target = problem.answer if problem.answer is not None else chain.answer
    body = replace(
        chain,
        ids=ids,
        text="".join(pieces),
        steps=steps,
        step_texts=texts,
        answer_step=answer_step(texts, target, problem),
        conclusion=None,
    )
    return Body(body, pieces, head, close)


def _thinking(pieces: Sequence[str], opened: bool) -> tuple[int, int]:
    """Return the token span of what is thought: behind the opening tag, before the closing one or to the end."""
    text = "".join(pieces)
    start = text.index(_OPEN) + len(_OPEN) if opened else 0
    closed = text.find(_CLOSE, start)
    stops = list(accumulate(map(len, pieces)))
    low = next((i + 1 for i, stop in enumerate(stops) if stop >= start), 0) if opened else 0
    high = sum(stop <= closed for stop in stops) if closed >= 0 else len(pieces)
    return low, max(low, high)


@dataclass(frozen=True)
class Case:
    """One chain, one scorer: what to ask, and of what."""

    problem: Problem
    """The problem."""
    chain: Chain
    """The whole chain as written."""
    scorer: str
    """`self`, `base` or `tuned:NAME`."""
    body: Body
    """Its reasoning in the scorer's vocabulary."""
    prompt_ids: tuple[int, ...]
    """The prompt as the scorer is shown it."""
    cue_ids: tuple[int, ...]
    """What asks for the answer, conditioned on and never scored."""
    gold: Belief | None
    """The reference answer, or None where the problem has none."""
    own: Belief | None
    """The answer that the scorer gives after the whole body when the cue asks for it, or None where none could be read."""
    stated: Belief | None = None
    """The answer that the chain itself states, or None where it states none."""
    forced: Mapping[str, str | None] = field(default_factory=dict)
    """Answers given when asked: `with` the whole body, `without` any of it."""
    edits: Mapping[str, tuple[Edit | NoEdit, ...]] = field(default_factory=dict)
    """Edited bodies by intervention."""
    judgements: tuple[Judgement, ...] = ()
    """What each step claims and whether it is true, one per step of the body; empty where nobody judged."""

    @property
    def unfit(self) -> str:
        """Why this chain has no steps to measure, or an empty string."""
        if self.chain.finish == "length":
            return "cut off at the token limit"
        return "" if self.body.num_steps else "no steps before the answer"

    def after(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the prefix that asks for the answer after `ids` in place of the body."""
        return (*self.prompt_ids, *self.body.head, *ids, *self.body.close, *self.cue_ids)

    def after_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the prefix that asks for the answer after the first `num_steps` steps."""
        return self.after(self.body.chain.before(num_steps))

    def ladder(self, belief: Belief) -> Iterator[tuple[int, tuple[Probe, ...]]]:
        """Yield (i, probes) that read `belief` after i = 0..K steps."""
        for i in range(self.body.num_steps + 1):
            yield i, belief.probes(self.after_steps(i))
