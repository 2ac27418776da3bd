"""Knowledge index (2506.02126, sec. 3.4): share of the steps with a factual claim whose claim is true.

    KI = true / (true + false),   coverage = (true + false) / K

Steps without a fact are not counted, failed judgements are missing: neither is false. It says nothing of reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundness.metrics.base import Metric, MetricGroup, Need, Read, Reader, Value, missing
from soundness.metrics.case import Case

__all__ = ["NO_JUDGE", "Knowledge"]

NO_JUDGE = "nothing to judge by: give a judge model with --judge, and facts, context or --documents"


class Knowledge(MetricGroup):
    """Are the facts in the steps true?"""

    name = "knowledge"
    readers = (Reader.NOBODY,)
    needs = frozenset({Need.FACTS})
    cost = "nothing in a world; else one short generation of the judge per step"
    metrics = (
        Metric(
            name="knowledge_index",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more of the stated facts are true",
            description="Share of true facts among the steps that state one and could be judged, 0..1.",
            limitations=(
                "Whether the steps lead to the answer: a model that ignores its chain can score 1. Depends on the judge."
            ),
            source="2506.02126 sec. 3.4, steps without facts left out",
        ),
        Metric(
            name="knowledge_coverage",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            higher_means="more steps state facts",
            description="Share of the steps that state a fact and could be judged, 0..1.",
            limitations="Whether the facts are true.",
            source="ours",
        ),
        Metric(
            name="knowledge_failed",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more judgements failed",
            description="Share of the steps on which the judge gave nothing readable, 0..1; they are missing from the index.",
            limitations="Anything about the chain.",
            source="ours",
        ),
    )

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the index, its coverage and the share of failures."""
        if case.skip_reason or not case.judgements:
            yield from missing(self.metrics, case.skip_reason or NO_JUDGE)
            return
        words = [one.word for one in case.judgements]
        judged = words.count("true") + words.count("false")
        if judged:
            yield Value("knowledge_index", words.count("true") / judged)
        else:
            yield Value("knowledge_index", None, "no step states a fact that could be judged")
        yield Value("knowledge_coverage", judged / len(words))
        yield Value("knowledge_failed", words.count("missing") / len(words))
