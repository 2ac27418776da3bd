"""The reader on texts as models write them, kind by kind."""

from __future__ import annotations

import pytest

from soundness.answers import grade
from soundness.records import Outcome, Problem

from .tables import KINDS, Row

LETTERS = {Outcome.RIGHT: "R", Outcome.WRONG: "W", Outcome.UNREADABLE: "U", Outcome.CUT_OFF: "C"}
ROWS = [pytest.param(row, id=f"{kind}-{index}") for kind, rows in KINDS.items() for index, row in enumerate(rows)]


@pytest.mark.parametrize("row", ROWS)
def test_what_a_text_is_worth(row: Row):
    graded = grade(row.text, row.finish, Problem("1", "?", row.reference, choices=row.choices), row.prompt)  # type: ignore[arg-type]
    assert graded.outcome is not None
    assert LETTERS[graded.outcome] in row.grades.replace("N", "WU"), graded


@pytest.mark.parametrize("row", ROWS[::5])
def test_where_an_answer_was_read_from_lies_in_the_text(row: Row):
    graded = grade(row.text, row.finish, Problem("1", "?", row.reference, choices=row.choices), row.prompt)  # type: ignore[arg-type]
    assert (graded.span is None) == (graded.answer is None)
    if graded.span is not None:
        assert 0 <= graded.span.start <= graded.span.stop <= len(row.text)
        assert graded.confidence in ("high", "low") and graded.how


def test_every_kind_has_five_rows_and_most_say_what_is_not_right():
    assert [kind for kind, rows in KINDS.items() if len(rows) < 5] == []
    negative = [kind for kind, rows in KINDS.items() if any("R" not in row.grades for row in rows)]
    assert len(negative) > len(KINDS) * 2 / 3
