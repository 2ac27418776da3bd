from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.comparison.verdict import INFORMATION, RELIANCE, Thresholds, describe, disagreements, judge, problems_needed
from soundness.records import Comparison, Estimate, Word


def compared(
    metric: str, base: float, tuned: float, half: float = 0.1, *, n: int = 40, reader: str = "self", name: str = "tuned"
) -> Comparison:
    """A comparison whose three intervals all reach `half` to either side."""

    def around(value: float) -> Estimate:
        return Estimate(value, value - half, value + half, n, 0)

    unit = "nats" if metric.startswith("info") else "fraction"
    return Comparison("base", name, metric, reader, around(base), around(tuned), around(tuned - base), 0.01, unit, "")


def case(
    accuracy: tuple[float, float] = (0.6, 0.62),
    information: tuple[float, float] = (2.0, 2.0),
    reliance: tuple[float, float] = (0.8, 0.8),
    *,
    half: float = 0.1,
    n: int = 40,
) -> dict[str, Comparison]:
    rows = [compared("accuracy", *accuracy, half, n=n, reader="-")]
    rows += [compared(metric, *information, half, n=n) for metric in INFORMATION]
    rows += [compared(metric, *reliance, half, n=n) for metric in RELIANCE]
    return {row.metric: row for row in rows}


def word(rows: dict[str, Comparison]) -> Word:
    return judge("tuned", list(rows.values())).word


def why(rows: dict[str, Comparison]) -> str:
    verdict = judge("tuned", list(rows.values()))
    assert verdict.word is Word.INSUFFICIENT
    return " | ".join(verdict.evidence_for)


def test_a_model_that_kept_everything_is_sound() -> None:
    verdict = judge("tuned", list(case().values()))
    assert verdict.word is Word.SOUND
    assert "still answers from its written steps" in verdict.sentence
    assert any(line.startswith("information gain over swapped chains") for line in verdict.evidence_for)
    assert any(
        "accuracy could still have fallen by 0.080 (difference 0.020 [-0.080, 0.12], n = 40)" == line
        for line in verdict.evidence_against
    )


def test_a_model_that_lost_information_and_reliance_but_not_accuracy_is_hollowed() -> None:
    verdict = judge("tuned", list(case(information=(2.31, 0.12), reliance=(0.8, 0.1)).values()))
    assert verdict.word is Word.HOLLOWED
    assert "information gain over swapped chains fell from 2.31 to 0.12 nats (difference -2.19 [-2.29, -2.09], n = 40)" in (
        verdict.evidence_for
    )
    assert len(verdict.evidence_for) == 5
    assert "true reasoning" not in verdict.sentence and "depend" in verdict.sentence


def test_one_measure_of_each_family_suffices_when_the_others_held() -> None:
    rows = case()
    rows["info_gain_over_swap"] = compared("info_gain_over_swap", 2.0, 1.0)
    rows["filler_reliance"] = compared("filler_reliance", 0.8, 0.5)
    verdict = judge("tuned", list(rows.values()))
    assert verdict.word is Word.HOLLOWED
    assert len(verdict.evidence_for) == 2 and sum(
        "no clear change" in line or "stayed" in line for line in verdict.evidence_against
    )


def test_a_fall_of_accuracy_comes_first() -> None:
    verdict = judge("tuned", list(case(accuracy=(0.6, 0.3), information=(2, 0), reliance=(0.8, 0)).values()))
    assert verdict.word is Word.LOST
    assert "0.60 to 0.30" in verdict.sentence
    # Nothing but accuracy is needed to say so.
    assert judge("tuned", [compared("accuracy", 0.6, 0.3, reader="-")]).word is Word.LOST


def test_a_broken_model_is_never_sound_nor_does_it_hollow() -> None:
    # Random answers: every edit flips them, so reliance is high; a null chain explains the answer as well as its own.
    broken = case(accuracy=(0.25, 0.25), information=(0.0, 0.0), reliance=(0.75, 0.75))
    assert "nothing to lose" in why(broken)
    from_sound = case(accuracy=(0.3, 0.3), information=(2.0, 0.0), reliance=(0.8, 0.8))
    assert "carry no measurable information" in why(from_sound) and "only the information family fell" in why(from_sound)
    higher_reliance = case(accuracy=(0.3, 0.3), information=(0.0, 0.0), reliance=(0.2, 0.9))
    assert word(higher_reliance) is Word.INSUFFICIENT


def test_chance_does_not_make_a_broken_model_sound() -> None:
    # One in forty models without information has an interval just above 0.
    lucky = case(information=(0.11, 0.11), reliance=(0.75, 0.75), half=0.1)
    assert "carry no measurable information" in why(lucky)
    assert word(case(information=(0.8, 0.8), reliance=(0.75, 0.75), half=0.1)) is Word.SOUND


def test_a_base_without_information_has_nothing_to_lose() -> None:
    rows = case(information=(0.05, -3.0), reliance=(0.8, 0.1))
    assert "nothing to lose: the base's chains carry no measurable information" in why(rows)


def test_a_model_that_ignores_its_steps_before_and_after_is_not_sound() -> None:
    reason = why(case(information=(2.0, 2.0), reliance=(0.0, 0.0), half=0.02))
    assert "do not measurably depend on the written steps" in reason


def test_exchanged_a_hollowing_is_a_gain() -> None:
    assert word(case(information=(0.0, 2.0), reliance=(0.1, 0.8))) is Word.SOUND


@pytest.mark.parametrize("metric", RELIANCE)
def test_measures_of_one_family_that_contradict_each_other_settle_nothing(metric: str) -> None:
    rows = case(information=(2.0, 0.5), reliance=(0.5, 0.1))
    rows[metric] = compared(metric, 0.5, 2.0)
    assert "measures of one family disagree" in why(rows)
    small = replace(rows[metric], difference=Estimate(0.004, 0.001, 0.007, 40, 0))
    assert word({**rows, metric: small}) is Word.HOLLOWED  # a rise too small to matter contradicts nothing


def test_a_fall_too_small_to_matter_is_no_fall() -> None:
    rows = case(information=(2.0, 1.9), reliance=(0.8, 0.76), half=0.01)
    assert judge("tuned", list(rows.values())).word is Word.SOUND
    assert word(case(information=(2.0, 1.7), reliance=(0.8, 0.7), half=0.01)) is Word.HOLLOWED


def test_one_family_alone_settles_nothing() -> None:
    assert "only the information family fell" in why(case(information=(2.0, 1.0)))
    assert "only the reliance family fell" in why(case(reliance=(0.8, 0.3)))


def test_few_problems_settle_nothing() -> None:
    assert "accuracy pairs 19 problems, at least 20 are needed" in why(case(accuracy=(0.9, 0.1), n=19))
    rows = case(information=(2, 0), reliance=(0.8, 0))
    for metric in RELIANCE:
        rows[metric] = replace(compared(metric, 0.8, 0.0, n=9), missing={"tuned: no steps": 31})
    assert "pairs 9 problems, at least 10 are needed; left out: 31 (tuned: no steps)" in why(rows)
    assert "accuracy was not measured" in why({})
    assert "no measure of the reliance family" in why({m: c for m, c in case().items() if m not in RELIANCE})
    assert "no measure of the information family" in why({m: c for m, c in case().items() if m not in INFORMATION})


def test_nothing_scored_is_no_crash() -> None:
    nothing = Estimate(None, None, None, 0, 40)
    rows = {
        metric: replace(row, base_estimate=nothing, tuned_estimate=nothing, difference=nothing, p=None)
        for metric, row in case().items()
    }
    assert "pairs 0 problems" in why(rows)
    assert "pairs 0 problems" in why({**rows, "accuracy": case()["accuracy"]})


def test_a_wide_interval_settles_nothing_and_says_how_many_problems_would() -> None:
    rows = case(half=0.3)
    for metric in RELIANCE:
        rows[metric] = compared(metric, 0.8, 0.8, 0.3)
    reason = why(rows)
    assert "still allows a fall of 0.30, 0.15 would be tolerated: about 160 problems would settle it" in reason
    wide = case()
    wide["info_gain_over_swap"] = compared("info_gain_over_swap", 2.0, 2.0, 1.0)
    assert "still allows a fall of 1.00, 0.50 would be tolerated: about 160 problems" in why(wide)


def test_half_of_the_reliances_bounded_is_enough() -> None:
    rows = case()
    for metric in RELIANCE[:2]:
        rows[metric] = compared(metric, 0.8, 0.8, 0.5)
    assert word(rows) is Word.SOUND
    rows[RELIANCE[2]] = compared(RELIANCE[2], 0.8, 0.8, 0.5)
    assert word(rows) is Word.INSUFFICIENT


def test_the_bases_reading_and_cut_offs_are_shown_and_never_counted() -> None:
    rows = list(case().values())
    beside = [
        compared("info_gain_over_swap", 2.0, 0.0, reader="base"),
        compared("info_gain", 2.0, 0.0),
        compared("cut_off", 0.0, 0.5, reader="-"),
        compared("accuracy_without_chain", 0.2, 0.6),
    ]
    with_them, without = judge("tuned", [*beside, *rows]), judge("tuned", rows)
    assert with_them.word is without.word is Word.SOUND
    shown = [line for line in with_them.evidence_against if line.startswith("beside: ")]
    assert len(shown) == 3
    assert any("information gain over swapped chains (read by the base) fell from 2.00 to 0" in line for line in shown)


def test_other_models_do_not_enter_and_order_does_not_matter() -> None:
    others = [replace(row, tuned="other") for row in case(information=(2, 0), reliance=(0.8, 0)).values()]
    others.append(compared("cut_off", 0.0, 0.5, reader="-", name="other"))
    rows = [*others, *case().values()]
    assert judge("tuned", rows) == judge("tuned", rows[::-1])
    assert judge("tuned", rows) == judge("tuned", list(case().values()))
    assert judge("tuned", rows).word is Word.SOUND and judge("other", rows).word is Word.HOLLOWED


fractions = st.floats(0, 1).map(lambda x: round(x, 2))
nats = st.floats(-2, 4).map(lambda x: round(x, 2))
halves = st.floats(0.01, 0.5).map(lambda x: round(x, 2))
ORDER = {Word.HOLLOWED: 0, Word.INSUFFICIENT: 1, Word.SOUND: 2}


@given(st.tuples(nats, nats), st.tuples(fractions, fractions), halves, st.floats(1, 5))
def test_more_doubt_never_makes_a_word(
    information: tuple[float, float], reliance: tuple[float, float], half: float, factor: float
) -> None:
    sharp = word(case(information=information, reliance=reliance, half=half))
    dull = word(case(information=information, reliance=reliance, half=half * factor))
    assert dull in (sharp, Word.INSUFFICIENT)


@given(nats, st.tuples(nats, nats), fractions, st.tuples(fractions, fractions), halves)
def test_a_model_that_lost_more_never_gets_a_better_word(
    base: float, tuned: tuple[float, float], used: float, uses: tuple[float, float], half: float
) -> None:
    less = word(case(information=(base, min(tuned)), reliance=(used, min(uses)), half=half))
    more = word(case(information=(base, max(tuned)), reliance=(used, max(uses)), half=half))
    assert ORDER[less] <= ORDER[more]


@given(st.tuples(nats, nats), st.tuples(fractions, fractions), halves, st.integers(0, 60))
def test_every_verdict_has_its_evidence(
    information: tuple[float, float], reliance: tuple[float, float], half: float, n: int
) -> None:
    verdict = judge("tuned", list(case(information=information, reliance=reliance, half=half, n=n).values()))
    assert verdict.evidence_for and verdict.sentence.endswith(".")
    assert "tuned" in verdict.sentence and "nan" not in " ".join((*verdict.evidence_for, *verdict.evidence_against))
    if n < 20:
        assert verdict.word is Word.INSUFFICIENT


def test_thresholds_are_arguments() -> None:
    rows = list(case(information=(2.0, 1.7), reliance=(0.8, 0.7), half=0.01).values())
    strict = judge("tuned", rows).word
    lenient = judge("tuned", rows, Thresholds(information_drop=0.5, reliance_drop=0.5)).word
    assert (strict, lenient) == (Word.HOLLOWED, Word.SOUND)


def test_problems_needed_and_description() -> None:
    assert problems_needed(Estimate(-0.15, -0.45, 0.15, 25, 0), 0.15) == 100  # room is the fall itself
    assert problems_needed(Estimate(0.0, None, None, 1, 0), 0.15) is None
    assert describe(compared("depth_of_it", 1.0, 2.0)).startswith("depth of it rose from 1.00 to 2.00 (difference")


def silent(base: float, tuned: float) -> Comparison:
    return compared("no_steps", base, tuned, 0.05, reader="-")


def test_a_model_that_no_longer_writes_steps_is_hollowed_although_nothing_else_can_be_measured() -> None:
    verdict = judge("tuned", [case()["accuracy"], silent(0.1, 0.95)])
    assert verdict.word is Word.HOLLOWED
    assert "no longer writes steps" in verdict.sentence
    assert verdict.evidence_for == (
        "share of answers without steps rose from 0.10 to 0.95 (difference 0.85 [0.80, 0.90], n = 40)",
    )


@pytest.mark.parametrize(("base", "tuned"), [(0.1, 0.5), (0.9, 0.95), (0.5, 0.9)])
def test_few_or_equally_many_answers_without_steps_do_not_decide(base: float, tuned: float) -> None:
    assert judge("tuned", [*case().values(), silent(base, tuned)]).word is Word.SOUND


def test_a_model_that_lost_accuracy_is_lost_even_if_it_writes_no_steps() -> None:
    rows = case(accuracy=(0.8, 0.4))
    assert judge("tuned", [rows["accuracy"], silent(0.0, 1.0)]).word is Word.LOST


def test_a_fall_that_the_correction_explains_is_no_fall_and_no_ground_for_sound() -> None:
    rows = case(information=(2.31, 0.12), reliance=(0.8, 0.1))
    doubted = {name: replace(row, p_adjusted=0.2) for name, row in rows.items()}
    reason = why(doubted)
    assert "does not outlast the correction for all metrics compared (p 0.20)" in reason
    assert word({name: replace(row, p_adjusted=0.05) for name, row in rows.items()}) is Word.HOLLOWED
    assert word({name: replace(row, p_adjusted=0.9) for name, row in case().items()}) is Word.SOUND


def test_a_fall_must_exceed_what_the_base_shows_against_itself() -> None:
    rows = list(case(information=(2.0, 1.5), reliance=(0.8, 0.6)).values())
    measures = [(metric, "self") for metric in (*INFORMATION, *RELIANCE)]
    quiet = dict.fromkeys(measures, Estimate(0.0, -0.05, 0.05, 40, 0))
    loud = dict.fromkeys(measures, Estimate(0.0, -0.6, 0.6, 40, 0))
    assert judge("tuned", rows).word is judge("tuned", rows, floor=quiet).word is Word.HOLLOWED
    verdict = judge("tuned", rows, floor=loud)
    assert verdict.word is Word.INSUFFICIENT
    assert any("is within what the base shows against itself ([-0.60, 0.60])" in line for line in verdict.evidence_for)


def test_operators_that_disagree_are_shown_and_do_not_decide() -> None:
    rows = case()
    pairs = [("mistake_reliance", "mistake_other"), ("filler_reliance", "absent")]
    other = compared("mistake_other", 0.8, 0.3)
    verdict = judge("tuned", [*rows.values(), other], operators=pairs)
    assert verdict.word is Word.SOUND
    shown = [line for line in verdict.evidence_against if line.startswith("two operators disagree")]
    assert len(shown) == 1 and "mistake other fell from 0.80 to 0.30" in shown[0]
    agree = compared("mistake_other", 0.8, 0.8)
    assert not disagreements("tuned", [*rows.values(), agree], pairs)


def test_steps_that_carried_nothing_are_no_loss_when_they_are_no_longer_written() -> None:
    rows = [case()["accuracy"], silent(0.1, 0.95)]
    empty = judge("tuned", [*rows, compared("info_gain_over_swap", 0.02, 0.0, reader="tuned")])
    assert empty.word is Word.INSUFFICIENT
    assert "nothing to lose" in empty.sentence
    assert judge("tuned", [*rows, compared("info_gain_over_swap", 2.0, 0.0, reader="tuned")]).word is Word.HOLLOWED
