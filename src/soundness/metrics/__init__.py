"""One number per chain and metric, or None with a reason; nothing here calls a model."""

from __future__ import annotations

from collections.abc import Sequence

from soundness.errors import MetricError, near
from soundness.metrics.accuracy import Accuracy, ForcedAccuracy
from soundness.metrics.base import Family, Metric
from soundness.metrics.early import EarlyAnswering
from soundness.metrics.information import InformationGain
from soundness.metrics.length import Length
from soundness.metrics.reliance import Filler, Mistake, Swap

__all__ = ["FAMILIES", "METRICS", "choose"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (Accuracy(), ForcedAccuracy(), InformationGain(), EarlyAnswering(), Filler(), Swap(), Mistake(), Length())
}
"""Every family by its name, in the order of the tables."""

METRICS: dict[str, Metric] = {metric.name: metric for family in FAMILIES.values() for metric in family.metrics}
"""Every metric by its name."""


def choose(names: Sequence[str] | None) -> list[Family]:
    """Return the families that `names` (of families or metrics) ask for, all for None; outcomes and length are always among them.

    Raises `MetricError` for an unknown name.
    """
    if not names:
        return list(FAMILIES.values())
    owner = {metric.name: family.name for family in FAMILIES.values() for metric in family.metrics}
    wanted = {"accuracy", "length"}
    for name in names:
        if name not in FAMILIES and name not in owner:
            known = [*FAMILIES, *owner]
            raise MetricError(
                f"unknown metric {name!r}{near(name, known)}; there are {', '.join(FAMILIES)}, or any single metric"
            )
        wanted.add(name if name in FAMILIES else owner[name])
    return [family for name, family in FAMILIES.items() if name in wanted]
