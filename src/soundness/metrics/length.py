"""How long chains are. No sign of its own: longer is neither better nor worse."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.metrics.base import CUT_OFF, NO_STEPS, Metric, MetricGroup, Read, Reader, Value
from soundness.metrics.case import Case

__all__ = ["Length"]


class Length(MetricGroup):
    """Tokens and steps."""

    name = "length"
    readers = (Reader.NOBODY,)
    cost = "nothing beyond the chains"
    metrics = (
        Metric(
            name="length_tokens",
            unit="tokens",
            direction="none",
            bounds=(0.0, None),
            higher_means="longer chains",
            description="Tokens written, the answer included.",
            limitations="Quality.",
            source="ours",
        ),
        Metric(
            name="length_steps",
            unit="steps",
            direction="none",
            bounds=(0.0, None),
            higher_means="more steps",
            description="Steps before the answer is stated.",
            limitations="Quality.",
            source="ours",
        ),
        Metric(
            name="tokens_per_step",
            unit="tokens/step",
            direction="none",
            bounds=(0.0, None),
            higher_means="longer steps",
            description="Mean tokens per step.",
            limitations="Quality.",
            source="ours",
        ),
    )

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield tokens, steps and tokens per step; of a cut chain nobody knows the length."""
        if case.chain.finish == "length":
            for metric in self.metrics:
                yield Value(metric.name, None, CUT_OFF)
            return
        yield Value("length_tokens", float(len(case.chain.ids)))
        yield Value("length_steps", float(case.body.num_steps))
        if case.body.num_steps:
            yield Value("tokens_per_step", len(case.body.chain.ids) / case.body.num_steps)
        else:
            yield Value("tokens_per_step", None, NO_STEPS)
