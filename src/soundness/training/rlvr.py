"""Reinforcement learning with verifiable rewards: the answer is checked, the reasoning is not.

Three published rewards (see `soundness.training.rewards`) with TRL's GRPO or RLOO.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from soundness.answers import Grader
from soundness.options import options
from soundness.training.policy import Policy, Reward, fit_policy, hacking_words, preflight, rows_of
from soundness.training.rewards import INSTRUCTIONS, Scheme, phase_shares, read_format, reward_of
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "correctness", "learn", "watch_of"]

ABOUT = About(
    name="rlvr",
    title="reinforcement learning with verifiable rewards",
    papers=("2505.17952 (AlphaMed)", "2502.19655 (Med-RLVR)", "2412.18925 (HuatuoGPT-o1)"),
    needs="a reference answer per problem, and a model that is right now and then",
    cost="num_generations completions per problem and step: about 10 to 50 times sft",
    when="answers can be checked and nobody has written the reasoning down",
    differs=(
        "PPO is replaced by GRPO or RLOO, which need no value model",
        "GRPO in its textbook form (mean per completion, scaled by the group's spread), not TRL's default dapo",
        "answers are graded by value and by option, never by substring; the answer block holds an 'Answer:' line",
    ),
)


@options
class Config:
    """What rlvr adds to the common settings."""

    scheme: Scheme = "binary"
    """Which reward is paid."""
    anchored: bool = True
    """Whether only white space may stand before the thinking; without it the published exploit of phase 5 is possible."""
    policy: Policy = field(default_factory=Policy)
    """How completions are drawn and learned from."""


def learn(run: Session, config: Config) -> None:
    """Train the session's model to earn the reward of `config.scheme`."""
    asked, rows = rows_of(run.task, INSTRUCTIONS[config.scheme])
    reward = correctness(config.scheme, config.anchored, run.task.grader)
    preflight(run, asked, config.policy, reward, says=lambda made: _formats(made, config))
    fit_policy(run, asked, rows, config.policy, {"reward": reward}, watch=watch_of(config.scheme, config.anchored))
    note_hacking(run)


def correctness(scheme: str, anchored: bool, grader: Grader | None = None) -> Reward:
    """Return the reward function of a scheme; `grader` says what is right where the task has one."""

    def reward(made: Sequence[Any]) -> list[float | None]:
        return [
            reward_of(one.text, one.finish, one.problem, scheme, anchored=anchored, prompt=one.prompt.text, grader=grader)
            for one in made
        ]

    return reward


def watch_of(scheme: str, anchored: bool) -> Any:
    """Return what gives the log its shares: Med-RLVR's six phases, and how many completions are cut off or short."""

    def watch(made: Sequence[Any]) -> Mapping[str, float]:
        markup = "huatuo" if scheme == "huatuo" else "format"
        shares = phase_shares(
            [(one.text, one.finish, one.problem) for one in made],
            markup=markup,
            anchored=anchored,
            prompts=[one.prompt.text for one in made],
        )
        if scheme == "binary":  # asks for no format, so only what does not depend on one means something
            shares = {"phase/cut_off": shares["phase/cut_off"]}
        bare = [len([line for line in one.text.splitlines() if line.strip()]) <= 1 for one in made]
        return {**shares, "phase/answer_alone": sum(bare) / len(bare)}

    return watch


def note_hacking(run: Session) -> None:
    """Put a sentence into the record where the reward rose and a held-out measure of the monitor fell."""
    if run.monitor is None or run.monitor.reference is None or not run.monitor.snapshots:
        return
    base, last = (run.monitor.values(snapshot) for snapshot in (run.monitor.reference, run.monitor.snapshots[-1]))
    words = hacking_words(run.record.get("history", ()), base, last)
    if words is not None:
        run.note(warning=words)


def _formats(made: Sequence[Any], config: Config) -> str:
    if config.scheme == "binary":
        return ""
    valid = sum(
        read_format(one.text, markup=config.scheme, anchored=config.anchored, prompt=one.prompt.text).valid for one in made
    )
    return f"{valid} of the {len(made)} completions have the format that the reward {config.scheme} asks for."
