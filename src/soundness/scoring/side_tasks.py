"""What a full battery asks beyond the audit's own chains: other formats, other tasks, and the base's chains read by both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from soundness.chains.sample import sample_chains
from soundness.metrics.formats import FORMATS, as_choice, ask, grade_format
from soundness.models.cached import CachedModel
from soundness.records import Chain, Outcome, Probe, Prompt, Score
from soundness.scoring.score import Sampling
from soundness.statistics.paired import by_problem, compare, derive_seed
from soundness.tasks.base import Task
from soundness.tasks.panel import PanelTask

__all__ = ["ask_formats", "ask_panel", "panel_table", "read_forgetting"]

Told = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""

NO_OPTIONS = "no other answers to choose among"
NOT_DRAWN = "the chain has no tokens"


def ask_formats(model: CachedModel, task: Task, name: str, sampling: Sampling, told: Told | None = None) -> list[Score]:
    """Return, for each problem and format, whether the greedy reply of `model` has the form and is right."""
    answers = sorted({problem.answer for problem in task.problems if problem.answer is not None and problem.choices is None})
    wanted = []
    for problem in task.problems:
        choice = as_choice(problem, answers, seed=sampling.seed)
        for form in FORMATS:
            message = ask(problem, form, task, choice)
            if message is not None:
                # Without the template, the prompt is the question and a line's end.
                ids = tuple(model.encode(f"{message}\n")) if form == "bare" else model.render(message).ids
                wanted.append((problem, form, choice, ids))
    replies = model.generate(
        [ids for *_, ids in wanted],
        max_tokens=sampling.max_tokens,
        on_progress=_named(told, f"other formats {name}"),
    )
    graded = {
        (problem.id, form): grade_format(model.decode(reply.ids), reply.finish, form, problem, choice)
        for (problem, form, choice, _), reply in zip(wanted, replies, strict=True)
    }
    scores = []
    for problem in task.problems:
        for form in FORMATS:
            one = graded.get((problem.id, form))
            valid = None if one is None else float(one.valid)
            right = None if one is None or problem.answer is None else float(one.right)
            why = NO_OPTIONS if one is None else "no reference answer"
            scores.append(_score(f"format_right_{form}", problem.id, name, right, why))
            scores.append(_score(f"format_valid_{form}", problem.id, name, valid, NO_OPTIONS))
        asked = [graded[problem.id, form] for form in ("ranked", "json")]
        scores.append(_score("format_off_task", problem.id, name, sum(one.off_task for one in asked) / len(asked), ""))
    return scores


def _named(told: Told | None, what: str) -> Callable[[int, int], None] | None:
    """Return what tells the progress of `what`, or None where nobody listens."""
    if told is None:
        return None
    listener = told
    return lambda done, total: listener(what, done, total)


def _score(metric: str, problem_id: str, writer: str, value: float | None, reason: str) -> Score:
    return Score(metric, problem_id, 0, writer, "-", value, reason if value is None else "")


def read_forgetting(
    base: CachedModel,
    tuned: Mapping[str, CachedModel],
    chains: Sequence[Chain],
    base_name: str,
    told: Told | None = None,
) -> list[Score]:
    """Return how much less likely each of `tuned` finds each of the base's `chains` than the base does; 0 for the base itself.

    A model of another vocabulary cannot read the base's ids: missing.
    """
    probes = [Probe(chain.prompt.ids, chain.ids) if chain.ids else None for chain in chains]
    groups = [[probe] for probe in probes if probe is not None]
    own = base.read_groups(groups)
    scores: list[Score] = []
    for name, reader in ((base_name, base), *tuned.items()):
        same = reader.vocabulary == base.vocabulary
        progress = _named(told, f"reading the base's chains by {name}")
        found = own if reader is base else reader.read_groups(groups, on_progress=progress) if same else {}
        for chain, probe in zip(chains, probes, strict=True):
            why = "another vocabulary than the base's" if not same else NOT_DRAWN
            total = own[probe].nats - found[probe].nats if probe is not None and same else None
            per_token = total / len(chain.ids) if total is not None else None
            for metric, value in (("forward_kl", per_token), ("forward_kl_chain", total)):
                reason = why if value is None else ""
                scores.append(Score(metric, chain.problem_id, chain.sample, name, "-", value, reason))
    return scores


def ask_panel(
    model: CachedModel,
    panel: Sequence[PanelTask],
    name: str,
    sampling: Sampling,
    told: Told | None = None,
    prompts: Callable[[Task], Mapping[str, Prompt]] | None = None,
) -> list[Score]:
    """Return, for each problem of the panel, whether the greedy chain of `model` solves it; ids are TASK/ID.

    `prompts` renders a task where two models shall see the same prompts.
    """
    scores = []
    for one in panel:
        chains = sample_chains(
            model,
            one.task,
            seed=sampling.seed,
            max_tokens=sampling.max_tokens,
            splitter=sampling.splitter,
            prompts=None if prompts is None else prompts(one.task),
            writer=name,
            on_progress=_named(told, f"panel {one.name}: {name}"),
        )
        for chain in chains:
            solved = None if chain.outcome is None else float(chain.outcome is Outcome.RIGHT)
            scores.append(_score("transfer_accuracy", f"{one.name}/{chain.problem_id}", name, solved, "no reference answer"))
    return scores


def panel_table(
    scores: Sequence[Score], panel: Sequence[PanelTask], base: str, tuned: Sequence[str], *, seed: int
) -> list[dict[str, object]]:
    """Return one row per tuned model and task of the panel: accuracy of both and their difference, as JSON values."""
    rows: list[dict[str, object]] = []
    mine = [score for score in scores if score.metric == "transfer_accuracy"]
    for name in tuned:
        for one in panel:
            sides = []
            for writer in (base, name):
                chosen = [s for s in mine if s.writer == writer and s.problem_id.startswith(f"{one.name}/")]
                sides.append(by_problem(chosen)[0])
            found = compare(sides[0], sides[1], seed=derive_seed(seed, "panel", one.name))
            estimates = {"base_estimate": found.base, "tuned_estimate": found.tuned, "difference": found.difference}
            rows.append(
                {"tuned": name, "task": one.name, **{key: asdict(value) for key, value in estimates.items()}, "p": found.p}
            )
    return rows
