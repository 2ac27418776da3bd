from __future__ import annotations

from pathlib import Path

import pytest

from soundness.papers.catalogue import REPRODUCTIONS, findings, load_reproduction, read_result
from soundness.papers.running import reproduce


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_a_reproduction_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    result = reproduce(name, scale="tiny", seeds=2, out=tmp_path)
    folder = tmp_path / name / "tiny"
    assert read_result((folder / "results.json").read_text(encoding="utf-8")) == result
    assert result.seconds and len(result.seeds) == 2
    paper = load_reproduction(name).PAPER
    found, _ = findings(paper, result)
    for one in found:
        assert any(value is not None for value in one.values) or any(seed.get("skipped") for seed in result.seeds), (
            f"{one.expectation.figure} was never computed, and nobody says why"
        )
    assert "<svg" in next(folder.glob(f"{name}-*.svg")).read_text(encoding="utf-8")
    assert paper.claim in (folder / f"{name}.md").read_text(encoding="utf-8").replace("&lt;", "<")
    assert (folder / "page.html").stat().st_size > 10_000
