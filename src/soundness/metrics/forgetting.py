"""Side effects (2509.04259): how far the tuned model has moved from the base, and what it lost elsewhere.

    forward KL = E over prompts x, y ~ base of log p_base(y|x) - log p_tuned(y|x), per token

estimated on the base's own sampled chains: one sample per chain, not the sum over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from soundness.chains.sample import sample_chains
from soundness.metrics.base import NO_REFERENCE, Job, Measured, Metric, MetricGroup, Need, Reader
from soundness.records import Outcome, Probe, Score
from soundness.statistics.paired import by_problem, compare

__all__ = ["Forgetting", "Transfer"]

NOT_DRAWN = "the chain has no tokens"
OTHER_VOCABULARY = "another vocabulary than the base's"


class Forgetting(MetricGroup):
    """Distance of a tuned model from the base; read in a phase of its own."""

    name = "forgetting"
    readers = (Reader.NOBODY,)
    cost = "each of the base's chains read once by the base and once by each tuned model"
    metrics = (
        Metric(
            name="forward_kl",
            unit="nats/token",
            direction="down",
            higher_means="further from the base",
            description=(
                "Mean of log p_base - log p_tuned over the tokens of the base's own chains: the sampled estimate of the forward KL; "
                "0 for the base itself."
            ),
            limitations=(
                "What was lost. An unbiased estimate at temperature 1 and top-p 1 only: greedy chains are no sample, and the value "
                "is then the log ratio on them. Single values may be negative."
            ),
            source="2509.04259; sampled estimate ours",
        ),
        Metric(
            name="forward_kl_chain",
            unit="nats",
            direction="down",
            higher_means="further from the base",
            description="The same summed over each chain.",
            limitations="Longer chains add up to more.",
            source="2509.04259; sampled estimate ours",
        ),
    )

    def ask(self, job: Job) -> Iterator[Score]:
        """Yield how much less likely each tuned model finds each of the base's chains than the base does; 0 for the base itself.

        A model of another vocabulary cannot read the base's ids: missing.
        """
        base = job.models[job.base]
        probes = [Probe(chain.prompt.ids, chain.ids) if chain.ids else None for chain in job.chains]
        groups = [[probe] for probe in probes if probe is not None]
        own = base.read_groups(groups)
        for name, reader in job.models.items():
            same = reader.vocabulary == base.vocabulary
            progress = job.progress(f"reading the base's chains by {name}")
            found = own if reader is base else reader.read_groups(groups, on_progress=progress) if same else {}
            for chain, probe in zip(job.chains, probes, strict=True):
                why = NOT_DRAWN if same else OTHER_VOCABULARY
                total = own[probe].nats - found[probe].nats if probe is not None and same else None
                per_token = total / len(chain.ids) if total is not None else None
                for metric, value in (("forward_kl", per_token), ("forward_kl_chain", total)):
                    reason = why if value is None else ""
                    yield Score(metric, chain.problem_id, chain.sample, name, Reader.NOBODY, value, reason)


class Transfer(MetricGroup):
    """Other tasks than the audit's, from a panel; asked in a phase of its own."""

    name = "transfer"
    readers = (Reader.NOBODY,)
    needs = frozenset({Need.OTHER_TASKS})
    cost = "one chain per problem of the panel"
    metrics = (
        Metric(
            name="transfer_accuracy",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more problems of other tasks solved",
            description=(
                "Share of the panel's problems answered right, unreadable and cut-off ones counted in, 0..1; by "
                "task in run.json."
            ),
            limitations="Whether the answers came from reasoning. A panel's tasks weigh by their number of problems.",
            source="ours; forgetting is base minus tuned",
        ),
    )

    def ask(self, job: Job) -> Iterator[Score]:
        """Yield, for each model and problem of the other tasks, whether the greedy chain solves it; ids are TASK/ID."""
        for name, model in job.models.items():
            for other in job.other_tasks:
                chains = sample_chains(
                    model,
                    other.task,
                    seed=job.seed,
                    max_tokens=job.max_tokens,
                    splitter=job.splitter,
                    prompts=None if job.render is None else job.render(model, other.task),
                    writer=name,
                    on_progress=job.progress(f"panel {other.name}: {name}"),
                )
                for chain in chains:
                    solved = None if chain.outcome is None else float(chain.outcome is Outcome.RIGHT)
                    reason = NO_REFERENCE if solved is None else ""
                    problem = f"{other.name}/{chain.problem_id}"
                    yield Score("transfer_accuracy", problem, 0, name, Reader.NOBODY, solved, reason)

    def curve(self, measured: Measured) -> dict[str, Any] | None:
        """Return one row per tuned model and other task: accuracy of both and their difference."""
        base, *tuned = measured.models
        mine = [score for score in measured.scores if score.metric == "transfer_accuracy"]
        rows: list[dict[str, object]] = []
        for name in tuned:
            for task in measured.other_tasks:
                sides = [
                    by_problem(s for s in mine if s.writer == writer and s.problem_id.startswith(f"{task}/"))[0]
                    for writer in (base, name)
                ]
                paired = compare(sides[0], sides[1], seed=measured.seed, bounds=(0.0, 1.0))
                estimates = {"base_estimate": paired.base, "tuned_estimate": paired.tuned, "difference": paired.difference}
                rows.append({"tuned": name, "task": task, **{key: asdict(v) for key, v in estimates.items()}, "p": paired.p})
        return {"panel": rows} if measured.other_tasks else None
