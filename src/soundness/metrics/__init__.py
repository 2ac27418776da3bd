"""One number per chain and metric, or None with a reason; nothing here calls a model."""

from __future__ import annotations

from collections.abc import Sequence

from soundness.errors import MetricError, near
from soundness.metrics.accuracy import Accuracy, ForcedAccuracy
from soundness.metrics.base import Family, Metric
from soundness.metrics.calibration import Calibration
from soundness.metrics.coverage import Coverage
from soundness.metrics.early import EarlyAnswering
from soundness.metrics.forgetting import Forgetting, Transfer
from soundness.metrics.formats import Formats
from soundness.metrics.information import InformationGain
from soundness.metrics.knowledge import Knowledge
from soundness.metrics.length import Length
from soundness.metrics.lengths import LengthEffect
from soundness.metrics.necessity import LatentGap, Necessity, Redundancy
from soundness.metrics.operators import Controls, FillerForms, MistakeForms
from soundness.metrics.paraphrase import Paraphrase
from soundness.metrics.reliance import Filler, Mistake, Swap

__all__ = ["BATTERIES", "FAMILIES", "METRICS", "SHARED_CHAINS", "choose"]

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Accuracy(),
        ForcedAccuracy(),
        InformationGain(),
        LatentGap(),
        EarlyAnswering(),
        Filler(),
        FillerForms(),
        Swap(),
        Mistake(),
        MistakeForms(),
        Paraphrase(),
        Controls(),
        Necessity(),
        Redundancy(),
        Knowledge(),
        Calibration(),
        Coverage(),
        Length(),
        LengthEffect(),
        Formats(),
        Forgetting(),
        Transfer(),
    )
}
"""Every family by its name, in the order of the tables."""

METRICS: dict[str, Metric] = {metric.name: metric for family in FAMILIES.values() for metric in family.metrics}
"""Every metric by its name."""

_QUICK = ("accuracy", "info_gain", "early_answering", "length")
_STANDARD = (*_QUICK, "forced_accuracy", "filler", "swap", "mistake", "calibration", "coverage", "length_effect")

BATTERIES: dict[str, tuple[str, ...]] = {"quick": _QUICK, "standard": _STANDARD, "full": tuple(FAMILIES)}
"""Profile -> families that it measures. `coverage` and `length_effect` need several samples, `transfer` a panel: without, they are
left out."""

SHARED_CHAINS = ("standard", "full")
"""Profiles in which the tuned models read the base's chains as well."""


def choose(
    names: Sequence[str] | None, battery: str = "standard", *, samples: int | None = None, panel: bool | None = None
) -> list[Family]:
    """Return the families that `names` (of families or metrics) ask for, or those of the profile `battery` without names.

    Outcomes and length are always among them. What needs several samples or a panel is left out of a profile where `samples` is 1 or
    `panel` False; asked for by name it stays. Raises `MetricError` for an unknown name or profile.
    """
    if battery not in BATTERIES:
        raise MetricError(f"unknown battery {battery!r}{near(battery, BATTERIES)}; there are {', '.join(BATTERIES)}")
    if not names:
        lacking = {"coverage", "length_effect"} if samples == 1 else set()
        lacking |= {"transfer"} if panel is False else set()
        chosen = {*BATTERIES[battery], *(["transfer"] if panel else [])} - lacking
        return [family for name, family in FAMILIES.items() if name in chosen]
    owner = {metric.name: family.name for family in FAMILIES.values() for metric in family.metrics}
    wanted = {"accuracy", "length"} | ({"transfer"} if panel else set())
    for name in names:
        if name not in FAMILIES and name not in owner:
            known = [*FAMILIES, *owner]
            raise MetricError(
                f"unknown metric {name!r}{near(name, known)}; there are {', '.join(FAMILIES)}, or any single metric"
            )
        # A name may be both, as `redundancy`: the family holds the metric.
        wanted.add(name if name in FAMILIES else owner[name])
    return [family for name, family in FAMILIES.items() if name in wanted]
