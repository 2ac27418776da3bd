"""Critique fine-tuning: learn to judge solutions instead of copying them.

The prompt is the question with a solution that may be wrong; the completion is a critique that ends "Conclusion: right/wrong
[END]". Loss as in sft.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from soundness.errors import SettingError, TaskError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds import chain_sum, lookup, tagged_sum
from soundness.training.common import About, Progress, Session, Settings, open_session
from soundness.training.data import Example, closing_id
from soundness.training.sft import fit_examples
from soundness.training.spoiled import critique, solution_text, spoil

if TYPE_CHECKING:
    from soundness.training.monitor import SoundnessMonitor

__all__ = ["ABOUT", "Config", "Critique", "critiques_of", "train"]

ABOUT = About(
    name="cft",
    title="critique fine-tuning: learn to judge solutions, wrong ones included",
    papers=("2501.17703", "2506.03295 (one problem)"),
    needs="critiques in a file, or a model that writes them, or a world (chain-sum, lookup), where they are exact",
    cost="as sft, once the critiques are there",
    when="solutions are cheap and good critiques can be had; partly distillation, since critiques carry corrections",
    differs=("checkpoints are never chosen on a set that is reported",),
)

_ASK = "Judge this solution step by step and end with 'Conclusion: right [END]' or 'Conclusion: wrong [END]'."


@dataclass(frozen=True, slots=True)
class Config:
    """What cft adds to the common settings."""

    critiques: str = "exact"
    """exact (worlds), a JSON Lines file with id, solution and critique, or the specification of a model that writes them."""
    problems: Literal["many", "one"] = "many"
    """One solution of each problem, or `solutions` of the first."""
    solutions: int = 1
    """Solutions per problem."""
    share_right: float = 0.5
    """Share of solutions without a mistake."""
    correction: bool = True
    """Whether an exact critique gives the right step and answer; without, nothing is distilled but the judgement."""
    shuffled_verdicts: bool = False
    """Control: verdicts dealt out at random."""
    baseline: Literal["none", "sft"] = "none"
    """Control: sft on the right solutions of the same problems."""


class Critique(NamedTuple):
    """One solution with what is to be said of it."""

    problem: Problem
    solution: str
    text: str


def train(
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Config | None = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Return the folder `out`, which holds `model` tuned on critiques."""
    config, settings = config or Config(), settings or Settings()
    if config.solutions < 1 or not 0 <= config.share_right <= 1:
        raise SettingError(f"solutions must be at least 1 and share_right 0 to 1: {config.solutions}, {config.share_right}")
    session = open_session(
        "cft", model, task, out=out, settings=settings, config=config, monitor=monitor, on_progress=on_progress
    )
    with session as run:
        made = critiques_of(run.task, config, seed=settings.seed, settings=settings)
        run.describe(config, share_right=sum("right [END]" in one.text for one in made) / len(made))
        fit_examples(run, [_example(run, one, config) for one in made])
    return Path(out).expanduser()


def critiques_of(task: Task, config: Config, *, seed: int, settings: Settings | None = None) -> list[Critique]:
    """Return what is learned from: solutions with critiques, in task order.

    Raises TaskError where the source has none for the problems.
    """
    problems = task.problems if config.problems == "many" else task.problems[:1]
    if config.critiques.endswith((".jsonl", ".json")) or Path(config.critiques).is_file():
        made = _from_file(Path(config.critiques), replace(task, problems=problems))
    else:
        made = []
        for problem in problems:
            for number in range(config.solutions):
                rng = random.Random(f"cft/{seed}/{problem.id}/{number}")
                made.append(_exact(problem, rng, config))
        if config.critiques != "exact":
            made = _written(made, config.critiques, settings or Settings())
    if config.shuffled_verdicts:
        rng = random.Random(f"cft/{seed}/verdicts")
        made = [one._replace(text=_with_verdict(one.text, rng.random() < 0.5)) for one in made]
    return made


def _exact(problem: Problem, rng: random.Random, config: Config) -> Critique:
    if not problem.steps or problem.answer is None:
        raise TaskError(
            f"exact critiques need reference `steps` and an answer, and {problem.id!r} lacks them: give a file of critiques, or "
            "name a model that writes them"
        )
    true = problem.steps
    steps = true if rng.random() < config.share_right else spoil(problem, rng)
    last = _answer_of(problem, steps)
    answer = str(problem.answer_text)
    return Critique(problem, solution_text(steps, last), critique(steps, true, answer, correction=config.correction))


def _answer_of(problem: Problem, steps: Sequence[str]) -> str:
    text = "\n".join(steps)
    if tagged_sum.parse(problem.question) is not None:
        return text[-1]
    found = chain_sum.follow(text) if chain_sum.parse(problem.question) is not None else lookup.last_stated(text)
    return str(problem.answer_text) if found is None else str(found)


def _from_file(path: Path, task: Task) -> list[Critique]:
    if not path.is_file():
        raise TaskError(f"there is no file of critiques {path}")
    made = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, solution, text = str(row["id"]), str(row["solution"]), str(row["critique"])
        except (ValueError, KeyError, TypeError) as error:
            raise TaskError(f"{path} line {number}: an object with id, solution and critique was wanted ({error})") from error
        if name in task.by_id:
            made.append(Critique(task.by_id[name], solution, text))
    if not made:
        known = next(iter(task.by_id))
        raise TaskError(f"{path} holds no critique of any problem of {task.name} (ids look like {known!r})")
    return made


def _written(made: Sequence[Critique], writer: str, settings: Settings) -> list[Critique]:
    """Return the same solutions with critiques that a model wrote, greedily; those without a conclusion are left out."""
    from soundness.models.load import load_model

    model = load_model(writer, dtype=settings.dtype, device=settings.device)
    prompts = [model.render(_question(one)).ids for one in made]
    kept = []
    for start in range(0, len(made), 8):
        written = model.generate(prompts[start : start + 8], max_tokens=512)
        for one, generation in zip(made[start : start + 8], written, strict=True):
            text = model.decode(generation.ids).strip()
            if "Conclusion:" in text:
                kept.append(one._replace(text=text))
    if not kept:
        raise TaskError(f"{writer} wrote no critique that ends in a conclusion: use another writer, or critiques in a file")
    return kept


def _question(one: Critique) -> str:
    lines = [*one.problem.context, one.problem.question]
    return "\n".join(lines) + f"\n\nSolution:\n{one.solution}\n\n{_ASK}"


def _with_verdict(text: str, right: bool) -> str:
    head, _, _ = text.rpartition("Conclusion:")
    return f"{head}Conclusion: {'right' if right else 'wrong'} [END]"


def _example(run: Session, one: Critique, config: Config) -> Example:
    from soundness.models.transformers import encode_fragment, render_prompt

    closing = closing_id(run.tokenizer)
    if config.baseline == "sft":
        problem = one.problem
        if not problem.steps:
            raise TaskError(f"the baseline needs reference steps, and the problem {problem.id!r} has none")
        text = solution_text(problem.steps, str(problem.answer))
        prompt = render_prompt(run.tokenizer, run.task.message(problem)).ids
        return Example(problem.id, prompt, (*encode_fragment(run.tokenizer, text), closing))
    prompt = render_prompt(run.tokenizer, _question(one)).ids
    return Example(one.problem.id, prompt, (*encode_fragment(run.tokenizer, one.text), closing))
