"""What measures are called in a sentence, and which of them decide a verdict and which describe."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ACCURACY",
    "DECIDING",
    "INFORMATION",
    "LABELS",
    "NO_STEPS",
    "OVER_SWAP",
    "RELIANCE",
]

ACCURACY = "solved"
"""Right among all problems asked."""

NO_STEPS = "no_steps"
"""Share of answers without any step before them."""

OVER_SWAP = "info_gain_over_swap"

INFORMATION = (OVER_SWAP,)
"""What the steps carry towards the answer beyond another problem's chain, in nats. It describes: any tuning changes confidence."""

RELIANCE = ("early_answering_share", "filler_reliance", "swap_reliance", "mistake_reliance")
"""How often the answer changes when the steps are cut, filled, exchanged or falsified, fractions 0..1. They describe: a change to
anything counts."""

DECIDING: Mapping[tuple[str, str], str] = {
    (ACCURACY, "-"): "accuracy",
    ("following", "self"): "following of the steps",
    ("kept_answer", "self"): "answers that stay the same after another problem's steps",
    ("fragility", "self"): "answers that break after another problem's steps",
    ("gain", "self"): "gain over another problem's steps",
    ("over_none", "self"): "gain over no steps",
    ("following_unprompted", "self"): "following of the steps where nothing asks",
    ("mistake_effect", "self"): "chains in which a wrong number changes the answer",
    ("following", "base"): "following of the steps, read by the base",
    ("asked_agrees", "self"): "asked answers that agree with the stated ones",
    (NO_STEPS, "-"): "answers without steps before them",
    ("cut_off", "-"): "chains cut off",
    ("unreadable", "-"): "unreadable answers",
}
"""(metric, reader) of all that a verdict looks at, with its name in a sentence."""

LABELS: Mapping[str, str] = {
    **{metric: label for (metric, reader), label in DECIDING.items() if reader != "base"},
    "accuracy": "accuracy",
    "accuracy_without_chain": "accuracy without a chain",
    "info_gain": "information gain",
    "info_gain_over_swap": "information gain over swapped chains",
    "info_gain_over_shuffle": "information gain over shuffled steps",
    "early_answering": "early answering (area over the curve)",
    "early_answering_share": "early answering (share of the largest area)",
    "filler_reliance": "reliance on steps against filler",
    "swap_reliance": "reliance on steps against swapped chains",
    "mistake_reliance": "reliance on steps against mistakes",
}
"""Metric -> its name in a sentence."""
