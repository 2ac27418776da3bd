"""Side effects (2509.04259): how far the tuned model has moved from the base, and what it lost elsewhere.

    forward KL = E over prompts x, y ~ base of log p_base(y|x) - log p_tuned(y|x), per token

estimated on the base's own sampled chains: one sample per chain, not the sum over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundness.metrics.base import Metric, Read, Value
from soundness.metrics.case import Case
from soundness.records import Probe

__all__ = ["Forgetting", "Transfer"]


class Forgetting:
    """Distance of a tuned model from the base; read in a phase of its own."""

    name = "forgetting"
    scorers = ("-",)
    cost = "each of the base's chains read once by the base and once by each tuned model"
    metrics = (
        Metric(
            "forward_kl",
            "nats/token",
            "further from the base",
            "Mean of log p_base - log p_tuned over the tokens of the base's own chains: the sampled estimate of the forward KL; "
            "0 for the base itself.",
            "What was lost. An unbiased estimate at temperature 1 and top-p 1 only: greedy chains are no sample, and the value is "
            "then the log ratio on them. Single values may be negative.",
            "2509.04259; sampled estimate ours",
        ),
        Metric(
            "forward_kl_chain",
            "nats",
            "further from the base",
            "The same summed over each chain.",
            "Longer chains add up to more.",
            "2509.04259; sampled estimate ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield nothing."""
        yield from ()

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield nothing: two readers of one chain are compared."""
        yield from ()


class Transfer:
    """Other tasks than the audit's, from a panel; asked in a phase of its own."""

    name = "transfer"
    scorers = ("-",)
    cost = "one chain per problem of the panel"
    metrics = (
        Metric(
            "transfer_accuracy",
            "fraction",
            "more problems of other tasks solved",
            "Share of the panel's problems answered right, unreadable and cut-off ones counted in, 0..1; by task in run.json.",
            "Whether the answers came from reasoning. A panel's tasks weigh by their number of problems.",
            "ours; forgetting is base minus tuned",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield nothing."""
        yield from ()

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield nothing: other problems than the audit's are scored."""
        yield from ()
