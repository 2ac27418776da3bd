"""RLSF: a model's own confidence ranks its own traces. No labels.

Per question: the K likeliest first tokens are each continued greedily; "So the answer is" asks every trace for its answer; the
answer's tokens are looked for in the trace, and confidence is the mean of a per-token measure over that span. Of two traces the
more confident one is preferred (it has to reach `threshold`). The pairs train by DPO, or a reward model with margins that GRPO
then climbs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import field
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from soundness.answers import same_answer
from soundness.errors import ModelError, SettingError
from soundness.metrics.calibration import ece
from soundness.models.chat import closing_id
from soundness.options import AtLeastOne, Fraction, Positive, options
from soundness.tasks.base import Task
from soundness.training.data import Example, prompt_of
from soundness.training.model_in_training import ModelInTraining
from soundness.training.policy import LEARNING_RATES, Policy, fit_policy
from soundness.training.session import Session
from soundness.training.settings import About
from soundness.training.sft import fit_examples
from soundness.training.traces import Measure, Trace, make_traces

__all__ = ["ABOUT", "Config", "Pair", "learn", "majority", "rank"]

ABOUT = About(
    name="rlsf",
    title="preferences between own traces, by the confidence of their answers",
    papers=("2507.21931", "2402.10200 (CoT-decoding)"),
    needs="questions; no reference answer",
    cost="num_traces completions per problem once, then DPO on the pairs",
    when="there are no labels and confidence is roughly calibrated: check it first",
    differs=(
        "the reward model is climbed by GRPO, not PPO",
        "entropy is given as 1 - entropy / log(vocabulary), so that every measure rises with confidence",
    ),
)


@options
class Config:
    """What rlsf adds to the common settings; defaults are those of the published code."""

    num_traces: Annotated[int, Field(ge=2)] = 5
    """First tokens tried per question."""
    max_tokens: AtLeastOne = 256
    """Longest trace."""
    measure: Measure = "margin"
    """Per token: p(first) - p(second), p(token), or 1 - entropy / log(vocabulary)."""
    threshold: Fraction = 0.9
    """Least confidence of a preferred trace."""
    same_answer_pairs: bool = True
    """Whether two traces with the same answer may make a pair, as in the published code; their share is recorded."""
    learn: Literal["dpo", "reward"] = "dpo"
    """dpo on the pairs, or a reward model with margins and then GRPO."""
    beta: Positive = 0.2
    """Of DPO."""
    baseline: Literal["none", "sft_confident", "majority"] = "none"
    """Instead: SFT on the most confident trace, or pairs that prefer the majority's answer."""
    policy: Policy = field(default_factory=lambda: Policy(beta=0.05, temperature=0.7, preflight=0))
    """How completions are drawn where a reward model is climbed."""


class Pair(NamedTuple):
    """A preferred and a rejected trace."""

    chosen: Trace
    rejected: Trace
    margin: float
    """exp(confidence of chosen - confidence of rejected)."""


def learn(run: Session, config: Config) -> None:
    """Train the session's model towards its own confident traces."""
    run.start.network.to(run.start.device)
    traces = make_traces(
        ModelInTraining(run.start.network, run.tokenizer),
        run.task,
        num_traces=config.num_traces,
        max_tokens=config.max_tokens,
        measure=config.measure,
    )
    if not traces:
        raise ModelError(
            f"none of the {config.num_traces} likeliest first tokens of any problem begins a trace: all of them end the text. Raise "
            "num_traces, or use a model that answers"
        )
    confident = [one for one in traces if one.confidence >= config.threshold]
    run.note(
        num_traces=len(traces),
        share_without_span=sum(not one.found for one in traces) / len(traces),
        share_confident=len(confident) / len(traces),
        ece=_calibration(run.task, traces),
    )
    if config.baseline == "sft_confident":
        _fit_confident(run, traces)
        return
    pairs = majority(run.task, traces) if config.baseline == "majority" else rank(traces, config)
    if not pairs:
        raise ModelError(
            f"no pair of traces can be ranked: {len(confident)} of {len(traces)} traces reach {config.threshold}, and "
            f"{sum(not one.found for one in traces)} lack their answer: lower threshold, raise num_traces or use another "
            "task"
        )
    same = sum(one.chosen.answer == one.rejected.answer for one in pairs)
    run.record.update(num_pairs=len(pairs), num_examples=len(pairs), share_same_answer=same / len(pairs))
    if config.learn == "dpo":
        _fit_dpo(run, pairs, config)
    else:
        _fit_reward(run, pairs, config)


# --- pairs (pure) ------------------------------------------------------------------------------------------------


def rank(traces: Sequence[Trace], config: Config) -> list[Pair]:
    """Return every ordered pair of traces of one question whose first is confident enough and more confident than the second."""
    by_problem: dict[str, list[Trace]] = {}
    for one in traces:
        by_problem.setdefault(one.problem_id, []).append(one)
    return [
        Pair(chosen, rejected, math.exp(chosen.confidence - rejected.confidence))
        for group in by_problem.values()
        for chosen in group
        for rejected in group
        if chosen.confidence >= config.threshold
        and chosen.confidence > rejected.confidence
        and (config.same_answer_pairs or chosen.answer != rejected.answer)
    ]


def majority(task: Task, traces: Sequence[Trace]) -> list[Pair]:
    """Return the pairs that prefer a trace with the most frequent answer to one with another; ties go to the first answer."""
    by_problem: dict[str, list[Trace]] = {}
    for one in traces:
        by_problem.setdefault(one.problem_id, []).append(one)
    pairs = []
    for name, group in by_problem.items():
        problem = task.by_id[name]
        votes = Counter(one.answer for one in group)
        winner = max(votes, key=lambda answer: votes[answer])
        wins = [one for one in group if same_answer(winner, one.answer, problem.choices)]
        pairs += [Pair(one, other, 1.0) for one in wins for other in group if other not in wins]
    return pairs


def _calibration(task: Task, traces: Sequence[Trace]) -> float | None:
    """Return the calibration error of the traces of problems with a reference answer; a trace without a span is in the lowest bin."""
    known = [(one, task.by_id[one.problem_id]) for one in traces if task.by_id[one.problem_id].answer is not None]
    right = [same_answer(str(problem.answer), one.answer, problem.choices) for one, problem in known]
    return ece([one.confidence for one, _ in known], right) if known else None


# --- learning ---------------------------------------------------------------------------------------------------------


def _prompts(run: Session) -> dict[str, tuple[int, ...]]:
    return {one.id: prompt_of(run.task, one, run.tokenizer).ids for one in run.task.problems}


def _closed(run: Session, trace: Trace) -> list[int]:
    """Return a trace's ids, ended by the closing token where the model ended it."""
    return [*trace.ids, closing_id(run.tokenizer)] if trace.finish == "stop" else list(trace.ids)


def _fit_confident(run: Session, traces: Sequence[Trace]) -> None:
    best: dict[str, Trace] = {}
    for one in traces:
        if one.found and (one.problem_id not in best or one.confidence > best[one.problem_id].confidence):
            best[one.problem_id] = one
    if not best:
        raise ModelError("no trace contains its own answer, so none is confident: use another task or a model that answers it")
    prompts = _prompts(run)
    fit_examples(run, [Example(name, prompts[name], tuple(_closed(run, one))) for name, one in best.items()])


def _fit_dpo(run: Session, pairs: Sequence[Pair], config: Config) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    from soundness.models.transformers import quiet

    class AuditPrompts(DPOTrainer):
        """TRL's trainer, given ids as they were read and written."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    prompts = _prompts(run)
    rows = {
        "prompt_ids": [list(prompts[one.chosen.problem_id]) for one in pairs],
        "chosen_ids": [_closed(run, one.chosen) for one in pairs],
        "rejected_ids": [_closed(run, one.rejected) for one in pairs],
    }
    longest = max(len(p) + max(len(c), len(r)) for p, c, r in zip(*rows.values(), strict=True))
    if run.settings.max_length is not None and longest > run.settings.max_length:
        raise SettingError(f"the longest pair has {longest} tokens: use max_length={longest} or more, or a smaller max_tokens")
    with quiet():
        trainer = AuditPrompts(
            model=run.start.network,
            args=run.arguments(
                DPOConfig,
                beta=config.beta,
                max_length=None,
                loss_type=["sigmoid"],
                learning_rate=run.learning_rate(LEARNING_RATES),
            ),
            train_dataset=Dataset.from_dict(rows),
            processing_class=run.start.padded,
            peft_config=run.adapter(),
        )
    run.fit(trainer)


def _fit_reward(run: Session, pairs: Sequence[Pair], config: Config) -> None:
    """Train a reward model on the pairs with their margins, keep it in `reward_model`, and climb it with GRPO."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, PrinterCallback, ProgressCallback
    from trl import RewardConfig, RewardTrainer

    from soundness.models.transformers import quiet

    prompts = _prompts(run)
    with quiet():
        judge = AutoModelForSequenceClassification.from_pretrained(
            run.start.source, num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        judge.config.pad_token_id = run.start.padded.pad_token_id
        rank_ = run.settings.lora_rank
        trainer = RewardTrainer(
            model=judge,
            args=run.arguments(
                RewardConfig,
                output_dir=str(run.folder / "reward_model"),
                save_strategy="no",
                max_length=None,
                learning_rate=1e-4,
            ),
            train_dataset=Dataset.from_dict(
                {
                    "chosen_ids": [[*prompts[one.chosen.problem_id], *_closed(run, one.chosen)] for one in pairs],
                    "rejected_ids": [[*prompts[one.rejected.problem_id], *_closed(run, one.rejected)] for one in pairs],
                    "margin": [one.margin for one in pairs],
                }
            ),
            processing_class=run.start.padded,
            peft_config=LoraConfig(r=rank_, lora_alpha=2 * rank_, target_modules="all-linear", task_type="SEQ_CLS"),
        )
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    run.record["reward_losses"] = [entry["loss"] for entry in history]
    judge = trainer.accelerator.unwrap_model(trainer.model).eval()
    judge.save_pretrained(run.folder / "reward_model")

    def reward(made: Sequence[Any]) -> list[float | None]:
        rows = [
            [*prompts[one.problem.id], *one.ids, *([closing_id(run.tokenizer)] if one.finish == "stop" else [])] for one in made
        ]
        width = max(map(len, rows))
        pad = int(run.start.padded.pad_token_id)
        device = next(judge.parameters()).device
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        with torch.inference_mode():
            return [float(one) for one in judge(input_ids=ids, attention_mask=mask).logits[:, 0]]

    asked = run.task
    columns = {"prompt": [asked.message(one) for one in asked.problems], "problem_id": [one.id for one in asked.problems]}
    fit_policy(run, asked, columns, config.policy, {"reward_model": reward}, continuous=True)
