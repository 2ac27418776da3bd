from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from soundness.errors import RunError
from soundness.report.show import print_problem
from soundness.runs.folder import open_run


def shown(run, problem_id, **options):
    out = io.StringIO()
    print_problem(open_run(run.path), problem_id, Console(file=out, width=130, **options))
    return out.getvalue()


def test_both_chains_are_readable_without_colour(run):
    problem = run.problems()[0]
    text = shown(run, problem.id)
    assert "\x1b" not in text
    assert f"reference answer: {problem.answer}" in text
    assert text.count("tuned: scripted:") == 2
    assert re.search(r"4\s+\d .*\+15\.68 +\|\+{8} +97 %", text)
    assert "a mistake here, later steps kept: the answer" in text


def test_colour_adds_to_the_text_and_changes_none(run):
    plain = shown(run, run.problems()[0].id)
    coloured = shown(run, run.problems()[0].id, force_terminal=True, color_system="standard")
    assert "\x1b[32m" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_an_unknown_problem_names_near_ones(run):
    with pytest.raises(RunError, match="did you mean"):
        shown(run, "chain-sum/0/00")
