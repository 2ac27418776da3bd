from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from soundness.statistics.proportions import paired_interval, share_interval


@pytest.mark.parametrize(("k", "n"), [(0, 4), (4, 4), (1, 8), (7, 30), (30, 30), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_share_interval_agrees_with_scipy(k: int, n: int, confidence: float) -> None:
    expected = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert share_interval(k / n, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("n", [20, 60])
def test_a_share_interval_holds_what_it_promises(n: int) -> None:
    held = []
    for share in (0.05, 0.2, 0.5, 0.9):
        counts = np.arange(n + 1)
        inside = [low <= share <= high for low, high in (share_interval(k / n, n) for k in counts)]
        held.append(float(binom.pmf(counts, n, share)[inside].sum()))
    assert np.mean(held) == pytest.approx(0.95, abs=0.02) and min(held) > 0.91


def test_a_paired_interval_holds_what_it_promises() -> None:
    rng = np.random.default_rng(4)
    for gain, loss, n in ((0.0, 0.02, 30), (0.1, 0.1, 30), (0.05, 0.3, 20)):
        drawn = rng.multinomial(n, [gain, loss, 1 - gain - loss], size=600)
        ends = np.array([paired_interval(gained, lost, n) for gained, lost, _ in drawn])
        held = np.mean((ends[:, 0] <= gain - loss) & (gain - loss <= ends[:, 1]))
        assert held > 0.93, (gain, loss, held)


def test_nothing_seen_is_not_nothing_there() -> None:
    low, high = paired_interval(0, 0, 4)
    assert low == pytest.approx(-high) and high > 0.4
    assert share_interval(0.0, 4)[1] > 0.4 and share_interval(1.0, 4)[0] < 0.6
