"""The reasoning in one chain, in one reader's vocabulary: what stands before the chain states its answer.

Steps 0..K-1 are the chain's reasoning, the *body*: what stands before the chain states its answer outright ("Answer: 18").
Restating an answer carries nothing towards it, and a model that writes nothing else has no steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from soundness.chains.steps import answer_step, split_steps, step_texts
from soundness.models.base import Model
from soundness.records import Chain, Problem, Span

__all__ = ["Body", "body_of"]

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
