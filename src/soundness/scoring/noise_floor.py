"""The base measured a second time, so that a change can be held against what changes when nothing was tuned.

    several samples     the odd samples against the even ones, scaled to their whole number: free
    one, temperature    the base samples every problem once more with another seed: one more model's writing and reading
    one, greedy         the same chains of a few problems are asked and read again in batches of another shape: what is left is the
                        arithmetic's own noise; at most `NUM_REREAD` problems of reading, nothing is written anew

All of it is read by the base itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundness.chains.sample import sample_chains
from soundness.metrics.base import MetricGroup
from soundness.models.cached import CachedModel
from soundness.progress import Progress
from soundness.records import Chain, Estimate, Score
from soundness.scoring.score import Helpers, Sampling, score_chains
from soundness.statistics.noise import floor_between, floor_of_halves
from soundness.statistics.resampling import derive_seed
from soundness.tasks.base import Task

__all__ = ["NUM_REREAD", "measure_floor"]

NUM_REREAD = 24
"""Problems that are read again where sampling is greedy."""


def measure_floor(
    base: CachedModel,
    task: Task,
    groups: Sequence[MetricGroup],
    chains: Sequence[Chain],
    scores: Sequence[Score],
    sampling: Sampling,
    samples: int,
    on_progress: Progress,
) -> tuple[dict[tuple[str, str], Estimate], str]:
    """Return the base's difference from itself by metric and reader, and how it was had.

    `chains` are the base's, `scores` what it makes of them itself. What is written and read for it goes to the same store.
    """
    if samples > 1:
        return floor_of_halves(scores, seed=sampling.seed), "the base's odd samples against its even ones"

    def told(what: str, done: int, total: int) -> None:
        on_progress(f"{what} the noise floor", done, total)

    if sampling.temperature > 0:
        other = replace(sampling, seed=derive_seed(sampling.seed, "noise floor") % 2**31)
        resampled = sample_chains(
            base,
            task,
            seed=other.seed,
            temperature=other.temperature,
            top_p=other.top_p,
            max_tokens=other.max_tokens,
            splitter=other.splitter,
            prompts={chain.problem_id: chain.prompt for chain in chains},
            writer=chains[0].model,
        )
        second = score_chains(resampled, task, groups, base, reader="self", sampling=other, on_progress=told).scores
        return floor_between(scores, second, seed=sampling.seed), "the base sampled again with another seed"

    few = chains[:NUM_REREAD]
    again = CachedModel(
        base.model,
        base.store,
        batch_size=1 if base.batch_size > 1 else 2,
        groups_at_once=1 if base.groups_at_once > 1 else 2,
        scope="again",
    )
    # Writing tails anew, one at a time, would cost more than the audit itself.
    unwritten = Helpers(rewrites=False)
    # Both over the same few: which chain is exchanged for which depends on who is there.
    first, second = (
        score_chains(few, task, groups, reader, reader="self", sampling=sampling, helpers=unwritten, on_progress=told).scores
        for reader in (base, again)
    )
    return floor_between(first, second, seed=sampling.seed), f"{len(few)} of the base's chains read again in other batches"
