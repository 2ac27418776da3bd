from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from soundness.comparison.thresholds import Thresholds
from soundness.comparison.verdict import Evidence, broken_verdict, decide_verdict, describe
from soundness.records import Reader, Score, Verdict, Word

NOBODY = {"solved", "cut_off", "unreadable", "no_steps"}
Values = Sequence[float | None]


def side(n: int, **measures: Values | float) -> dict[str, list[float | None]]:
    """Return every measure of a model that computes, right on nine in ten, with `measures` in their place."""
    right = [float(i % 10 != 0) for i in range(n)]
    plain: dict[str, list[float | None]] = {
        "solved": list(right),
        "cut_off": [0.0] * n,
        "unreadable": [0.0] * n,
        "no_steps": [0.0] * n,
        "following": [1.0] * n,
        "kept_answer": [0.0] * n,
        "fragility": [0.0] * n,
        "gain": list(right),
        "over_none": list(right),
        "following_unprompted": [1.0] * n,
        "mistake_effect": [1.0] * n,
        "asked_agrees": [1.0] * n,
        "following/base": [1.0] * n,
    }
    given = {name: [value] * n if isinstance(value, float | int) else list(value) for name, value in measures.items()}
    return {**plain, **{name.replace("__", "/"): values for name, values in given.items()}}


def hollow(n: int, share: float) -> dict[str, list[float | None]]:
    """Return a model that answers from the question on a share of the problems."""
    ignored = [float(i < share * n) for i in range(n)]
    right = [float(i % 10 != 0) for i in range(n)]
    worth = [r * (1 - out) for r, out in zip(right, ignored, strict=True)]
    follows = [1 - out for out in ignored]
    return side(n, following=follows, kept_answer=ignored, gain=worth, over_none=worth, mistake_effect=follows)


def scores(name: str, values: Mapping[str, Values]) -> list[Score]:
    rows = []
    for measure, numbers in values.items():
        metric, _, reader = measure.partition("/")
        who = Reader.NOBODY if metric in NOBODY else Reader(reader or "self")
        for i, value in enumerate(numbers):
            rows.append(Score(metric, f"{i:04d}", 0, name, who, value, "" if value is not None else "cut off"))
    return rows


def judge(base: Mapping[str, Values], tuned: Mapping[str, Values], **options: object) -> Verdict:
    return decide_verdict("base", "tuned", scores("base", base) + scores("tuned", tuned), **options)  # type: ignore[arg-type]


def why(verdict: Verdict) -> str:
    assert verdict.word is Word.INSUFFICIENT, verdict
    return " | ".join(verdict.evidence_for)


def test_equal_models_are_sound() -> None:
    verdict = judge(side(60), side(60))
    assert verdict.word is Word.SOUND
    assert "still answers from its written steps" in verdict.sentence and "100 % of the problems" in verdict.sentence
    assert any(line.startswith("following of the steps stayed at 1 (") for line in verdict.evidence_for)
    assert any(line.startswith("accuracy may still have fallen by as much as 0.0") for line in verdict.evidence_against)


@pytest.mark.parametrize(("n", "share"), [(40, 1.0), (60, 0.2), (100, 0.1), (300, 0.06)])
def test_answers_that_stay_whatever_the_steps_are_hollow(n: int, share: float) -> None:
    verdict = judge(side(n), hollow(n, share))
    assert verdict.word is Word.HOLLOWED
    assert "right about as often as base" in verdict.sentence and "stay the same whatever steps stand there" in verdict.sentence
    assert verdict.evidence_for[0].startswith("following of the steps fell from 1 to ")


def test_a_small_fall_is_neither_called_nor_overlooked() -> None:
    assert "about" in why(judge(side(60), hollow(60, 0.06))) and "problems would settle it" in why(
        judge(side(60), hollow(60, 0.06))
    )
    assert judge(side(400), hollow(400, 0.03)).word is Word.SOUND  # seen, and too small to matter
    assert judge(side(400), hollow(400, 0.05)).word is Word.HOLLOWED


def test_silence_counts_as_following_nothing() -> None:
    tuned = hollow(60, 0.3)
    tuned["no_steps"] = tuned["kept_answer"]
    verdict = judge(side(60), tuned)
    assert verdict.word is Word.HOLLOWED and "on 30 % no steps stand there at all" in verdict.sentence


def test_answers_that_break_are_not_called_hollow() -> None:
    broken = side(60, following=0.1, fragility=0.8, kept_answer=0.1, gain=0.8)
    assert "break" in why(judge(side(60), broken))
    mixed = side(
        60,
        following=[0.0] * 30 + [1.0] * 30,
        kept_answer=[1.0] * 20 + [0.0] * 40,
        fragility=[0.0] * 20 + [1.0] * 10 + [0.0] * 30,
    )
    assert judge(side(60), mixed).word is Word.HOLLOWED  # two thirds of the fall are answers that stay


def test_every_problem_counts_for_ability() -> None:
    # Cut off on six in ten: what it does answer is right.
    cut = [1.0] * 36 + [0.0] * 24
    tuned = side(60, solved=[1 - c for c in cut], cut_off=cut, gain=[1 - c for c in cut], over_none=[1 - c for c in cut])
    verdict = judge(side(60, solved=1.0, gain=1.0, over_none=1.0), tuned)
    assert verdict.word is Word.LOST and "fell from 100 % to 40 % of all problems asked" in verdict.sentence
    assert "on 60 % it gives no answer that can be read (base: 0 %)" in verdict.sentence
    assert verdict.evidence_against[0].startswith("problems without an answer that can be read rose from 0 to 0.60")
    # The other way round nothing was lost.
    assert judge(tuned, side(60, solved=1.0, gain=1.0, over_none=1.0)).word is Word.SOUND


def test_a_loss_has_a_least_size_and_may_come_with_another() -> None:
    def worse(n: int, points: int) -> dict[str, list[float | None]]:
        right = [float(i % 100 >= points) for i in range(n)]
        return side(n, solved=right, gain=right, over_none=right)

    assert judge(worse(2000, 0), worse(2000, 1)).word is Word.SOUND
    assert judge(worse(2000, 0), worse(2000, 3)).word is Word.LOST
    both = {**worse(300, 30), "following": [0.0] * 300, "kept_answer": [1.0] * 300}
    verdict = judge(worse(300, 0), both)
    assert verdict.word is Word.LOST_AND_HOLLOWED
    assert "fewer problems correctly" in verdict.sentence and "depend less on the written steps" in verdict.sentence


def test_more_problems_without_an_answer_are_not_sound() -> None:
    # As many right, and a quarter no longer answered.
    base = side(80, solved=[1.0] * 60 + [0.0] * 20)
    tuned = side(80, solved=[1.0] * 60 + [0.0] * 20, cut_off=[0.0] * 60 + [1.0] * 20)
    assert "problems without an answer that can be read rose from 0 to 0.25" in why(judge(base, tuned))
    assert judge(tuned, base).word is Word.SOUND


def test_what_cannot_be_measured_is_taken_at_its_worst() -> None:
    unknown: list[float | None] = [None] * 12 + [1.0] * 48
    assert "following of the steps" in why(judge(side(60), side(60, following=unknown, kept_answer=unknown)))
    assert judge(side(60, following=unknown, kept_answer=unknown), side(60)).word is Word.SOUND
    # A fall that known problems show outlasts the unknown ones.
    fallen = [None] * 6 + [0.0] * 54
    assert judge(side(60), side(60, following=fallen, kept_answer=[None] * 6 + [1.0] * 54)).word is Word.HOLLOWED
    half: list[float | None] = [None] * 30 + [1.0] * 30
    assert "could be measured on 0.50 of the problems only" in why(judge(side(60), side(60, following=half)))


@pytest.mark.parametrize(
    ("measures", "reason"),
    [
        ({"asked_agrees": 0.5}, "asked in its own words"),
        ({"over_none": [float(i % 10 != 0 and i > 25) for i in range(60)]}, "steps are followed and needed less"),
        ({"following_unprompted": 0.0}, "follows the steps when it is asked"),
        ({"mistake_effect": 0.0}, "wrong numbers in the steps matter less"),
        ({"following__base": 0.0}, "base reads these steps worse than its own"),
        ({"gain": 0.0, "over_none": 0.0}, "are not shown to carry its answers"),
    ],
)
def test_vetoes_keep_a_model_from_being_called_sound(measures: dict[str, Values], reason: str) -> None:
    assert reason in why(judge(side(60), side(60, **measures)))


def test_vetoes_that_could_not_be_measured_veto_nothing() -> None:
    nothing: dict[str, Values] = dict.fromkeys(("following_unprompted", "mistake_effect", "following__base"), [None] * 60)
    assert judge(side(60), side(60, **nothing)).word is Word.SOUND
    few = side(60, mistake_effect=[0.0] * 3 + [None] * 57)
    assert judge(side(60), few).word is Word.SOUND  # three problems are no fall beyond chance


def test_a_base_whose_steps_carry_nothing_has_nothing_to_keep_or_grows() -> None:
    ignores = hollow(60, 1.0)
    verdict = judge(ignores, ignores)
    assert verdict.word is Word.NOTHING and "nothing to keep" in verdict.sentence
    assert judge(ignores, side(60)).word is Word.GREW
    assert "and base did not" in judge(ignores, side(60)).sentence
    # An echo of the question is followed, and worth nothing.
    echo = side(60, over_none=0.0, solved=1.0, gain=1.0)
    assert judge(echo, echo).word is Word.NOTHING
    # Chance: a default answer follows on every ninth problem.
    default = side(60, following=[float(i % 9 == 0) for i in range(60)], fragility=0.8, over_none=0.8, gain=0.8)
    assert judge(default, default).word is Word.NOTHING and judge(default, side(60)).word is Word.GREW
    # In between nobody knows.
    some = hollow(60, 0.72)
    assert "not clear whether the steps of base carry" in why(judge(some, some))


def test_half_reliant_models_are_compared_like_any_other() -> None:
    assert judge(hollow(200, 0.5), hollow(200, 0.5)).word is Word.SOUND
    assert judge(hollow(200, 0.5), hollow(200, 0.75)).word is Word.HOLLOWED
    assert judge(hollow(200, 0.5), side(200)).word is Word.SOUND


def test_what_is_known_beforehand() -> None:
    verdict = judge(side(60), side(60), same_model="their weights are equal")
    assert verdict.word is Word.SAME and "tuned and base are the same model: their weights are equal." == verdict.sentence
    assert broken_verdict("tuned", "NaN").word is Word.BROKEN
    assert "19 problems were asked of both models, at least 20" in why(judge(side(19), hollow(19, 1.0)))
    unmarked = {name: values for name, values in side(60).items() if name != "solved"}
    assert "no reference answers" in why(judge(unmarked, unmarked))
    unmeasured = {name: side(60)[name] for name in NOBODY}
    assert "was not measured (following)" in why(judge(unmeasured, unmeasured))
    assert judge(unmeasured, {**unmeasured, "solved": [0.0] * 60}).word is Word.LOST


def test_other_models_and_metrics_in_the_run_are_passed_over() -> None:
    others = [*scores("third", hollow(60, 1.0)), Score("info_gain", "0000", 0, "tuned", Reader.SELF, -9.0)]
    rows = scores("base", side(60)) + scores("tuned", side(60))
    assert decide_verdict("base", "tuned", rows + others) == decide_verdict("base", "tuned", rows)
    assert decide_verdict("base", "third", rows + others).word is Word.HOLLOWED


def test_thresholds_are_the_rule_s_only_numbers() -> None:
    lenient = Thresholds(dependence_least=0.5, dependence_bound=0.6, help_bound=0.6, veto_least=0.6, mistake_least=0.6)
    assert judge(side(60), hollow(60, 0.3), thresholds=lenient).word is Word.SOUND
    assert judge(side(60), side(60), thresholds=Thresholds(problems=61)).word is Word.INSUFFICIENT


def test_notes_are_shown_with_what_limits_the_verdict() -> None:
    assert judge(side(60), side(60), notes=["two operators disagree"]).evidence_against[-1] == "two operators disagree"


def test_measures_are_described_with_their_figures() -> None:
    evidence = Evidence.of("base", "tuned", scores("base", side(60)) + scores("tuned", hollow(60, 0.3)))
    assert (
        describe(evidence, "following")
        == "following of the steps fell from 1 to 0.70 (difference -0.30 [-0.43, -0.20], n = 60)"
    )
    assert describe(evidence, "fragility").startswith("answers that break after another problem's steps stayed at 0 (")
    gaps = Evidence.of("base", "tuned", scores("base", side(10)) + scores("tuned", side(10, following=[None] * 5 + [0.0] * 5)))
    assert describe(gaps, "following").endswith("n = 10, 0.50 of them unmeasured)")
