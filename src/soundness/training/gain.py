"""Reward for reasoning that carries information: correctness plus what the written steps tell the frozen base about the answer.

    reward = correctness + strength * gain
    gain   = clip((S_K - N) / ceiling, -1, 1)     S_K = log p_base(answer | prompt, steps, cue), N the same after a null chain

The null is another problem's chain of the most similar length in the batch (with another answer), or filler of exactly the chain's
length. Only the two ends count, in nats of the answer's own tokens: the gain is divided neither by steps nor by tokens, and the
null is as long as the chain, so that writing more earns nothing by itself. The base is frozen, so the writer cannot move the
yardstick. One packed pass reads all chains of a batch.

Advantages are divided by the spread of the batch's rewards, not the group's: right answers to one problem differ in their gain a
little, and divided by that little alone they would teach noise as loudly as anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Literal

from soundness.answers import same_answer
from soundness.chains.body import body_of
from soundness.chains.sample import make_chain
from soundness.errors import ModelError
from soundness.interventions.fill import filler_ids
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.chat import render_prompt
from soundness.models.tokens import encode_fragment
from soundness.options import NonNegative, Positive, options
from soundness.records import Generation, Probe, Reader
from soundness.scoring.score import belief_in
from soundness.tasks.base import Task
from soundness.training.policy import Policy, Reward, fit_policy, preflight, rows_of
from soundness.training.rewards import INSTRUCTIONS, Scheme
from soundness.training.rlvr import correctness, note_hacking, watch_of
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "gains", "learn"]

ABOUT = About(
    name="gain",
    title="rlvr whose reward also pays for steps that carry information",
    papers=("ours; the measure after 2506.02126 sec. 3.3 and 2411.11984",),
    needs="a reference answer per problem, and a base whose beliefs mean something on the task",
    cost="rlvr plus one packed reading by the frozen base per batch; full tuning or another reader keeps a second model",
    when="rlvr raises accuracy while the steps stop mattering",
    differs=(
        "no paper: judge it by measures that its reward does not contain (filler, swap and paraphrase reliance)",
        "GRPO's advantages are divided by the spread of the batch, not of the group",
    ),
)


@options
class Config:
    """What gain adds to the common settings."""

    strength: NonNegative = 0.5
    """Weight of the gain; 0 is rlvr, step for step."""
    ceiling: Positive = 5.0
    """Nats at which the gain stops counting."""
    null: Literal["swap", "filler"] = "swap"
    """What the steps are held against; filler stands in where the batch has no chain to swap with."""
    count: Literal["all", "before_answer"] = "all"
    """Which steps earn: all, or only those before the first that states the answer, which one-line answers cannot exploit."""
    reader: str = ""
    """Model that reads the steps, with the same tokenizer; empty: the frozen model that training starts from. What that one knows
    without steps, such as a leaked label, its steps cannot tell it, and it pays nothing for them: read by one that does not."""
    scheme: Scheme = "binary"
    """Reward for correctness."""
    anchored: bool = True
    """As in rlvr."""
    policy: Policy = field(default_factory=Policy)
    """How completions are drawn and learned from."""


def learn(run: Session, config: Config) -> None:
    """Train the session's model for right answers whose steps carry information."""
    asked, rows = rows_of(run.task, INSTRUCTIONS[config.scheme])
    right = correctness(config.scheme, config.anchored, run.task.grader)
    base = _frozen(run, config.reader)
    plain = watch_of(config.scheme, config.anchored)
    kept: list[Sequence[Any]] = []
    values: list[list[float | None]] = []

    def gain(made: Sequence[Any]) -> list[float | None]:
        # Both are asked about the same completions, one after the other; the base reads them once.
        if not kept or kept[-1] != made:
            kept[:] = [list(made)]
            values[:] = [gains(base, asked, made, config)]
        # A completion that correctness cannot judge is left out whole, as rlvr leaves it out.
        judged = right(made)
        return [None if one is None else value for one, value in zip(judged, values[-1], strict=True)]

    def paid(made: Sequence[Any]) -> list[float | None]:
        if not config.strength:
            return right(made)
        both = zip(right(made), gain(made), strict=True)
        return [None if one is None else one + config.strength * (more or 0.0) for one, more in both]

    def watch(made: Sequence[Any]) -> dict[str, float]:
        known = [value for value in gain(made) if value is not None]
        shares = dict(plain(made))
        if known:
            shares["gain/mean"] = sum(known) / len(known)
            shares["gain/at_ceiling"] = sum(value >= 1 for value in known) / len(known)
        return {**shares, "gain/missing": 1 - len(known) / len(made)}

    preflight(run, asked, config.policy, paid, says=lambda made: "")
    rewards: dict[str, Reward] = {"reward": right, "gain": gain}
    weights, continuous = [1.0, config.strength], config.strength > 0
    fit_policy(run, asked, rows, config.policy, rewards, weights=weights, continuous=continuous, watch=watch)
    note_hacking(run)


def gains(base: Model, task: Task, made: Sequence[Any], config: Config) -> list[float | None]:
    """Return what the steps of each completion tell `base` about the reference answer, over the null: -1..1.

    None for a completion that was cut off; 0 for one that writes no steps, for nothing was told.
    """
    cases: list[Case | None] = []
    for number, one in enumerate(made):
        chain = make_chain(base, one.problem, one.prompt, Generation(one.ids, one.finish), writer="policy", sample=number)
        body = body_of(chain, one.problem, base, cue=task.cue)
        gold = belief_in(one.problem, one.problem.answer, task, base)
        case = Case(one.problem, chain, Reader.BASE, body, one.prompt.ids, body.cue, gold, None)
        cases.append(None if chain.finish == "length" else case)
    counted = [None if case is None else _counted(case, config.count) for case in cases]
    asked: list[list[Probe]] = []
    for one_case, ids in zip(cases, counted, strict=True):
        if one_case is None or not ids:
            asked.append([])
            continue
        assert one_case.gold is not None
        null = _null(one_case, ids, cases, counted, base, config.null)
        asked.append([Probe(one_case.after(ids), one_case.gold.ids), Probe(one_case.after(null), one_case.gold.ids)])
    probes = list(dict.fromkeys(probe for group in asked for probe in group))
    readings = dict(zip(probes, base.read(probes) if probes else [], strict=True))
    found: list[float | None] = []
    for one_case, group in zip(cases, asked, strict=True):
        if one_case is None:
            found.append(None)
        elif not group:
            found.append(0.0)
        else:
            told = readings[group[0]].nats - readings[group[1]].nats
            found.append(max(-1.0, min(1.0, told / config.ceiling)))
    return found


def _counted(case: Case, count: str) -> tuple[int, ...]:
    """Return the ids of the steps that earn."""
    body = case.body.chain
    if count == "before_answer" and body.answer_step is not None:
        return body.before(body.answer_step)
    return body.ids


def _null(
    case: Case,
    ids: tuple[int, ...],
    cases: Sequence[Case | None],
    counted: Sequence[tuple[int, ...] | None],
    base: Model,
    kind: str,
) -> tuple[int, ...]:
    """Return the ids of the null chain: the other chain closest in length, or as many tokens of filler."""
    if kind == "swap":
        answer = str(case.problem.answer)
        others = [
            other_ids
            for other, other_ids in zip(cases, counted, strict=True)
            if other is not None
            and other_ids
            and other.problem.id != case.problem.id
            and not same_answer(answer, str(other.problem.answer), case.problem.choices)
            and not (other.chain.answer is not None and same_answer(answer, other.chain.answer, case.problem.choices))
        ]
        if others:
            return min(others, key=lambda one: (abs(len(one) - len(ids)), one))
    return filler_ids(base.encode, len(ids))


def _frozen(run: Session, reader: str) -> Model:
    """Return the reader: another model, the trained module with its adapter off, or a second copy of where training starts.

    Raises ModelError where `reader` splits the problems into other tokens than the writer does.
    """
    from soundness.models.load import load_model
    from soundness.training.model_in_training import ModelInTraining

    start = run.start
    if reader or run.settings.adaptation == "full":
        model = load_model(reader or start.source, dtype=start.precision, device=start.device)
        if reader:
            _check_reader(model, start.tokenizer, run.task, reader)
        return model
    return ModelInTraining(start.network, start.tokenizer, name=start.spec, frozen=True)


def _check_reader(reader: Model, tokenizer: Any, task: Task, name: str) -> None:
    """Raise ModelError unless both models see the same tokens in prompts, steps and answers."""
    for problem in task.problems[:16]:
        text = "\n".join([*(problem.steps or ()), f"{task.cue} {problem.answer}"])
        message = task.message(problem)
        shown = render_prompt(tokenizer, message, task.prompting).ids
        if reader.render(message, task.prompting).ids != shown or reader.encode(text) != encode_fragment(tokenizer, text):
            raise ModelError(
                f"the reader {name} has other tokens than the model that is trained (seen on problem {problem.id!r}), so it "
                "cannot read its completions: choose one with the same tokenizer and chat template"
            )
