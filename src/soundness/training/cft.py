"""Critique fine-tuning: learn to judge solutions instead of copying them.

The prompt is the question with a solution that may be wrong; the completion is a critique that ends "Conclusion: right/wrong
[END]". Loss as in sft.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from soundness.errors import SettingError, TaskError
from soundness.files import read_json_lines
from soundness.models.chat import closing_id
from soundness.options import AtLeastOne, Fraction, options
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds import puzzle_of
from soundness.training.corrupted import corrupt_steps, critique, solution_text
from soundness.training.critic import (
    AT_ONCE,
    Critique,
    Dropped,
    check_room,
    counts_of,
    question_of,
    row_of,
    verdict_of,
    with_verdict,
    write_critiques,
)
from soundness.training.data import Example, prompt_of
from soundness.training.session import Session
from soundness.training.settings import About
from soundness.training.sft import fit_examples

__all__ = ["ABOUT", "Config", "Critique", "critiques_of", "learn"]

ABOUT = About(
    name="cft",
    title="critique fine-tuning: learn to judge solutions, wrong ones included",
    papers=("2501.17703", "2506.03295 (one problem)"),
    needs="critiques in a file, or a model that writes them, or a world (such as chain-sum or lookup), where they are exact",
    cost="as sft, once the critiques are there",
    when="solutions are cheap and good critiques can be had; partly distillation, since critiques carry corrections",
    differs=("checkpoints are never chosen on a set that is reported",),
)

_WRITTEN = "critiques.jsonl"
"""File in the result that holds the critiques a model wrote; it may be given as `critiques` to another training."""

_DROPPED = "critiques-dropped.jsonl"
"""File in the result that holds what a model wrote and could not be used, with the reason."""


@options
class Config:
    """What cft adds to the common settings."""

    critiques: str = "exact"
    """exact (worlds), a JSON Lines file with id, solution and critique, or the specification of a model that writes them."""
    solver: Literal["corrupted", "model"] = "corrupted"
    """Whose solutions are judged: the reference steps with a mistake put in (worlds), or the tuned model's at temperature 1."""
    max_tokens: AtLeastOne = 512
    """Longest solution and longest critique that a model writes."""
    problems: Literal["many", "one"] = "many"
    """One solution of each problem, or `solutions` of the first."""
    solutions: AtLeastOne = 1
    """Solutions per problem."""
    share_right: Fraction = 0.5
    """Share of corrupted solutions that are left without a mistake."""
    correction: bool = True
    """Whether an exact critique gives the right step and answer; without, nothing is distilled but the judgement."""
    shuffled_verdicts: bool = False
    """Control: verdicts dealt out at random."""
    baseline: Literal["none", "sft"] = "none"
    """Control: sft on the right solutions of the same problems."""

    def __post_init__(self) -> None:
        if self.solver == "model" and (self.critiques == "exact" or _is_file(self.critiques)):
            raise SettingError(
                f"solutions by the model itself are judged by a model, and critiques={self.critiques} is none: name one, or leave "
                "solver out"
            )


def learn(run: Session, config: Config) -> None:
    """Tune the session's model on critiques."""
    made, counts = _kept(run, config) or _gathered(run, config)
    run.note(share_right=_share(made, True), share_without_verdict=_share(made, None), **counts)
    fit_examples(run, [_example(run, one, config) for one in made])


def _is_file(critiques: str) -> bool:
    return critiques.endswith((".jsonl", ".json")) or Path(critiques).is_file()


def critiques_of(task: Task, config: Config, *, seed: int) -> list[Critique]:
    """Return what is learned from where no model has to write it: solutions with critiques, in task order.

    Raises TaskError where the source has none for the problems.
    """
    task = replace(task, problems=task.problems if config.problems == "many" else task.problems[:1])
    made = _from_file(Path(config.critiques), task) if _is_file(config.critiques) else _corrupted(task, config, seed)
    return _dealt(made, config, seed)


def _corrupted(task: Task, config: Config, seed: int) -> list[Critique]:
    """Return right and corrupted solutions with exact critiques."""
    return [
        _exact(problem, random.Random(f"cft/{seed}/{problem.id}/{number}"), config)
        for problem in task.problems
        for number in range(config.solutions)
    ]


def _dealt(made: list[Critique], config: Config, seed: int) -> list[Critique]:
    """Return the critiques, their verdicts dealt out at random where the control asks for it."""
    if not config.shuffled_verdicts:
        return made
    rng = random.Random(f"cft/{seed}/verdicts")
    return [one._replace(text=with_verdict(one.text, rng.random() < 0.5)) for one in made]


def _share(made: Sequence[Critique], verdict: bool | None) -> float:
    return sum(verdict_of(one.text) is verdict for one in made) / len(made)


def _exact(problem: Problem, rng: random.Random, config: Config) -> Critique:
    if not problem.steps or problem.answer is None:
        raise TaskError(
            f"exact critiques need reference `steps` and an answer, and {problem.id!r} lacks them: give a file of critiques, or "
            "name a model that writes them"
        )
    true = problem.steps
    steps = true if rng.random() < config.share_right else corrupt_steps(problem, rng)
    last = _answer_of(problem, steps)
    answer = str(problem.answer_text)
    return Critique(problem, solution_text(steps, last), critique(steps, true, answer, correction=config.correction))


def _answer_of(problem: Problem, steps: Sequence[str]) -> str:
    puzzle = puzzle_of(problem)
    found = None if puzzle is None else puzzle.follow("\n".join(steps))
    return str(problem.answer_text) if found is None else found


def _from_file(path: Path, task: Task) -> list[Critique]:
    if not path.is_file():
        raise TaskError(f"there is no file of critiques {path}")
    made = []
    for number, row in read_json_lines(path):
        try:
            name, solution, text = str(row["id"]), str(row["solution"]), str(row["critique"])
        except (ValueError, KeyError, TypeError) as error:
            raise TaskError(f"{path} line {number}: an object with id, solution and critique was wanted ({error})") from error
        if name in task.by_id:
            made.append(Critique(task.by_id[name], solution, text))
    if not made:
        known = next(iter(task.by_id))
        raise TaskError(f"{path} holds no critique of any problem of {task.name} (ids look like {known!r})")
    return made


# --- critiques by a model ---------------------------------------------------------------------------------------------


def _gathered(run: Session, config: Config) -> tuple[list[Critique], dict[str, Any]]:
    """Return what is learned from and, where a model wrote it, counts for the record; what it wrote is kept in the folder."""
    seed = run.settings.seed
    if config.critiques == "exact" or _is_file(config.critiques):
        return critiques_of(run.task, config, seed=seed), {}
    from soundness.models.load import load_model

    task = replace(run.task, problems=run.task.problems if config.problems == "many" else run.task.problems[:1])
    critic = load_model(config.critiques, dtype=run.settings.dtype, device=run.settings.device)
    dropped: list[Dropped] = []
    if config.solver == "model":
        asked, dropped = _solutions(run, task, config)
    else:
        try:
            asked = _corrupted(task, config, seed)
        except TaskError as error:
            raise TaskError(
                f"there is no solution for {config.critiques} to judge: {error}. With solver=model the model that is tuned "
                "writes them"
            ) from error
    made, unread = write_critiques(critic, asked, config.max_tokens)
    made, longer = _fitting(run, made, config)
    dropped += unread + longer
    run.keep_rows(_DROPPED, [row_of(one) | {"why": one.why} for one in dropped])
    if not made:
        why = sorted({one.why for one in dropped})
        raise TaskError(
            f"none of the {len(dropped)} critiques by {config.critiques} can be used ({', '.join(why)}; the first: "
            f"{' '.join(dropped[0].text.split())[:160]!r}): use another model, a larger max_tokens, or critiques in a file"
        )
    run.keep_rows(_WRITTEN, [row_of(one) for one in made])
    return _dealt(made, config, seed), counts_of(made, dropped)


def _kept(run: Session, config: Config) -> tuple[list[Critique], dict[str, Any]] | None:
    """Return what an earlier attempt at this run gathered from a model, or None."""
    if not (run.folder / _WRITTEN).is_file():
        return None
    made = _from_file(run.folder / _WRITTEN, run.task)
    rows = [json.loads(line) for line in (run.folder / _DROPPED).read_text(encoding="utf-8").splitlines()]
    dropped = [Dropped(run.task.by_id[row["id"]], row["solution"], row["critique"], row["why"]) for row in rows]
    return _dealt(made, config, run.settings.seed), counts_of(made, dropped)


def _solutions(run: Session, task: Task, config: Config) -> tuple[list[Critique], list[Dropped]]:
    """Return solutions of the task by the model that is tuned, not yet judged, and those that were cut off."""
    from soundness.training.model_in_training import ModelInTraining

    run.start.network.to(run.start.device)
    model = ModelInTraining(run.start.network, run.tokenizer)
    asked = [(problem, number) for problem in task.problems for number in range(config.solutions)]
    prompts = [prompt_of(task, problem, run.tokenizer) for problem, _ in asked]
    keys = [f"cft/{run.settings.seed}/{problem.id}/{number}" for problem, number in asked]
    check_room("the model that is tuned", run.start.context, [prompt.ids for prompt in prompts], config.max_tokens)
    made, dropped = [], []
    for start in range(0, len(asked), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        written = model.generate(
            [prompt.ids for prompt in prompts[part]],
            max_tokens=config.max_tokens,
            temperature=1.0,
            keys=keys[part],
            until=prompts[start].stop,  # the same for all problems of a task
        )
        for (problem, _), generation in zip(asked[part], written, strict=True):
            text = model.decode(generation.ids).strip()
            if generation.finish == "stop":
                made.append(Critique(problem, text, ""))
            else:
                dropped.append(Dropped(problem, text, "", "solution cut off"))
    return made, dropped


def _fitting(run: Session, made: Sequence[Critique], config: Config) -> tuple[list[Critique], list[Dropped]]:
    """Return the critiques that make an example of allowed length, and the others."""
    limit = min((one for one in (run.settings.max_length, run.start.context) if one is not None), default=None)
    fits = [limit is None or len(_example(run, one, config).input_ids) <= limit for one in made]
    kept = [one for one, fit in zip(made, fits, strict=True) if fit]
    return kept, [Dropped(*one, f"longer than {limit} tokens") for one, fit in zip(made, fits, strict=True) if not fit]


def _example(run: Session, one: Critique, config: Config) -> Example:
    from soundness.models.tokens import encode_fragment
    from soundness.models.transformers import render_prompt

    closing = closing_id(run.tokenizer)
    if config.baseline == "sft":
        problem = one.problem
        if not problem.steps:
            raise TaskError(f"the baseline needs reference steps, and the problem {problem.id!r} has none")
        text = solution_text(problem.steps, str(problem.answer))
        prompt = prompt_of(run.task, problem, run.tokenizer).ids
        return Example(problem.id, prompt, (*encode_fragment(run.tokenizer, text), closing))
    prompt = render_prompt(run.tokenizer, question_of(one)).ids
    return Example(one.problem.id, prompt, (*encode_fragment(run.tokenizer, one.text), closing))
