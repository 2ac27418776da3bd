"""What the methods that learn from their own samples share: prompts as an audit shows them, rewards, and what is watched.

GRPO and RLOO are TRL's. Its trainers tokenise prompts themselves; here they are given the ids that an audit would show, so that what
is rewarded is what is later measured. Under vLLM (`use_vllm` among the trainer's options) the same ids go to its engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from soundness.errors import ModelError, SettingError, TaskError
from soundness.models.tokens import decode, token_pieces
from soundness.options import AtLeastOne, NonNegative, Positive, options
from soundness.records import Finish, Generation, Problem, Prompt
from soundness.tasks.base import Task
from soundness.training.data import prompt_of
from soundness.training.session import Session
from soundness.training.settings import Adaptation, check_vllm
from soundness.training.snapshot import MOSTLY, NO_STEPS

__all__ = ["LEARNING_RATES", "Completion", "Policy", "Reward", "fit_policy", "hacking_words", "preflight", "rows_of"]

LEARNING_RATES: dict[Adaptation, float] = {"lora": 1e-5, "full": 1e-6, "bias": 1e-3, "prompt": 1e-3}

_PATIENCE = 20
"""Steps in a row without any difference between rewards, after which training gives up."""


@options
class Policy:
    """How completions are drawn and learned from."""

    algorithm: Literal["grpo", "rloo"] = "grpo"
    """grpo: advantages against the mean of the group, scaled by a spread; rloo: against the mean of the others."""
    scale: Literal["auto", "group", "batch", "none"] = "auto"
    """The spread that grpo divides by: of the group's rewards, of the batch's, or none. auto: the group's where rewards are
    verdicts; the batch's where they are continuous, because groups that differ in nothing but noise would weigh as much as others."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Completions per problem."""
    max_tokens: AtLeastOne = 256
    """Longest completion; one that reaches it counts as cut off."""
    temperature: Positive = 1.0
    """Of the draws."""
    beta: NonNegative = 0.0
    """Weight of the divergence from the base, per token."""
    preflight: Annotated[int, Field(ge=0)] = 16
    """Problems tried at most before training, until the rewards of one differ; 0 to skip."""


class Completion(Protocol):
    """One completion as a reward sees it."""

    problem: Problem
    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    finish: Finish


@dataclass(frozen=True, slots=True)
class _Completion:
    problem: Problem
    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    finish: Finish

    @property
    def generation(self) -> Generation:
        """Its ids as an audit's sampler gives them."""
        return Generation(self.ids, self.finish)


Reward = Callable[[Sequence[Any]], list[float | None]]
"""Completions (whole groups) in, one number each out, None where nobody can say."""


def rows_of(task: Task, instruction: str | None) -> tuple[Task, dict[str, list[str]]]:
    """Return the task as it is put to the model, and one row per problem: `prompt` (the message) and `problem_id`.

    Raises TaskError where a problem has no reference answer and the task no grader.
    """
    lacking = [problem.id for problem in task.problems if problem.answer is None and task.grader is None]
    if lacking:
        raise TaskError(
            f"rewards need a reference answer, and {len(lacking)} of the {len(task.problems)} problems of {task.name} have none "
            f"(the first is {lacking[0]!r}): leave them out, give the task a grader, or use rlsf, which needs neither"
        )
    asked = task if instruction is None else replace(task, instruction=instruction)
    problems = asked.problems
    return asked, {"prompt": [asked.message(one) for one in problems], "problem_id": [one.id for one in problems]}


def cut(ids: Sequence[int], stops: Sequence[int], max_tokens: int) -> tuple[tuple[int, ...], Finish]:
    """Return completion ids without the token that ended them, and why they ended.

    What is shorter than it may be and holds no stop token was ended by a text (`Stop`), which has been cut away.

    >>> cut([5, 6, 2, 2], [2], 9), cut([5, 6], [2], 2), cut([5, 6], [2], 9)
    (((5, 6), 'stop'), ((5, 6), 'length'), ((5, 6), 'stop'))
    """
    end = next((place for place, token in enumerate(ids) if token in stops), None)
    if end is None:
        return tuple(ids), "length" if len(ids) >= max_tokens else "stop"
    return tuple(ids[:end]), "stop"


def fit_policy(
    run: Session,
    task: Task,
    rows: Mapping[str, list[str]],
    policy: Policy,
    rewards: Mapping[str, Reward],
    *,
    weights: Sequence[float] | None = None,
    continuous: bool = False,
    watch: Callable[[Sequence[Any]], Mapping[str, float]] | None = None,
) -> None:
    """Train the policy. `rewards` are summed by `weights`; `watch` gives further values for the log.

    `continuous` says that equally good completions of a problem still earn a little more or less than each other. Raises
    SettingError where batch and group do not fit or vLLM does not start, ModelError where rewards never differ.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    from soundness.models.transformers import quiet

    settings = run.settings
    if settings.batch_size % policy.num_generations:
        raise SettingError(
            f"batch_size counts completions and must hold whole groups: {settings.batch_size} is no multiple of "
            f"num_generations={policy.num_generations}"
        )
    prompts = {problem.id: prompt_of(task, problem, run.tokenizer) for problem in task.problems}
    by_message = {task.message(problem): prompts[problem.id] for problem in task.problems}
    ended_by = {prompt.ids: prompt.stop for prompt in prompts.values() if prompt.stop is not None}
    _check_room(run, prompts.values(), policy)
    stops, tokenizer, problems = run.start.stops, run.tokenizer, task.by_id

    def completions_of(completion_ids: Sequence[Sequence[int]], problem_id: Sequence[str]) -> list[_Completion]:
        completions = []
        for ids, name in zip(completion_ids, problem_id, strict=True):
            kept, finish = cut(ids, stops, policy.max_tokens)
            completions.append(_Completion(problems[name], prompts[name], decode(tokenizer, kept), kept, finish))
        return completions

    def shortened(prompt_ids: Sequence[int], ids: list[int]) -> list[int]:
        """Return a completion up to where an audit would have ended it by its text."""
        stop = ended_by.get(tuple(prompt_ids))
        if stop is None:
            return ids
        end = next((place for place, token in enumerate(ids) if token in stop.ids), None)
        if end is not None:
            return ids[:end]
        kept = stop.kept(token_pieces(lambda part: decode(tokenizer, part), ids))
        return ids if kept is None else ids[:kept]

    def paid(name: str, reward: Reward, first: bool) -> Any:
        def function(completion_ids: Any, problem_id: Any, log_metric: Any = None, **_: Any) -> list[float | None]:
            made = completions_of(completion_ids, problem_id)
            if first and watch is not None and log_metric is not None:
                for label, value in watch(made).items():
                    log_metric(label, value)
            return reward(made)

        function.__name__ = name
        return function

    class NothingToLearn(TrainerCallback):
        in_a_row = 0

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if logs is None or "frac_reward_zero_std" not in logs:
                return
            self.in_a_row = self.in_a_row + 1 if logs["frac_reward_zero_std"] == 1 else 0
            if self.in_a_row < _PATIENCE:
                return
            words = f"for {_PATIENCE} steps in a row all completions of a problem earned the same (reward {logs.get('reward')})"
            if all(entry.get("frac_reward_zero_std", 1) == 1 for entry in state.log_history):
                raise ModelError(
                    f"{words}, so there is nothing to learn: use easier or harder problems, more generations, or another reward"
                )
            control.should_training_stop = True
            run.note(stopped=f"Stopped after {state.global_step} of {state.max_steps} steps: {words}.")

    trainer_class, config_class = (RLOOTrainer, RLOOConfig) if policy.algorithm == "rloo" else (GRPOTrainer, GRPOConfig)

    class AuditPrompts(trainer_class):  # type: ignore[misc, valid-type]
        """TRL's trainer, with prompts tokenised as an audit does."""

        def _tokenize_prompts(self, prompts: list[str]) -> Any:
            return [list(by_message[prompt].ids) for prompt in prompts], None, {}

        def _generate_single_turn(self, prompt_ids: Any, *given: Any, **named: Any) -> Any:
            made = super()._generate_single_turn(prompt_ids, *given, **named)
            ids, *rest = made if isinstance(made, tuple) else (made,)
            shorter = [shortened(shown, list(one)) for shown, one in zip(prompt_ids, ids, strict=True)]
            if not rest:  # RLOO's trainer
                return shorter
            (logprobs,) = rest
            if logprobs is not None:  # vLLM's, one per token
                logprobs = [one[: len(kept)] for one, kept in zip(logprobs, shorter, strict=True)]
            return shorter, logprobs

    special: dict[str, Any] = {}
    if policy.algorithm == "grpo":
        scale = policy.scale if policy.scale != "auto" else "batch" if continuous else "group"
        special = {"loss_type": "grpo", "scale_rewards": scale}
    arguments = run.arguments(
        config_class,
        num_generations=policy.num_generations,
        max_completion_length=policy.max_tokens,
        temperature=policy.temperature,
        beta=policy.beta,
        reward_weights=list(weights) if weights is not None else None,
        learning_rate=run.learning_rate(LEARNING_RATES),
        remove_unused_columns=False,
        **special,
    )
    if arguments.use_vllm:
        # Its own stops are those of the tokenizer and of the files that it loads.
        arguments.generation_kwargs = {"stop_token_ids": list(stops), **(arguments.generation_kwargs or {})}
    run.note(num_examples=len(rows["prompt"]), completions_per_example=policy.num_generations)
    with quiet(), _starting(arguments.use_vllm):
        trainer = AuditPrompts(
            model=run.start.network,
            reward_funcs=[paid(name, reward, i == 0) for i, (name, reward) in enumerate(rewards.items())],
            args=arguments,
            train_dataset=Dataset.from_dict(dict(rows)),
            processing_class=run.start.padded,
            peft_config=run.adapter(),
        )
    with _own_stops(trainer, stops):
        # In order, the next problems may be harder.
        run.fit(trainer, callbacks=[] if run.request.in_order else [NothingToLearn()])


@contextmanager
def _starting(vllm: bool) -> Iterator[None]:
    """Say in one line why vLLM does not start, where it was asked for."""
    try:
        yield
    except (ConnectionError, ImportError, RuntimeError, ValueError) as error:
        if not vllm:
            raise
        line = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise SettingError(
            f"vLLM cannot be started or reached: {line}; mend the options vllm_... of the trainer, or leave use_vllm out"
        ) from error


@contextmanager
def _own_stops(trainer: Any, stops: Sequence[int]) -> Iterator[None]:
    """Let the trainer end completions where an audit ends them."""
    trainer.eos_token_ids = list(stops)
    if getattr(trainer, "generation_config", None) is not None:
        trainer.generation_config.eos_token_id = list(stops)
    yield


def _check_room(run: Session, prompts: Iterable[Prompt], policy: Policy) -> None:
    longest = max(len(prompt.ids) for prompt in prompts)
    limits = [
        run.start.context,
        run.settings.trainer.get("vllm_max_model_length") if run.settings.trainer.get("use_vllm") else None,
    ]
    room = min((limit for limit in limits if limit is not None), default=None)
    if room is not None and longest + policy.max_tokens > room:
        raise SettingError(
            f"the longest prompt has {longest} tokens and a completion up to {policy.max_tokens}, together more than the "
            f"{room} that the model can read: use max_tokens={max(1, room - longest)} or shorter problems"
        )


def preflight(run: Session, task: Task, policy: Policy, reward: Reward, *, says: Callable[[Sequence[Any]], str]) -> None:
    """Try problems from all over the task until rewards differ; raise ModelError where every completion of each earns the same.

    `says` adds what is known of the completions to the message. Raises MissingPackage or SettingError where vLLM is asked for and
    cannot be had.
    """
    from soundness.training.model_in_training import ModelInTraining

    check_vllm(run.settings)
    if not policy.preflight:
        return
    run.start.network.to(run.start.device)
    model = ModelInTraining(run.start.network, run.tokenizer)
    count = min(policy.preflight, len(task.problems))
    problems = [task.problems[i * len(task.problems) // count] for i in range(count)]  # the first ones may be the easiest
    made: list[_Completion] = []
    for problem in problems:
        prompt = prompt_of(task, problem, run.tokenizer)
        for generation in model.generate(
            [prompt.ids] * policy.num_generations,
            max_tokens=policy.max_tokens,
            temperature=policy.temperature,
            keys=[f"preflight/{run.settings.seed}/{problem.id}/{i}" for i in range(policy.num_generations)],
            until=prompt.stop,
        ):
            made.append(_Completion(problem, prompt, model.decode(generation.ids), generation.ids, generation.finish))
        earned = reward(made)  # of all: what a completion earns may depend on the others
        groups = [earned[i : i + policy.num_generations] for i in range(0, len(earned), policy.num_generations)]
        if any(len({one for one in group if one is not None}) > 1 for group in groups):
            return
    words = (
        f"nothing to learn from: on {len(problems)} problems all {policy.num_generations} completions of each earned the same "
        f"({', '.join(sorted({str(one) for one in earned}))}).",
        says(made),
        "Train with sft first, choose other problems or another reward, or pass preflight=0 to try all the same",
    )
    raise ModelError(" ".join(filter(None, words)))


def hacking_words(history: Sequence[Mapping[str, Any]], base: Mapping[str, float], last: Mapping[str, float]) -> str | None:
    """Return a sentence where the reward rose while a held-out measure of the monitor fell, or None.

    The reward is compared over the first and last fifth of the steps; a measure fell where it lost a tenth of its first value.

    >>> steps = [{"reward": 0.1}] * 5 + [{"reward": 0.9}] * 5
    >>> hacking_words(steps, {"soundness/filler_reliance": 0.8}, {"soundness/filler_reliance": 0.2})
    'The reward rose from 0.10 to 0.90 while filler_reliance fell from 0.80 to 0.20: do not trust the reward alone.'
    """
    rewards = [float(entry["reward"]) for entry in history if isinstance(entry.get("reward"), (int, float))]
    if len(rewards) < 5:
        return None
    part = max(1, len(rewards) // 5)
    first, final = sum(rewards[:part]) / part, sum(rewards[-part:]) / part
    held_out = ("filler_reliance", "swap_reliance", "paraphrase_reliance")
    fell = [
        f"{name} fell from {base[key]:.2f} to {last[key]:.2f}"
        for name in held_out
        if (key := f"soundness/{name}") in base and key in last and base[key] > 0 and last[key] < 0.9 * base[key]
    ]
    silence = f"soundness/{NO_STEPS}"
    if silence in base and silence in last and base[silence] < MOSTLY < last[silence]:
        fell.append(f"answers without steps became the rule ({base[silence]:.2f} to {last[silence]:.2f})")
    if final <= first or not fell:
        return None
    return f"The reward rose from {first:.2f} to {final:.2f} while {' and '.join(fell)}: do not trust the reward alone."
