from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from soundness.documentation import metrics_markdown, print_metrics
from soundness.errors import MetricError
from soundness.metrics import METRICS
from soundness.report.validation import PICTURES, validation_page

DOCS = Path(__file__).parents[1] / "docs"
STALE = "is stale: run python -m soundness.documentation docs"


def test_the_page_of_metrics_is_fresh_and_names_each() -> None:
    page = metrics_markdown()
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == page, f"docs/metrics.md {STALE}"
    for name, metric in METRICS.items():
        assert page.count(f"| `{name}` |") == 1
        assert all((metric.unit, metric.higher_means, metric.description, metric.limitations, metric.source)), name


def test_the_page_of_the_validation_is_that_of_its_figures() -> None:
    found = json.loads((DOCS / "validation" / "validation.json").read_text(encoding="utf-8"))
    page = (DOCS / "validation.md").read_text(encoding="utf-8")
    assert page == validation_page(found, pictures="validation"), f"docs/validation.md {STALE}"
    assert found["scale"] == "full"
    for picture in PICTURES:
        assert (DOCS / "validation" / picture).read_text(encoding="utf-8").startswith(
            "<svg"
        ) and f"validation/{picture}" in page


def shown(name: str | None) -> str:
    console = Console(width=160, record=True, quiet=False, file=None)
    with console.capture() as capture:
        print_metrics(name, console)
    return capture.get()


def test_the_terminal_explains_all_or_one() -> None:
    everything = shown(None)
    assert all(name in everything.replace("\n", "") or len(name) > 20 for name in METRICS)
    one = shown("info_gain")
    assert "nats" in one and METRICS["info_gain"].description in one.replace("\n", " ")
    assert "swap_reliance" in shown("swap") and "early_answering" not in shown("swap")
    with pytest.raises(MetricError, match="did you mean 'info_gain'"):
        print_metrics("info_gian", Console())
