r"""Rewards of reinforcement learning with verifiable answers, and what the completions looked like. Pure: texts in, numbers out.

Three schemes:

    binary   1 right, 0 otherwise                                  2505.17952 (AlphaMed)
    format   -1 without the format, 0 with it and wrong, +1 right  2502.19655 (Med-RLVR)
    huatuo   0 without the format, 0.1 with it and wrong, 1 right  2412.18925 (HuatuoGPT-o1)

The format is one thinking block and then one answer block. *Anchored*, only white space may stand around them; *unanchored*, text
may stand before the thinking, which is what the published phase of reasoning in front of `<think>` needs. A completion that the
token limit cut has no format, and is counted apart.

>>> text = "<think>3 + 4 = 7</think>\n<answer>\nAnswer: 7\n</answer>"
>>> read_format(text).valid, read_format("Hmm. " + text).valid, read_format("Hmm. " + text, anchored=False).valid
(True, False, True)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from soundness.answers import grade
from soundness.answers.channels import FORMS, open_form
from soundness.answers.graders import Grader, graded
from soundness.chains.steps import split_steps, states, step_texts
from soundness.records import Finish, Outcome, Problem

__all__ = [
    "INSTRUCTIONS",
    "PHASES",
    "SCHEMES",
    "Format",
    "Scheme",
    "phase_of",
    "phase_shares",
    "read_format",
    "reward_of",
]

Scheme = Literal["binary", "format", "huatuo"]

SCHEMES: dict[Scheme, str] = {
    "binary": "1 for a right answer, 0 otherwise; no term for the format",
    "format": "-1 without <think> and <answer> blocks, 0 with them and a wrong answer, +1 with them and a right one",
    "huatuo": "0 without thinking and final response, 0.1 with them and a wrong answer, 1 with them and a right one",
}
"""Scheme -> what it pays."""

INSTRUCTIONS: dict[Scheme, str | None] = {
    "binary": None,
    "format": (
        "First think step by step between <think> and </think>, then write <answer>, a line 'Answer: ' followed by the answer, "
        "and </answer>."
    ),
    "huatuo": (
        "First write '## Thinking' and think step by step, then write '## Final Response' and a line 'Answer: ' followed by the "
        "answer."
    ),
}
"""Scheme -> last line of every prompt, or None for the task's own."""

PHASES: dict[str, str] = {
    "1_format_failure": "no valid format, cut-off completions included",
    "2_verbose": "valid, thinking longer than 200 words",
    "3_concise": "valid, thinking of one step at most",
    "4_answer_inside": "valid, and the first sentence of the thinking states the answer that is then given",
    "5_reasoning_before": "valid, with text in front of the thinking (possible where the format is not anchored)",
    "6_reasoning": "valid, with two steps of thinking or more, and none of the above",
}
"""Med-RLVR's six phases as classes of one completion (the published ones are phases of training, described in words)."""

_VERBOSE_WORDS = 200
_TAGS = (*(tag.strip() for tag in (FORMS["think"].opening, FORMS["think"].closing)), "<answer>", "</answer>")
_THINK, _ANSWER = (re.compile(rf"{opening}(.*?){closing}", re.DOTALL) for opening, closing in (_TAGS[:2], _TAGS[2:]))
_HEADINGS = (
    re.compile(r"^[ \t]*## Thinking[ \t]*$", re.MULTILINE),
    re.compile(r"^[ \t]*## Final Response[ \t]*$", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class Format:
    """One completion taken apart."""

    valid: bool
    """Whether it has the format."""
    before: str
    """Text in front of the thinking; all of the text where there is no thinking block."""
    thinking: str
    """Text of the thinking block, "" where there is none."""
    answer: str
    """Text of the answer block, "" where there is none."""


def read_format(text: str, *, markup: str = "format", anchored: bool = True, prompt: str = "") -> Format:
    r"""Return `text` taken apart by the markup of a scheme: tags for `format`, headings for `huatuo`.

    Every tag (heading) must stand there exactly once and in order; blocks may not be empty. A thinking tag that `prompt` (what the
    model was shown, as rendered) leaves open counts as the text's own.

    >>> read_format("## Thinking\n3 + 4 = 7\n## Final Response\nAnswer: 7", markup="huatuo").valid
    True
    """
    if markup == "huatuo":
        return _headings(text, anchored)
    opened = open_form(prompt) is FORMS["think"] and _TAGS[0] not in text
    return _tags(f"{_TAGS[0]}{text}" if opened else text, anchored)


def _tags(text: str, anchored: bool) -> Format:
    think, answer = _THINK.search(text), _ANSWER.search(text)
    if think is None or answer is None:
        return Format(False, text if think is None else text[: think.start()], "" if think is None else think[1].strip(), "")
    once = all(text.count(tag) == 1 for tag in _TAGS)
    before, between, after = text[: think.start()], text[think.end() : answer.start()], text[answer.end() :]
    tight = not between.strip() and not after.strip() and not (anchored and before.strip())
    full = bool(think[1].strip() and answer[1].strip())
    valid = once and think.end() <= answer.start() and tight and full
    return Format(valid, before.strip(), think[1].strip(), answer[1].strip())


def _headings(text: str, anchored: bool) -> Format:
    found = [list(heading.finditer(text)) for heading in _HEADINGS]
    if not found[0] or not found[1] or found[0][0].start() > found[1][0].start():
        return Format(False, text, "", "")
    think, final = found[0][0], found[1][0]
    before, thinking, answer = text[: think.start()], text[think.end() : final.start()], text[final.end() :]
    valid = len(found[0]) == len(found[1]) == 1 and bool(thinking.strip() and answer.strip())
    return Format(valid and not (anchored and before.strip()), before.strip(), thinking.strip(), answer.strip())


def reward_of(
    text: str,
    finish: Finish,
    problem: Problem,
    scheme: str,
    *,
    anchored: bool = True,
    prompt: str = "",
    grader: Grader | None = None,
) -> float | None:
    """Return what `scheme` pays for a completion, or None where nobody can say whether its answer is right.

    Right is what an audit calls right. What cannot be read as an answer earns what a wrong one does; what is read and cannot be
    compared (a formula that is beyond every grammar) earns None. `prompt` is what the model was shown, as rendered; `grader` says
    what is right where the task has one.

    >>> problem = Problem("1", "3 + 4?", "7")
    >>> [reward_of("<think>3 + 4 = 7</think><answer>7</answer>", "stop", problem, s) for s in ("binary", "format")]
    [1.0, 1.0]
    >>> reward_of("Answer: 7", "stop", problem, "format")
    -1.0
    """
    if scheme != "binary":
        valid = read_format(text, markup=scheme, anchored=anchored, prompt=prompt).valid
        if finish == "length" or not valid:
            return -1.0 if scheme == "format" else 0.0
    verdict = graded(grader, text, finish, problem, prompt)
    if verdict.outcome is None or (verdict.outcome is Outcome.UNREADABLE and verdict.answer is not None):
        return None
    right = verdict.outcome is Outcome.RIGHT
    return 0.1 if scheme == "huatuo" and not right else float(right)


def phase_of(
    text: str, finish: Finish, problem: Problem, *, markup: str = "format", anchored: bool = True, prompt: str = ""
) -> str:
    """Return the phase that a completion shows, one of `PHASES`; the rarer ones go before the length.

    >>> phase_of("<think>It is 7.</think><answer>7</answer>", "stop", Problem("1", "3 + 4?", "7"))
    '4_answer_inside'
    """
    parts = read_format(text, markup=markup, anchored=anchored, prompt=prompt)
    if finish == "length" or not parts.valid:
        return "1_format_failure"
    if parts.before:
        return "5_reasoning_before"
    sentences = _sentences(parts.thinking)
    stated = grade(text, "stop", problem, prompt).answer
    if stated is not None and states(sentences[0], stated, problem.choices):
        return "4_answer_inside"
    if len(parts.thinking.split()) > _VERBOSE_WORDS:
        return "2_verbose"
    return "6_reasoning" if len(sentences) > 1 else "3_concise"


def _sentences(text: str) -> tuple[str, ...]:
    pieces = re.findall(r"\s*\S+|\s+", text)
    return step_texts(pieces, split_steps(pieces, "sentences"))


def phase_shares(
    texts: Sequence[tuple[str, Finish, Problem]],
    *,
    markup: str = "format",
    anchored: bool = True,
    prompts: Sequence[str] = (),
) -> Mapping[str, float]:
    """Return the share of completions in each phase, and of those cut off: fractions 0..1 under names for a log.

    `prompts` are what the model was shown for each, as rendered; none where that opens no thinking.

    >>> problem = Problem("1", "3 + 4?", "7")
    >>> inside = "<think>It is 7.</think><answer>7</answer>"
    >>> phase_shares([("7", "stop", problem), (inside, "stop", problem)])["phase/4_answer_inside"]
    0.5
    """
    shown = prompts or [""] * len(texts)
    found = [
        phase_of(text, finish, problem, markup=markup, anchored=anchored, prompt=prompt)
        for (text, finish, problem), prompt in zip(texts, shown, strict=True)
    ]
    shares = {f"phase/{name}": found.count(name) / len(found) for name in PHASES}
    words = [
        len(read_format(text, markup=markup, anchored=anchored, prompt=prompt).thinking.split())
        for (text, _, _), prompt in zip(texts, shown, strict=True)
    ]
    shares["phase/thinking_words"] = sum(words) / len(words)
    shares["phase/cut_off"] = sum(finish == "length" for _, finish, _ in texts) / len(texts)
    return shares
