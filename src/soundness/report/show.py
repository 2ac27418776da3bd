"""One problem on a terminal: every model's chain, step by step, with what each step added; readable without colour."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from soundness.errors import RunError, near
from soundness.report.flips import problem_views
from soundness.runs.folder import Run
from soundness.terminal import visible

__all__ = ["print_problem"]

_BAR = 8


def print_problem(run: Run, problem_id: str, console: Console, *, reader: str = "self") -> None:
    """Print the chains of one problem of `run`, each step with its gain (nats), its strip and the answer's probability by then.

    `reader` is `self` (each model reads its own) or `base`. Raises `RunError`, with near ids, for a problem that the run lacks.
    """
    problems = run.problems()
    wanted = [problem for problem in problems if problem.id == problem_id]
    if not wanted:
        raise RunError(
            f"no problem {problem_id!r} in {run.path}{near(problem_id, [p.id for p in problems])}; "
            f"it holds {len(problems)}, the first is {problems[0].id!r}"
        )
    chains = [chain for chain in run.chains() if chain.problem_id == problem_id]
    verdicts, base = run.verdicts, run.base
    models = [base, *(v.tuned for v in verdicts)] if base is not None else list(dict.fromkeys(chain.model for chain in chains))
    found = problem_views(
        wanted,
        models,
        base,
        chains,
        [case for case in run.cases() if case.problem_id == problem_id],
        [edit for edit in run.edits() if edit.problem_id == problem_id],
        [score for score in run.scores() if score.problem_id == problem_id],
    )
    if not found:
        raise RunError(f"no chain was written for {problem_id!r} in {run.path}: finish the run with the same soundness command")
    for change in run.changes():
        console.print(Text(visible(f"note: {change}"), style="yellow"))
    problem = found[0]
    console.print(Text(visible(problem["question"]), style="bold"))
    for letter, choice in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", problem["choices"], strict=False):
        console.print(Text(f"  {letter}. {visible(choice)}"))
    console.print(Text(f"reference answer: {visible(problem['reference'] or 'none')}", style="dim"))
    for model, tags in problem["tags"].items():
        if base is not None and tags != ["same"]:
            console.print(Text(f"{visible(model)}: {', '.join(tag.replace('_', ' ') for tag in tags)}", style="yellow"))
    for chain in problem["chains"]:
        _print_chain(chain, base, console, reader)


def _print_chain(chain: dict[str, Any], base: str | None, console: Console, reader: str) -> None:
    role = "" if base is None else "base: " if chain["model"] == base else "tuned: "
    answer = "no answer" if chain["answer"] is None else f"answer {chain['answer']}"
    sample = f", sample {chain['sample'] + 1}" if chain["sample"] else ""
    ladder = chain["readings"].get(reader) or chain["readings"].get("self")
    table = Table(
        title=Text(visible(f"{role}{chain['model']}{sample}: {chain['outcome_text']}, {answer}"), style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        expand=False,
        caption_justify="left",
    )
    table.add_column("step", justify="right")
    table.add_column("written", ratio=1, overflow="fold")
    table.add_column("gain, nats", justify="right", no_wrap=True)
    table.add_column("strip", no_wrap=True)
    table.add_column("answer at", justify="right", no_wrap=True)
    steps = (ladder or {}).get("steps") or chain["steps"]
    if ladder:
        table.add_row("", Text("before any step", style="dim"), "", "", ladder["start"])
    for at, text in enumerate(steps):
        told = ("", Text(""), "")
        if ladder:
            told = (ladder["gain_texts"][at], _strip(ladder["bars"][at]), ladder["beliefs"][at])
        table.add_row(str(at + 1), Text(visible(text.rstrip("\n"))), *told)
        for edit in chain["edits"]:
            if edit["step"] == at and edit["reader"] == "self" and not edit["kind"].startswith("fill"):
                table.add_row("", Text(visible(f"  {edit['words']}: {edit['effect']}"), style="dim"), "", "", "")
    if chain["after"].strip():
        table.add_row("", Text(visible(chain["after"].strip("\n")), style="dim"), "", "", "")
    whole = [edit for edit in chain["edits"] if edit["reader"] == "self" and edit["step"] is None]
    lines = [
        f"{edit['words']}: {edit['effect']}" for edit in whole if edit["kept"] is not None or edit["effect"].startswith("not")
    ]
    if chain["skip_reason"]:
        lines.append(f"not measured: {chain['skip_reason']}")
    if lines:
        table.caption = Text(visible("\n".join(lines)), style="dim")
    console.print(table)


def _strip(bar: int) -> Text:
    """Return a bar that grows to the right of the middle for a gain and to the left for a loss."""
    length = min(_BAR, max(1, round(abs(bar) * _BAR / 100))) if bar else 0
    left, right = ("-" * length, "") if bar < 0 else ("", "+" * length)
    return Text.assemble((left.rjust(_BAR), "red"), ("|", "dim"), (right.ljust(_BAR), "green"))
