"""RLAG: knowledge augmentation with a preference between the answer given with snippets and the answer given without them.

Per problem three sequences are scored by the present weights; lp is the mean token log-probability, nats:

    z     the snippets, each begun by the start token and ended by the end token, joined; conditioned on nothing
    y_w   the option that is likeliest when the question comes with the snippets, scored in that same prompt
    y_l   the option that is likeliest for the question alone, scored in that prompt

    loss = mean -logsigmoid( bD lp_z + bA min(lp_w, -0.2) - bA max(lp_l, -5) - gamma )

Where both options agree bD = 0.5 and bA = 0 (knowledge only), else bD = 0.2 and bA = 0.5. There is no reference model, nothing is
generated, and the reference answer is never used: y_w may be wrong. Options are chosen anew at the start of every round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from soundness.errors import SettingError, TaskError
from soundness.options import AtLeastOne, options
from soundness.records import LETTERS, Probe, Problem
from soundness.tasks.base import Task
from soundness.training.data import prompt_of
from soundness.training.passages import share_with_gold, snippets_of, without_context
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "mean_log_probability", "rlag_loss", "schedule", "learn"]

ABOUT = About(
    name="rlag",
    title="knowledge from snippets, preferred over what the model says without them",
    papers=("2509.20162",),
    needs="answer options (`choices`, or `candidates` that no prompt shows), and a `context` or `facts` per problem or a folder of "
    "documents; no reference answer",
    cost="three sequences per problem and step, and a reading of all options per round",
    when="knowledge has to go into the weights and be used in answers",
    differs=(
        "the loss of the published code, not of the paper's figure",
        "the assistant's header is part of the prompt, not of the scored answer",
        "gamma is 0.8 as in the script; the configuration file beside it says 8: sweep it",
    ),
)


@options
class Config:
    """What rlag adds to the common settings."""

    documents: str = ""
    """Folder to retrieve from; empty for the problems' own context and facts."""
    num_snippets: AtLeastOne = 3
    """Snippets per problem."""
    answer: Literal["text", "letter", "line"] = "text"
    """What is scored of an option: its text alone, or behind "Answer:" its letter or (`line`) its text."""
    chunks: AtLeastOne = 1
    """Rounds per pass over the problems: options are chosen anew before each."""
    repeats: AtLeastOne = 2
    """Passes over a chunk before its options are chosen anew."""
    beta_knowledge: float = 0.2
    """bD where the options differ."""
    beta_knowledge_alone: float = 0.5
    """bD where they agree."""
    beta_answer: float = 0.5
    """bA where they differ; 0 for the ablation without a preference."""
    gamma: float = 0.8
    """Margin."""
    highest_wanted: float = -0.2
    """lp_w counts up to here, nats."""
    lowest_unwanted: float = -5.0
    """lp_l counts down to here, nats."""
    baseline: Literal["none", "sft", "cpt", "sdft"] = "none"
    """Train this instead, with the same snippets, settings and number of passes over the problems."""


def rlag_loss(lp_z: Any, lp_w: Any, lp_l: Any, agree: Any, config: Config) -> Any:
    """Return the loss, a scalar tensor; the four others are tensors of shape (problems,), `agree` of booleans."""
    import torch
    from torch.nn import functional as F

    beta_z = torch.where(agree, config.beta_knowledge_alone, config.beta_knowledge)
    beta_a = torch.where(agree, 0.0, config.beta_answer)
    wanted, unwanted = lp_w.clamp(max=config.highest_wanted), lp_l.clamp(min=config.lowest_unwanted)
    return -F.logsigmoid(beta_z * lp_z + beta_a * wanted - beta_a * unwanted - config.gamma).mean()


def mean_log_probability(logits: Any, labels: Any) -> Any:
    """Return the mean log-probability of each row's labels, float32 nats, shape (rows,).

    `logits` is (rows, tokens, vocabulary), `labels` (rows, tokens) with -100 where nothing is scored; position t is predicted
    from t - 1.
    """
    import torch

    scored = labels[:, 1:] != -100
    targets = labels[:, 1:].clamp(min=0)
    logp = torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(2, targets[..., None])[..., 0]
    return (logp * scored).sum(dim=1) / scored.sum(dim=1)


def schedule(
    num_problems: int, epochs: int, chunks: int, repeats: int, seed: int, *, in_order: bool = False
) -> list[tuple[int, int]]:
    """Return (problem, round) in the order of training: each epoch is cut into chunks, each chunk is passed `repeats` times.

    Problems are shuffled, chunks and their passes too; with `in_order` nothing is.

    >>> len(schedule(3, 2, 1, 2, 0)), sorted(schedule(2, 1, 2, 1, 0), key=lambda row: row[1])[0][1]
    (12, 0)
    """
    import random

    rows: list[tuple[int, int]] = []
    for epoch in range(epochs):
        order = list(range(num_problems))
        if not in_order:
            random.Random(f"rlag/{seed}/{epoch}").shuffle(order)
        size = -(-num_problems // chunks)
        for chunk in range(chunks):
            part = order[chunk * size : (chunk + 1) * size]
            for repeat in range(repeats):
                shuffled = list(part)
                if not in_order:
                    random.Random(f"rlag/{seed}/{epoch}/{chunk}/{repeat}").shuffle(shuffled)
                rows += [(problem, epoch * chunks + chunk) for problem in shuffled]
    return rows


def learn(run: Session, config: Config) -> None:
    """Train the session's model to know the snippets and to answer by them, or the named baseline on what that would see."""
    if config.baseline != "none":
        _learn_baseline(run, config)
        return
    _check_options(run.task, config)
    snippets = snippets_of(run.task, config.documents or None, config.num_snippets, method="rlag")
    run.note(num_examples=len(run.task.problems), share_with_gold_in_context=share_with_gold(run.task, snippets))
    _fit(run, snippets, config)


def _check_options(task: Task, config: Config) -> None:
    lacking = [problem.id for problem in task.problems if not _options(problem, config)]
    if lacking:
        shown = "`choices`" if config.answer == "letter" else "`choices`, or `candidates` that no prompt shows"
        raise TaskError(
            f"rlag chooses among answer options, and {len(lacking)} of the {len(task.problems)} problems of {task.name} have none "
            f"(the first is {lacking[0]!r}): give them {shown}, or use cpt or sdft, which need none"
        )


def _options(problem: Problem, config: Config) -> tuple[str, ...]:
    """Return what may be chosen, as it is scored; only what the prompt shows has letters."""
    if config.answer == "letter":
        return tuple(f"Answer: {LETTERS[i]}" for i in range(len(problem.choices or ())))
    options = tuple(problem.choices or problem.meta.get("candidates", ()))
    return tuple(f"Answer: {option}" for option in options) if config.answer == "line" else options


@dataclass(frozen=True, slots=True)
class _Sequences:
    """One problem as token ids."""

    knowledge: tuple[int, ...]
    with_snippets: tuple[int, ...]
    alone: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


def _sequences(run: Session, snippets: dict[str, tuple[str, ...]], config: Config) -> list[_Sequences]:
    from soundness.models.tokens import encode_fragment

    tokenizer = run.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else start
    bare = without_context(run.task)
    found = []
    for problem in bare.problems:
        shown = replace(problem, context=snippets[problem.id])
        knowledge = [token for text in snippets[problem.id] for token in (start, *encode_fragment(tokenizer, text), end)]
        found.append(
            _Sequences(
                tuple(knowledge),
                prompt_of(bare, shown, tokenizer).ids,
                prompt_of(bare, problem, tokenizer).ids,
                tuple(tuple(encode_fragment(tokenizer, text)) for text in _options(problem, config)),
            )
        )
    _check_lengths(run, found)
    return found


def _check_lengths(run: Session, sequences: Sequence[_Sequences]) -> None:
    limits = [limit for limit in (run.settings.max_length, run.start.context) if limit is not None]
    longest = max(
        max(len(one.knowledge), len(one.with_snippets) + max(map(len, one.options)), len(one.alone)) for one in sequences
    )
    if limits and longest > min(limits):
        raise SettingError(
            f"the longest sequence has {longest} tokens, and {min(limits)} are allowed: use fewer snippets, a larger max_length or a "
            "model that can read more"
        )


def _fit(run: Session, snippets: dict[str, tuple[str, ...]], config: Config) -> None:
    import torch
    from datasets import Dataset
    from peft import get_peft_model
    from torch.nn.utils.rnn import pad_sequence
    from transformers import Trainer, TrainingArguments, set_seed

    from soundness.models.transformers import quiet
    from soundness.training.model_in_training import ModelInTraining

    sequences = _sequences(run, snippets, config)
    epochs = max(1, round(run.settings.epochs))
    rows = schedule(len(sequences), epochs, config.chunks, config.repeats, run.settings.seed, in_order=run.request.in_order)
    by_round: dict[int, list[int]] = {}
    for problem, number in rows:
        by_round.setdefault(number, []).append(problem)
    set_seed(run.settings.seed)
    adapter = run.adapter()
    with quiet():
        module = run.start.network if adapter is None else get_peft_model(run.start.network, adapter)
    pad = int(run.start.padded.pad_token_id)

    class Rlag(Trainer):
        """The three sequences of each problem, one loss."""

        chosen: dict[int, tuple[int, int]] = {}
        round = -1
        metrics: dict[str, float] = {}

        def choose(self, wanted: Sequence[int]) -> None:
            """Choose both options of these problems by the present weights."""
            live = ModelInTraining(self.accelerator.unwrap_model(self.model), run.tokenizer)
            probes = [
                Probe(prompt, option)
                for i in wanted
                for prompt in (sequences[i].with_snippets, sequences[i].alone)
                for option in sequences[i].options
            ]
            readings = iter(live.read(probes))
            for i in wanted:
                best: list[int] = []
                for _ in range(2):
                    means = [(found := next(readings)).nats / len(found.token_nats) for _ in sequences[i].options]
                    best.append(means.index(max(means)))
                self.chosen = {**self.chosen, i: (best[0], best[1])}

        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            problems, number = inputs["problem"].tolist(), int(inputs["round"].max())
            if number != self.round:
                self.choose(sorted(set(by_round[number])))
                self.round = number
            if missing := sorted(set(problems) - set(self.chosen)):  # of the round before, in the first batch of a resumed run
                self.choose(missing)
            device = inputs["problem"].device
            texts: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
            agree = []
            for i in problems:
                wanted, unwanted = self.chosen[i]
                one = sequences[i]
                texts += [((), one.knowledge), (one.with_snippets, one.options[wanted]), (one.alone, one.options[unwanted])]
                agree.append(wanted == unwanted)
            ids = [torch.tensor([*prompt, *scored], device=device) for prompt, scored in texts]
            labels = [torch.tensor([*[-100] * len(prompt), *scored], device=device) for prompt, scored in texts]
            output = model(
                input_ids=pad_sequence(ids, batch_first=True, padding_value=pad),
                attention_mask=pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
            )
            lp = mean_log_probability(output.logits, pad_sequence(labels, batch_first=True, padding_value=-100)).view(-1, 3)
            same = torch.tensor(agree, device=device)
            loss = rlag_loss(lp[:, 0], lp[:, 1], lp[:, 2], same, config)
            means = lp.detach().mean(dim=0).tolist()
            self.metrics = {
                "rlag/knowledge_nats": means[0],
                "rlag/wanted_nats": means[1],
                "rlag/unwanted_nats": means[2],
                "rlag/options_agree": same.float().mean().item(),
            }
            return (loss, output) if return_outputs else loss

        def log(self, logs: dict[str, float], *rest: Any, **others: Any) -> None:
            super().log({**logs, **(self.metrics if "loss" in logs else {})}, *rest, **others)

    with quiet():
        trainer = Rlag(
            model=module,
            args=run.arguments(
                TrainingArguments,
                num_train_epochs=1,  # the schedule holds all of them
                train_sampling_strategy="sequential",
                remove_unused_columns=False,
                max_grad_norm=1.0,
                adam_epsilon=1e-7,
            ),
            train_dataset=Dataset.from_dict({"problem": [p for p, _ in rows], "round": [r for _, r in rows]}),
            processing_class=run.start.padded,
            data_collator=lambda batch: {name: torch.tensor([row[name] for row in batch]) for name in ("problem", "round")},
        )
    trainer.model_accepts_loss_kwargs = (
        False  # the loss is a mean over problems; the trainer divides it by the parts of a batch
    )
    run.fit(trainer)


def _learn_baseline(run: Session, config: Config) -> None:
    """Train the named baseline on what rlag would see: the same passes over the problems, the same snippets."""
    from soundness.training.methods import load_method

    asked = run.task
    snippets = snippets_of(asked, config.documents or None, config.num_snippets, method="rlag")
    method = load_method(config.baseline)
    own: Any = method.Config()
    if config.baseline == "sft":
        own, task = method.Config(target="label"), without_context(asked)
    else:
        task = replace(asked, problems=tuple(replace(one, context=snippets[one.id], facts=()) for one in asked.problems))
        if config.baseline == "sdft":
            own = method.Config(num_snippets=config.num_snippets)
    settings = replace(run.settings, epochs=run.settings.epochs * config.repeats)
    method.learn(replace(run, request=replace(run.request, task=task, settings=settings)), own)
    run.note(baseline_config=asdict(own))
