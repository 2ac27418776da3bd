"""One number per chain and metric, or None with a reason; nothing here calls a model."""

from __future__ import annotations

from soundness.metrics.accuracy import Accuracy, ForcedAccuracy
from soundness.metrics.base import Metric, MetricGroup
from soundness.metrics.calibration import Calibration
from soundness.metrics.coverage import Coverage
from soundness.metrics.early import EarlyAnswering
from soundness.metrics.following import Following, Keeping
from soundness.metrics.forgetting import Forgetting, Transfer
from soundness.metrics.formats import Formats
from soundness.metrics.gain import Gain
from soundness.metrics.information import InformationGain
from soundness.metrics.knowledge import Knowledge
from soundness.metrics.length import Length
from soundness.metrics.lengths import LengthEffect
from soundness.metrics.necessity import LatentGap, Necessity, Redundancy
from soundness.metrics.operators import Controls, FillerForms, MistakeForms
from soundness.metrics.paraphrase import Paraphrase
from soundness.metrics.reliance import Filler, Mistake, MistakeRegenerated, Swap
from soundness.metrics.wrong_numbers import WrongNumbers

__all__ = ["DECISIVE", "GROUPS", "METRICS", "PROFILES", "SHARED_CHAINS"]

GROUPS: dict[str, MetricGroup] = {
    group.name: group
    for group in (
        Accuracy(),
        Following(),
        Keeping(),
        Gain(),
        WrongNumbers(),
        ForcedAccuracy(),
        InformationGain(),
        LatentGap(),
        EarlyAnswering(),
        Filler(),
        FillerForms(),
        Swap(),
        Mistake(),
        MistakeRegenerated(),
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
"""Every group by its name, in the order of the tables."""

METRICS: dict[str, Metric] = {metric.name: metric for group in GROUPS.values() for metric in group.every_metric}
"""Every metric by its name."""

ALWAYS = ("accuracy", "length")
"""Groups that every run measures: they cost nothing, and no other number can be read without them."""

DECISIVE = ("accuracy", "following", "keeping", "gain", "wrong_numbers")
"""Groups that a verdict rests on."""

_QUICK = (*DECISIVE, "info_gain", "early_answering", "length")
_STANDARD = (
    *_QUICK,
    "forced_accuracy",
    "filler",
    "swap",
    "mistake",
    "mistake_regenerated",
    "calibration",
    "coverage",
    "length_effect",
)

PROFILES: dict[str, tuple[str, ...]] = {"quick": _QUICK, "standard": _STANDARD, "full": tuple(GROUPS)}
"""Profile -> groups that it measures; what needs several samples or other tasks is left out where there are none."""

SHARED_CHAINS = ("standard", "full")
"""Profiles in which the tuned models read the base's chains as well."""
