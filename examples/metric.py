"""A metric of one's own with an edit of its own: is the first step enough?

soundness audit BASE TUNED --task TASK --metrics info_gain,examples/metric.py:FirstStep --out RUN
"""

from soundness.answers import same_answer
from soundness.interventions.base import EditKind
from soundness.metrics.base import NO_REFERENCE, Metric, MetricGroup, Value
from soundness.records import Edit


def only_first_step(body, supplies):
    """Return the chain with nothing but its first step."""
    return [Edit("only_first_step", body.step_ids(0), 0, body.text, body.step_texts[0])]


class FirstStep(MetricGroup):
    """What the first step says by itself."""

    name = "first_step"
    metrics = (
        Metric(
            name="first_step_right",
            unit="fraction",
            direction="none",
            bounds=(0, 1),
            description="Share of problems answered right after nothing but the first step.",
        ),
    )
    edits = (EditKind("only_first_step", only_first_step),)

    def asks(self, case):
        """Ask for the answer after the first step."""
        return [("after the first step", case.after(e.ids)) for e in case.edits["only_first_step"] if isinstance(e, Edit)]

    def values(self, case, read):
        """Say whether that answer is right."""
        given = [read.answer(prefix).value for _, prefix in self.asks(case)]
        if not given or case.problem.answer is None:
            return [Value("first_step_right", None, case.skip_reason or NO_REFERENCE)]
        right = given[0] is not None and same_answer(case.problem.answer, given[0], case.problem.choices)
        return [Value("first_step_right", float(right))]
