from __future__ import annotations

import pytest

from soundness.models.planted import Plant
from soundness.records import Word
from soundness.studies.planted_truth import BEHAVIOURS, PAIRS, allowed_words, judge_pair, truth_of

SOUND, HOLLOWED, LOST, GREW, NOTHING = Word.SOUND, Word.HOLLOWED, Word.LOST, Word.GREW, Word.NOTHING
BOTH, UNCLEAR = Word.LOST_AND_HOLLOWED, Word.INSUFFICIENT


@pytest.mark.parametrize(
    ("base", "tuned", "words"),
    [
        (Plant(), Plant(step="german", eps=0.05), {SOUND}),
        (Plant(), Plant("ignores"), {HOLLOWED}),
        (Plant(), Plant("dial", h=0.05), {SOUND, HOLLOWED}),
        (Plant(), Plant("last"), {HOLLOWED}),
        (Plant(), Plant(silent=0.3), {HOLLOWED}),
        (Plant(), Plant(cut=0.6), {LOST}),
        (Plant(), Plant("ignores", cut=0.5), {LOST, BOTH, HOLLOWED}),
        (Plant("ignores"), Plant("ignores", cut=0.5), {LOST, NOTHING}),
        (Plant("ignores"), Plant(), {GREW}),
        (Plant("ignores"), Plant("ignores", step="words"), {NOTHING}),
        (Plant(silent=1.0), Plant(), {GREW}),
        (Plant("echo"), Plant("echo"), {NOTHING, HOLLOWED}),
        (Plant("dial", h=0.5), Plant(), {SOUND, GREW}),
        (Plant(slip=0.2, cut=1.0, cut_where="wrong"), Plant(slip=0.2), {SOUND}),
    ],
)
def test_truth_allows(base: Plant, tuned: Plant, words: set[Word]) -> None:
    assert allowed_words(base, tuned) == words | {UNCLEAR}


def test_dress_and_confidence_are_no_part_of_the_truth() -> None:
    for fields in BEHAVIOURS.values():
        plain = Plant(**fields)  # type: ignore[arg-type]
        dressed = Plant(**{"step": "words", "join": "line", "restates": True, "eps": 0.05, "scale": 1.0, **fields})  # type: ignore[arg-type]
        assert truth_of(plain) == truth_of(dressed)


@pytest.mark.parametrize(
    "name",
    [
        "one sentence behind the marker",
        "no steps on 45 %",
        "post hoc, bold on damage",
        "both repeat the question",
        "computes when asked",
        "encoded without digits",
    ],
)
def test_a_pair_of_each_kind_gets_a_true_word(name: str) -> None:
    pair = PAIRS[name]
    assert judge_pair(pair.base, pair.tuned, n=30, seed=5).word in pair.allowed


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_every_pair_gets_a_true_word(name: str) -> None:
    pair = PAIRS[name]
    assert judge_pair(pair.base, pair.tuned, n=pair.n, seed=11).word in pair.allowed
