"""Commands that study the instrument and the literature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundness.cli.shared import Quiet, Seed, group, make_console, progress
from soundness.errors import SettingError

app = group()


@app.command()
def power(
    metric: Annotated[str, typer.Option(help="Metric whose change shall be seen.")] = "info_gain",
    detect: Annotated[float, typer.Option(help="Smallest mean change that matters, in the metric's unit.")] = 0.3,
    run: Annotated[Path | None, typer.Option(help="Plan from this run folder.")] = None,
    sd: Annotated[float | None, typer.Option(help="Plan from this standard deviation of paired differences.")] = None,
    task: Annotated[str | None, typer.Option(help="Plan from a pilot on this task.")] = None,
    base: Annotated[str | None, typer.Option(help="Base model of the pilot.")] = None,
    tuned: Annotated[list[str] | None, typer.Option(help="Tuned model of the pilot, or of the run.")] = None,
    pilot: Annotated[int, typer.Option(help="Problems in the pilot.", min=5)] = 30,
    samples: Annotated[int | None, typer.Option(help="With --run: plan for so many samples a problem.", min=1)] = None,
    sound: Annotated[
        bool, typer.Option("--sound", help="Plan for the word: how many problems give two equal models `sound`?")
    ] = False,
    accuracy: Annotated[float, typer.Option(help="With --sound and no --run: share that both models answer right.")] = 0.9,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Say how many problems show a change of a given size with 80 % power at alpha .05, paired by problem."""
    if sound:
        _power_of_sound(run, accuracy, tuned[0] if tuned else None)
        return
    from soundness.studies.power import plan_from_pilot, plan_from_run, plan_from_sd

    console = make_console()
    if sum(way is not None for way in (run, sd, base)) != 1:
        raise SettingError("give one of --run FOLDER, --sd NUMBER, or a pilot: --task TASK --base MODEL --tuned MODEL")
    if sd is not None:
        plan = plan_from_sd(metric, detect, sd)
    elif run is not None:
        plan = plan_from_run(run, metric, detect, tuned=tuned[0] if tuned else None, samples=samples)
    else:
        from soundness.tasks.base import load_task

        if task is None:
            raise SettingError("a pilot needs a task: --task FILE, hub:NAME or a world")
        problems = load_task(task, limit=pilot, seed=seed)
        with progress(console, quiet) as told:
            plan = plan_from_pilot(str(base), tuned or [], problems, metric, detect, on_progress=told)
    unit = "" if plan.unit == "fraction" else f" {plan.unit}"
    console.print(f"{plan.problems:,} problems show a mean change of {plan.effect:g}{unit} in {plan.metric}", style="bold")
    console.print(f"standard deviation of the paired difference {plan.sd:.3g}{unit} ({plan.grounds})")
    console.print("smallest change seen: " + "; ".join(f"{least:.3g}{unit} with {n:,}" for n, least in plan.table))
    console.print(plan.assumption, style="dim")


def _power_of_sound(run: Path | None, accuracy: float, tuned: str | None) -> None:
    """Print how many problems give two equal models `sound`."""
    from soundness.studies.power import CHANCE, plan_for_sound, plan_for_sound_from_run

    console = make_console()
    if run is not None:
        plan = plan_for_sound_from_run(run, tuned)
    else:
        grounds = f"two models that are right on {accuracy:g} of the problems, each by itself, and follow their steps on all"
        plan = plan_for_sound(2 * accuracy * (1 - accuracy), 0.0, grounds)
    needed = "more than 20,000" if plan.problems is None else f"{plan.problems:,}"
    console.print(f"{needed} problems give two equal models `sound` in {CHANCE:.0%} of audits", style="bold")
    console.print(
        f"by chance alone they differ on {plan.accuracy_differs:.2f} of the problems in being right and on "
        f"{plan.following_differs:.2f} in following their steps ({plan.grounds})"
    )
    console.print("chance of `sound`: " + "; ".join(f"{chance:.0%} with {n:,}" for n, chance in plan.table))


@app.command()
def validate(
    out: Annotated[Path, typer.Option(help="Folder for validation.json, the tables and the pictures.")],
    scale: Annotated[str, typer.Option(help="small: half a minute; full: what the documentation shows.")] = "full",
    data: Annotated[Path | None, typer.Option(help="Folder of labelled chains; ../shared/data if left out.")] = None,
    scorer: Annotated[str, typer.Option(help="Model that reads the labelled chains.")] = "smollm2",
    labelled: Annotated[bool, typer.Option("--labelled/--no-labelled", help="Read the labelled chains.")] = True,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Prove the instrument on planted models: dial, broken models, false alarms, coverage, operators, labelled chains."""
    from soundness.report.validation import validation_markdown
    from soundness.studies.validation import validate as run_validation

    console = make_console()
    with progress(console, quiet) as told:
        found = run_validation(
            out, scale=scale, seed=seed, workers=workers, data=data, scorer=scorer, labelled=labelled, on_progress=told
        )
    console.print(validation_markdown(found), markup=False)
    console.print(f"kept in {out}", style="dim")


@app.command("reproduce")
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A reproduction, or all; the list of them if left out.")] = None,
    scale: Annotated[str, typer.Option(help="tiny (minutes), cpu-small (as documented) or paper (as published).")] = "tiny",
    seeds: Annotated[int, typer.Option(help="Seeds; intervals are over them.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder; finished seeds in it are not run again.")] = Path("runs/reproduce"),
    workers: Annotated[int, typer.Option(help="Processes that run seeds side by side, one thread each.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Folder of problems that some read; ../shared/data if left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Run a paper's claim again, small, and say whether it is confirmed, refuted or not reached at that scale."""
    import json

    from soundness.papers.page import rows
    from soundness.papers.terminal import print_list, print_result

    console = make_console()
    if name is None:
        if as_json:
            typer.echo(json.dumps(rows(), indent=1))
        else:
            print_list(console)
        return
    from soundness.papers.catalogue import REPRODUCTIONS, reads_data
    from soundness.papers.running import reproduce as run_reproduction

    for one in REPRODUCTIONS if name == "all" else (name,):
        own = data if name != "all" or reads_data(one) else None
        with progress(console, quiet or as_json) as told:
            result = run_reproduction(one, out=out, scale=scale, seeds=seeds, workers=workers, data=own, on_progress=told)
        if as_json:
            typer.echo(result.text(), nl=False)
        else:
            print_result(result, console)
            console.print(f"page: {out / one / scale / 'page.html'}", style="dim")
