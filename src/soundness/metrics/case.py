"""One chain as one reader sees it, with everything the metrics ask about it.

Legend. Steps 0..K-1 are the chain's reasoning: the *body*, what stands before the chain states its answer outright ("Answer: 18").
Restating an answer carries nothing towards it, and a model that writes nothing else has no steps. `S_i(a)` is the log-probability
of answer a after the first i steps of the body and the cue, nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from soundness.chains.body import Body
from soundness.interventions import NoEdit
from soundness.metrics.belief import Belief
from soundness.metrics.judgement import Judgement
from soundness.records import Chain, Edit, Probe, Problem, Reader

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """One chain, one reader: what to ask, and of what."""

    problem: Problem
    """The problem."""
    chain: Chain
    """The whole chain as written."""
    reader: Reader
    """Who reads."""
    body: Body
    """Its reasoning in the reader's vocabulary."""
    prompt_ids: tuple[int, ...]
    """The prompt as the reader is shown it."""
    cue_ids: tuple[int, ...]
    """What asks for the answer, conditioned on and never scored."""
    gold: Belief | None
    """The reference answer, or None where the problem has none."""
    own: Belief | None
    """The answer that the reader gives after the whole body when the cue asks for it, or None where none could be read."""
    stated: Belief | None = None
    """The answer that the chain itself states, or None where it states none."""
    edits: Mapping[str, tuple[Edit | NoEdit, ...]] = field(default_factory=dict)
    """Edited bodies by intervention."""
    reader_name: str = ""
    """Name of the model that reads, in the run."""
    judgements: tuple[Judgement, ...] = ()
    """What each step claims and whether it is true, one per step of the body; empty where nobody judged."""

    @property
    def cut_off(self) -> bool:
        """Whether the chain ended at the token limit, so that nobody knows where it was going."""
        return self.chain.finish == "length"

    @property
    def skip_reason(self) -> str:
        """Why this chain has no steps to measure, or an empty string."""
        if self.cut_off:
            return "cut off at the token limit"
        return "" if self.body.num_steps else "no steps before the answer"

    def after(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return the prefix that asks for the answer after `ids` in place of the body."""
        return (*self.prompt_ids, *self.body.around(ids), *self.cue_ids)

    def after_steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the prefix that asks for the answer after the first `num_steps` steps."""
        return self.after(self.body.chain.before(num_steps))

    def ladder(self, belief: Belief) -> Iterator[tuple[int, tuple[Probe, ...]]]:
        """Yield (i, probes) that read `belief` after i = 0..K steps."""
        for i in range(self.body.num_steps + 1):
            yield i, belief.probes(self.after_steps(i))
