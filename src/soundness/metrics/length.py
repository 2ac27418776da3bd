"""How long chains are. No sign of its own: longer is neither better nor worse."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.metrics.base import Metric, Read, Value
from soundness.metrics.case import Case
from soundness.records import Probe

__all__ = ["Length"]


class Length:
    """Tokens and steps."""

    name = "length"
    scorers = ("-",)
    cost = "nothing beyond the chains"
    metrics = (
        Metric("length_tokens", "tokens", "longer chains", "Tokens written, the answer included.", "Quality.", "ours"),
        Metric("length_steps", "steps", "more steps", "Steps before the answer is stated.", "Quality.", "ours"),
        Metric("tokens_per_step", "tokens/step", "longer steps", "Mean tokens per step.", "Quality.", "ours"),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield nothing."""
        yield from ()

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield tokens, steps and tokens per step; of a cut chain nobody knows the length."""
        if case.chain.finish == "length":
            for metric in self.metrics:
                yield Value(metric.name, None, "cut off at the token limit")
            return
        yield Value("length_tokens", float(len(case.chain.ids)))
        yield Value("length_steps", float(case.body.num_steps))
        if case.body.num_steps:
            yield Value("tokens_per_step", len(case.body.chain.ids) / case.body.num_steps)
        else:
            yield Value("tokens_per_step", None, "no steps before the answer")
