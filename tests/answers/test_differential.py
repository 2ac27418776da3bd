"""Against math-verify alone and lm-evaluation-harness's answer filters for GSM8K: right where they are, and where they are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers import grade
from soundness.records import Outcome, Problem

from .tables import KINDS, Row

ROWS = [row for rows in KINDS.values() for row in rows if row.choices is None and ("R" not in row.grades or row.grades == "R")]


@pytest.fixture(scope="module")
def tools() -> ModuleType:
    """The other tools, as the benchmark runs them."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "reading_answers.py"
    spec = importlib.util.spec_from_file_location("reading_answers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def right(row: Row) -> bool:
    return grade(row.text, row.finish, Problem("1", "?", row.reference), row.prompt).outcome is Outcome.RIGHT  # type: ignore[arg-type]


def judged_as_it_must(said: bool, row: Row) -> bool:
    return said == (row.grades == "R")


@pytest.mark.parametrize("name", ["strict-match", "flexible-extract"])
def test_the_filters_of_lm_eval(tools: ModuleType, name: str):
    filters = tools.filters()
    if not filters:
        pytest.skip("lm_eval is not installed")
    theirs = {index for index, row in enumerate(ROWS) if judged_as_it_must(filters[name](row.text, row.reference), row)}
    ours = {index for index, row in enumerate(ROWS) if judged_as_it_must(right(row), row)}
    assert theirs < ours and len(ours) == len(ROWS)
    assert 0 < len(theirs) < len(ROWS) * 2 / 3


def test_the_regular_expressions_are_those_of_the_package(tools: ModuleType):
    filters = tools.filters()
    if not filters:
        pytest.skip("lm_eval is not installed")
    strict, flexible = filters["strict-match"], filters["flexible-extract"]
    assert strict("3 * 6 = 18\n#### 18", "18") and not strict("The answer is 18.", "18") and strict("#### 1,800", "1800")
    assert flexible("The answer is 18.", "18") and not flexible("The answer is 18. (3 steps)", "18")


@given(st.integers(-(10**6), 10**6), st.integers(0, 1000), st.sampled_from(["#### {}", "#### {:,}"]))
def test_where_strict_match_reads_gsm8k_as_it_is_written_so_do_we(tools: ModuleType, number: int, other: int, mark: str):
    filters = tools.filters()
    if not filters:
        pytest.skip("lm_eval is not installed")
    text = f"First {other}, then {other} more.\n{mark.format(number)}"
    for reference in (number, other):
        graded = grade(text, "stop", Problem("1", "?", str(reference))).outcome
        assert (graded is Outcome.RIGHT) == filters["strict-match"](text, str(reference)) == (reference == number)


@pytest.mark.slow
def test_math_verify_alone(tools: ModuleType):
    theirs = {
        index for index, row in enumerate(ROWS) if judged_as_it_must(tools.math_verify_alone(row.text, row.reference), row)
    }
    ours = {index for index, row in enumerate(ROWS) if judged_as_it_must(right(row), row)}
    assert theirs < ours and len(ours) == len(ROWS)
    assert 0 < len(theirs) < len(ROWS) * 2 / 3


FORMULAS = ["equal terms", "formulas worked out", "sets, tuples, lists", "inequalities and intervals", "tight precision"]


def test_math_verify_alone_on_some_formulas(tools: ModuleType):
    rows = [row for kind in FORMULAS for row in KINDS[kind][:4] if r"\int" not in row.text and r"\sum" not in row.text]
    theirs = [judged_as_it_must(tools.math_verify_alone(row.text, row.reference), row) for row in rows]
    ours = [judged_as_it_must(right(row), row) for row in rows]
    assert all(ours) and 0 < sum(theirs) < len(rows)
