from __future__ import annotations

import pytest

from soundness.errors import SettingError
from soundness.records import Problem
from soundness.training import rlvr
from soundness.training.rewards import PHASES, phase_of, phase_shares, read_format, reward_of

PROBLEM = Problem("1", "What is 3 + 4?", "7")
CHOICE = Problem("2", "Which is a metal?", "B", choices=("oak", "tin", "ash"))
GOOD = "<think>Three and four. Together that makes seven.</think>\n<answer>\nAnswer: 7\n</answer>"

CASES = {
    # phase of the literature -> (text, finish, anchored?, phase anchored, phase unanchored)
    "no tags": ("Answer: 7", "stop", "1_format_failure", "1_format_failure"),
    "only thinking": ("<think>3 + 4 = 7</think> Answer: 7", "stop", "1_format_failure", "1_format_failure"),
    "cut off": (GOOD, "length", "1_format_failure", "1_format_failure"),
    "answer first": ("<answer>7</answer><think>It is so. Yes.</think>", "stop", "1_format_failure", "1_format_failure"),
    "two answers": (GOOD + "<answer>8</answer>", "stop", "1_format_failure", "1_format_failure"),
    "nested": ("<think>a <think> b. c.</think></think><answer>7</answer>", "stop", "1_format_failure", "1_format_failure"),
    "words after": (GOOD + " I hope this helps.", "stop", "1_format_failure", "1_format_failure"),
    "words between": ("<think>a. b.</think> so <answer>7</answer>", "stop", "1_format_failure", "1_format_failure"),
    "empty thinking": ("<think> </think><answer>7</answer>", "stop", "1_format_failure", "1_format_failure"),
    "empty answer": ("<think>a. b.</think><answer></answer>", "stop", "1_format_failure", "1_format_failure"),
    "verbose": (f"<think>{'Let me see again. ' * 80}</think><answer>7</answer>", "stop", "2_verbose", "2_verbose"),
    "concise": ("<think>I add them up.</think><answer>7</answer>", "stop", "3_concise", "3_concise"),
    "answer inside": ("<think>The answer is 7. Easy.</think><answer>7</answer>", "stop", "4_answer_inside", "4_answer_inside"),
    "reasoning before": (
        "3 + 4 = 7, so. <think>Done.</think><answer>7</answer>",
        "stop",
        "1_format_failure",
        "5_reasoning_before",
    ),
    "reasoning": (GOOD, "stop", "6_reasoning", "6_reasoning"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_format_case(name: str) -> None:
    text, finish, anchored, unanchored = CASES[name]
    assert phase_of(text, finish, PROBLEM) == anchored
    assert phase_of(text, finish, PROBLEM, anchored=False) == unanchored
    for loose, phase in ((True, anchored), (False, unanchored)):
        failed = phase == "1_format_failure"
        assert reward_of(text, finish, PROBLEM, "format", anchored=loose) == (-1.0 if failed else 1.0)


@pytest.mark.parametrize(
    ("scheme", "none", "wrong", "right"), [("binary", 0.0, 0.0, 1.0), ("format", -1.0, 0.0, 1.0), ("huatuo", 0.0, 0.1, 1.0)]
)
def test_what_the_schemes_pay(scheme: str, none: float, wrong: float, right: float) -> None:
    def text(answer: str) -> str:
        if scheme == "huatuo":
            return f"## Thinking\nI add. It makes more.\n\n## Final Response\nAnswer: {answer}"
        return f"<think>I add. It makes more.</think><answer>Answer: {answer}</answer>"

    assert reward_of(text("7"), "stop", PROBLEM, scheme) == right
    assert reward_of(text("8"), "stop", PROBLEM, scheme) == wrong
    assert reward_of(text("17"), "stop", PROBLEM, scheme) == wrong  # no credit for substrings
    assert reward_of("I give up", "stop", PROBLEM, scheme) == none
    assert reward_of(text("B"), "stop", CHOICE, scheme) == right
    assert reward_of(text("tin"), "stop", CHOICE, scheme) == right
    assert reward_of(text("A"), "stop", CHOICE, scheme) == wrong


def test_binary_reads_boxes_and_lines() -> None:
    assert reward_of(r"so \boxed{7}", "stop", PROBLEM, "binary") == 1.0
    assert reward_of("3 + 4 = 7\nAnswer: 7", "stop", PROBLEM, "binary") == 1.0
    assert reward_of("3 + 4 = 7, and then", "length", PROBLEM, "binary") == 0.0


def test_what_nobody_can_compare_is_not_wrong() -> None:
    formula = Problem("3", "?", "2^{10}")
    endless = "<think>a. b.</think><answer>Answer: 9^{9^{9^{9}}}</answer>"
    assert reward_of(endless, "stop", formula, "format") is None


@pytest.mark.parametrize(
    "text",
    [
        "## Thinking\na\n## Final Response\nb\n## Final Response\nc",
        "## Final Response\nb\n## Thinking\na",
        "## Thinking\n\n## Final Response\nb",
        "## Thinking: a ## Final Response: b",
    ],
)
def test_headings_stand_once_alone_and_in_order(text: str) -> None:
    assert not read_format(text, markup="huatuo").valid


def test_anchored_headings() -> None:
    text = "Well. \n## Thinking\na\n## Final Response\nAnswer: 7"
    assert not read_format(text, markup="huatuo").valid
    assert read_format(text, markup="huatuo", anchored=False).before == "Well."


def test_shares_add_up() -> None:
    texts = [(text, finish, PROBLEM) for text, finish, *_ in CASES.values()]
    shares = phase_shares(texts, anchored=False)
    assert sum(shares[f"phase/{name}"] for name in PHASES) == pytest.approx(1)
    assert all(shares[f"phase/{name}"] > 0 for name in PHASES)
    assert shares["phase/cut_off"] == pytest.approx(1 / len(CASES))


def test_unknown_schemes_are_named() -> None:
    with pytest.raises(
        SettingError, match="scheme wants one of binary, format, huatuo, and it is 'binray' .did you mean 'binary'"
    ):
        rlvr.Config(scheme="binray")  # type: ignore[arg-type]
