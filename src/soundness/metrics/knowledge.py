"""Knowledge index (2506.02126, sec. 3.4): share of the steps with a factual claim whose claim is true.

    KI = true / (true + false),   coverage = (true + false) / K

Steps without a fact are not counted, failed judgements are missing: neither is false. It says nothing of reasoning.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundness.metrics.base import Metric, Read, Value, missing
from soundness.metrics.case import Case
from soundness.records import Probe

__all__ = ["NO_JUDGE", "Knowledge"]

NO_JUDGE = "nothing to judge by: give a judge model with --judge, and facts, context or --documents"


class Knowledge:
    """Are the facts in the steps true?"""

    name = "knowledge"
    scorers = ("-",)
    cost = "nothing in the lookup world; else one short generation of the judge per step"
    metrics = (
        Metric(
            "knowledge_index",
            "fraction",
            "more of the stated facts are true",
            "Share of true facts among the steps that state one and could be judged, 0..1.",
            "Whether the steps lead to the answer: a model that ignores its chain can score 1. Depends on the judge.",
            "2506.02126 sec. 3.4, steps without facts left out",
        ),
        Metric(
            "knowledge_coverage",
            "fraction",
            "more steps state facts",
            "Share of the steps that state a fact and could be judged, 0..1.",
            "Whether the facts are true.",
            "ours",
        ),
        Metric(
            "knowledge_failed",
            "fraction",
            "more judgements failed",
            "Share of the steps on which the judge gave nothing readable, 0..1; they are missing from the index.",
            "Anything about the chain.",
            "ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield nothing."""
        yield from ()

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the index, its coverage and the share of failures."""
        if case.unfit or not case.judgements:
            yield from missing(self.metrics, case.unfit or NO_JUDGE)
            return
        words = [one.word for one in case.judgements]
        judged = words.count("true") + words.count("false")
        if judged:
            yield Value("knowledge_index", words.count("true") / judged)
        else:
            yield Value("knowledge_index", None, "no step states a fact that could be judged")
        yield Value("knowledge_coverage", judged / len(words))
        yield Value("knowledge_failed", words.count("missing") / len(words))
