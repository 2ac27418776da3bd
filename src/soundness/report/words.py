"""Numbers as they stand on the page: every rounding happens here."""

from __future__ import annotations

import math
from typing import Any

from soundness.records import Estimate
from soundness.report.terminal import figure

__all__ = ["estimate_cell", "number", "percent", "probability", "signed_nats"]


def percent(value: float | None, *, signed: bool = False, unit: str = "%") -> str:
    """Return a fraction in hundredths, with one digit behind the point.

    >>> percent(0.7333), percent(-0.05, signed=True, unit="points"), percent(None)
    ('73.3 %', '-5.0 points', '-')
    """
    if value is None:
        return "-"
    text = f"{value * 100:+.1f}" if signed else f"{value * 100:.1f}"
    return f"{'0.0' if float(text) == 0 else text} {unit}"


def number(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """Return a number in its unit; fractions in per cent, differences of them (`signed`) in points.

    >>> number(0.5, "fraction"), number(0.5, "fraction", signed=True), number(2.314, "nats", signed=True), number(3e-5, "nats")
    ('50.0 %', '+50.0 points', '+2.31 nats', '0 nats')
    """
    if value is None:
        return "-"
    if unit == "fraction":
        return percent(value, signed=signed, unit="points" if signed else "%")
    if unit == "nats" and abs(value) < 5e-4:  # what float32 leaves of nothing
        value = 0.0
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{figure(value)} {unit}".rstrip()


def _bare(value: float | None, unit: str, signed: bool) -> str:
    text = number(value, unit, signed=signed)
    return text.split(" ")[0]


def estimate_cell(estimate: Estimate, unit: str, *, signed: bool = False) -> dict[str, Any]:
    """Return an estimate as data: its numbers, and `text` and `interval` as they are shown.

    >>> estimate_cell(Estimate(0.5, 0.4, 0.6, 10, 0), "fraction")["interval"]
    '[40.0, 60.0]'
    """
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f"[{_bare(estimate.low, unit, signed)}, {_bare(estimate.high, unit, signed)}]"
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_missing": estimate.n_missing,
        "text": number(estimate.value, unit, signed=signed),
        "interval": interval,
    }


def probability(log_probability: float) -> str:
    """Return a probability given as its logarithm, in per cent.

    >>> probability(0.0), probability(-1.0), probability(-15.0)
    ('100 %', '37 %', '<0.1 %')
    """
    share = math.exp(min(log_probability, 0.0))
    if share < 0.001:
        return "<0.1 %"
    return f"{share * 100:.1f} %" if share < 0.01 else f"{share * 100:.0f} %"


def signed_nats(value: float) -> str:
    """Return nats with their sign and two digits behind the point, 0 without a sign.

    >>> signed_nats(2.314), signed_nats(-0.5), signed_nats(-0.001)
    ('+2.31', '-0.50', '0.00')
    """
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text
