"""A folder that soundness 0.1 wrote opens, is shown, passes the gate as it did, and is not written to."""

from __future__ import annotations

import json
import zipfile
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from soundness.auditing import audit
from soundness.errors import RunError
from soundness.records import Word
from soundness.report.gate import gate
from soundness.report.page import write_page
from soundness.report.show import print_problem
from soundness.report.terminal import print_run
from soundness.runs.folder import open_run

BASE, TUNED = "scripted:computes?slip=0.3", "scripted:ignores-chain?slip=0.3&seed=1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).parent / "data" / "run-0.1.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path / "run-0.1"


def test_it_opens(old: Path) -> None:
    run = open_run(old)
    assert run.layout == 1 and run.finished
    assert [verdict.word for verdict in run.verdicts] == [Word.INSUFFICIENT]
    assert len(run.problems()) == 5 and len(run.chains()) == 10
    assert len(run.scores()) > 100 and len(run.readings()) > 100 and run.cases() and run.edits()
    stored = json.loads((old / "comparisons.json").read_text())
    assert run.comparison("info_gain").difference.value == next(
        row["difference"]["value"] for row in stored if row["metric"] == "info_gain" and row["scorer"] == "self"
    )
    assert run.store.counts() == {"generations": 31, "readings": 165}
    run.close()


def test_it_is_shown_and_the_page_says_what_cannot_be_told(old: Path) -> None:
    page = write_page(open_run(old), old / "report.html").read_text()
    assert "soundness 0.1 wrote this folder and kept no digests" in page
    out = StringIO()
    print_run(open_run(old), Console(file=out, width=160))
    assert "insufficient evidence" in out.getvalue() and "soundness 0.1 wrote this folder" in out.getvalue()
    print_problem(open_run(old), open_run(old).problems()[0].id, Console(file=out, width=160))
    assert gate(open_run(old)).verdicts[0].tuned == TUNED


def test_it_is_not_written_to(old: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    with pytest.raises(RunError, match=r"written by soundness 0\.1 .*use another --out"):
        audit(BASE, [TUNED], "chain-sum", limit=5, metrics=["info_gain", "early_answering"], out=old)
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before
