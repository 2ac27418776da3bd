"""The command line: a thin door. Each command parses, calls one function of the library and prints what came back.

Exit codes: 0 done (for `audit`: whatever the verdict), 3 an error that the message explains, a command that cannot be parsed
included, 130 interrupted (what was computed is kept; the same command goes on). `gate` alone also has 1 (a verdict fails) and 2
(nothing was shown); no error ever ends in those two. `--debug`, anywhere in a command, shows the traceback of an error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundness.errors import SettingError, SoundnessError, describe
from soundness.progress import silent
from soundness.terminal import console as terminal_console
from soundness.terminal import notes_on_terminal, say

if TYPE_CHECKING:
    from rich.console import Console

    from soundness.interchange.traces import Imported

__all__ = ["app", "main"]

app = typer.Typer(
    name="soundness",
    help="Does a fine-tuned model still reason its way to the answer, or only land on it?",
    epilog="--debug, with any command, shows where an error comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
import_app = typer.Typer(help="Traces from other harnesses.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(import_app, name="import")
export_app = typer.Typer(help="Runs for other viewers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(export_app, name="export")
organisms_app = typer.Typer(
    help="Tiny models with a known history, shipped as organism:NAME.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(organisms_app, name="organisms")

Out = Annotated[Path, typer.Option(help="Run folder; an existing one with the same settings is resumed.")]
Limit = Annotated[int | None, typer.Option(help="Use the first LIMIT problems; worlds make as many.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of sampling, interventions and intervals.")]
MaxTokens = Annotated[int, typer.Option(help="Longest chain, in tokens.")]
Metrics = Annotated[
    str | None, typer.Option(help="Comma-separated metrics, groups, or my_file.py:MyGroup, in place of a profile.")
]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16; chosen by the hardware if left out.")]
Device = Annotated[str | None, typer.Option(help="A torch device such as cuda:0 or cpu; the best there is if left out.")]
ReaderName = Annotated[str, typer.Option("--reader", help="auto, packed, cached or plain.")]
BatchSize = Annotated[int, typer.Option(help="Chains written at once.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with a model.")]
Pickle = Annotated[bool, typer.Option("--allow-pickle", help="Load pickled weights, which runs code in them.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


@app.command()
def audit(
    base: Annotated[str, typer.Argument(help="Base model: folder, hub name, .gguf file, smollm2, scripted:NAME.")],
    tuned: Annotated[list[str], typer.Argument(help="Tuned models; PEFT adapters too, also as BASE+ADAPTER.")],
    task: Annotated[str, typer.Option(help="JSON Lines file, hub:NAME:CONFIG:SPLIT, chain-sum or lookup.")],
    out: Out,
    limit: Limit = None,
    samples: Annotated[int, typer.Option(help="Chains per problem.", min=1)] = 1,
    seed: Seed = 0,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; default 0, or 0.8 with several samples.")] = None,
    top_p: Annotated[float, typer.Option(help="Nucleus mass that tokens are drawn from.")] = 1.0,
    max_tokens: MaxTokens = 512,
    template: Annotated[str, typer.Option(help="own: each model's chat template; shared: the base's for all.")] = "own",
    metrics: Metrics = None,
    profile: Annotated[str, typer.Option(help="What to measure: quick, standard or full.")] = "standard",
    panel: Annotated[Path | None, typer.Option(help="TOML file of other tasks: what was forgotten?")] = None,
    judge: Annotated[str | None, typer.Option(help="Model that judges the facts in the steps.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Folder of texts that the judge looks into.")] = None,
    proposer: Annotated[
        str | None, typer.Option(help="Model that rewords steps where no rule does, and writes mistakes.")
    ] = None,
    splitter: Annotated[str, typer.Option(help="How chains are cut into steps: auto, lines or sentences.")] = "auto",
    column: Annotated[list[str] | None, typer.Option(help="Column of a hub data set, as question=problem; repeatable.")] = None,
    batch_size: BatchSize = 8,
    dtype: Dtype = None,
    device: Device = None,
    reader: ReaderName = "auto",
    noise_floor: Annotated[bool, typer.Option("--noise-floor/--no-noise-floor", help="Hold the base against itself.")] = True,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with an existing run, or refuse to.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost here, and stop.")] = False,
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
    quiet: Quiet = False,
) -> None:
    """Compare tuned models with their base on the same problems: chains, readings, table, verdict."""
    from soundness.tasks.base import load_task

    console = _console()
    if not resume and out.exists() and any(out.iterdir()):
        raise SettingError(f"{out} is not empty and --no-resume was given; choose another --out")
    problems = load_task(task, limit=limit, seed=seed, columns=_columns(column))
    options: dict[str, Any] = {
        "samples": samples,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "template": template,
        "metrics": _names(metrics),
        "profile": profile,
        "panel": panel,
        "judge": judge,
        "documents": documents,
        "proposer": proposer,
        "splitter": splitter,
        "seed": seed,
        **_loading(batch_size, dtype, device, reader, trust_remote_code, allow_pickle),
    }
    if dry_run:
        from soundness.report.terminal import print_cost
        from soundness.studies.cost import estimate_cost

        with _progress(console, quiet) as told:
            # The floor at temperature 0 is a fixed number of problems, which must not be scaled up with the others.
            cost = estimate_cost(
                base, tuned, problems, on_progress=told, noise_floor=noise_floor and bool(temperature), **options
            )
        print_cost(cost, console)
        return
    from soundness.auditing import audit as run_audit
    from soundness.report.terminal import print_run

    with _progress(console, quiet) as told:
        run = run_audit(base, tuned, problems, out=out, noise_floor=noise_floor, on_progress=told, **options)
    print_run(run, console, every=metrics is not None)


@app.command()
def score(
    traces: Annotated[Path, typer.Argument(help="JSON Lines: question, answer, trace (or steps), model.")],
    scorer: Annotated[str, typer.Option(help="Model that reads the chains.")],
    out: Out,
    limit: Limit = None,
    seed: Seed = 0,
    metrics: Metrics = None,
    splitter: Annotated[str, typer.Option(help="How chains are cut into steps: auto, lines or sentences.")] = "auto",
    max_tokens: MaxTokens = 512,
    batch_size: BatchSize = 8,
    dtype: Dtype = None,
    device: Device = None,
    reader: ReaderName = "auto",
    trust_remote_code: Trust = False,
    allow_pickle: Pickle = False,
    quiet: Quiet = False,
) -> None:
    """Score chains that other models wrote, closed ones included, with one model as the yardstick."""
    from soundness.auditing import score as run_score
    from soundness.report.terminal import print_run

    console = _console()
    with _progress(console, quiet) as told:
        run = run_score(
            traces,
            scorer=scorer,
            out=out,
            limit=limit,
            seed=seed,
            metrics=_names(metrics),
            splitter=splitter,
            max_tokens=max_tokens,
            on_progress=told,
            **_loading(batch_size, dtype, device, reader, trust_remote_code, allow_pickle),
        )
    print_run(run, console)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/demo"),
    problems: Annotated[int | None, typer.Option(help="Problems.", min=2)] = None,
    scripted: Annotated[bool, typer.Option("--scripted", help="Scripted behaviours in place of trained models.")] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Audit two tuned models whose history is known: one reasons, one ignores its own chain."""
    from soundness.auditing import audit as run_audit
    from soundness.organisms.demo import choose
    from soundness.report.terminal import print_run

    console = _console()
    with _progress(console, quiet) as told:
        shown = choose(scripted)
        run = run_audit(
            shown.base,
            list(shown.tuned),
            shown.task,
            out=out,
            limit=problems or shown.problems,
            seed=seed,
            max_tokens=shown.max_tokens,
            batch_size=shown.batch_size,
            on_progress=told,
        )
    print_run(run, console)


@organisms_app.command("make")
def make_organisms(
    out: Annotated[Path, typer.Option(help="Folder for the six models and truth.json.")],
    seed: Annotated[int, typer.Option(help="Seed of weights, data and noise.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Make this one and leave the others as they are; repeatable.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that tune side by side, one thread each.", min=1)] = 2,
    quiet: Quiet = False,
) -> None:
    """Train the organisms, establish by intervention what each one's answers follow, and audit them."""
    from soundness.organisms.make import make_organisms as run_make

    console = _console()
    with _progress(console, quiet) as told:
        made = run_make(out, seed=seed, only=only or (), workers=workers, on_progress=told)
    for name, about in made["organisms"].items():
        console.print(f"{name}: its answers follow {about['route']}; verdict: {about['verdict'] or 'the base'}")
    console.print(f"kept in {out}; load one as {out}/NAME")


@app.command()
def gate(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished audit.")],
    fail_on: Annotated[
        str | None,
        typer.Option(help="The words that fail, and the others pass; if left out all but sound, grew and nothing fail."),
    ] = None,
    allow: Annotated[str | None, typer.Option(help="Words that pass, such as insufficient.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML there, one test case per tuned model.")] = None,
) -> None:
    """Turn verdicts into an exit code: 0 passes, 1 fails, 2 nothing was shown (insufficient evidence), 3 error."""
    from soundness.report.gate import gate as decide
    from soundness.report.gate import junit as as_junit
    from soundness.report.gate import parse_words, write_junit
    from soundness.runs.folder import open_run

    failing = None if fail_on is None else parse_words(fail_on, "--fail-on")
    allowed = frozenset[str]() if allow is None else parse_words(allow, "--allow")
    opened = open_run(run)
    found = decide(opened, failing, allowed)
    if junit is not None:
        write_junit(junit, as_junit(found, opened))
    for verdict in found.verdicts:
        mark = "FAIL" if verdict.tuned in found.failed else "    "
        say(f"{mark} {verdict.tuned}: {verdict.word.value}. {verdict.sentence}", sys.stdout)
    raise typer.Exit(found.exit_code)


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
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Say how many problems show a change of a given size with 80 % power at alpha .05, paired by problem."""
    from soundness.studies.power import plan_from_pilot, plan_from_run, plan_from_sd

    console = _console()
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
        with _progress(console, quiet) as told:
            plan = plan_from_pilot(str(base), tuned or [], problems, metric, detect, on_progress=told)
    unit = "" if plan.unit == "fraction" else f" {plan.unit}"
    console.print(f"{plan.problems:,} problems show a mean change of {plan.effect:g}{unit} in {plan.metric}", style="bold")
    console.print(f"standard deviation of the paired difference {plan.sd:.3g}{unit} ({plan.grounds})")
    console.print("smallest change seen: " + "; ".join(f"{least:.3g}{unit} with {n:,}" for n, least in plan.table))
    console.print(plan.assumption, style="dim")


@app.command()
def metrics(name: Annotated[str | None, typer.Argument(help="One metric or family; all if left out.")] = None) -> None:
    """Explain every metric: what it measures, what it does not tell, sign, unit, cost, source."""
    from soundness.documentation import print_metrics

    print_metrics(name, _console())


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

    console = _console()
    with _progress(console, quiet) as told:
        found = run_validation(
            out, scale=scale, seed=seed, workers=workers, data=data, scorer=scorer, labelled=labelled, on_progress=told
        )
    console.print(validation_markdown(found), markup=False)
    console.print(f"kept in {out}", style="dim")


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One of them, with all its options; the list if left out.")] = None,
) -> None:
    """List every training method: paper, what it needs, what it costs, when to use it; or one with its options."""
    from soundness.training.terminal import print_method, print_methods

    if name is None:
        print_methods(_console())
    else:
        print_method(name, _console())


@app.command("train")
def train_model(
    method: Annotated[str, typer.Argument(help="A method of `soundness methods`, such as sft.")],
    model: Annotated[str, typer.Option(help="Model to tune.")],
    task: Annotated[str, typer.Option(help="JSON Lines file, hub:NAME:CONFIG:SPLIT, or a world.")],
    out: Annotated[Path, typer.Option(help="Folder for the tuned model; an unfinished run goes on.")],
    config: Annotated[Path | None, typer.Option(help="TOML: the method's options, [settings], [trainer].")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="One option, as scheme=format; repeatable.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="sft: rationale (steps and answer), label (answer only) or completion.")
    ] = None,
    limit: Limit = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the examples.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimiser steps, whatever the epochs.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples (or completions) per step.")] = None,
    accumulate: Annotated[int | None, typer.Option(help="Parts in which a step's batch is computed.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Rank of the LoRA adapter, 16 if left out.", min=1)] = None,
    full: Annotated[bool, typer.Option("--full", help="Train every weight instead of an adapter.")] = False,
    bias_only: Annotated[bool, typer.Option("--bias-only", help="Train one vector per layer.")] = False,
    soft_prompt: Annotated[int | None, typer.Option(help="Train a soft prompt of so many tokens.", min=1)] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest example, in tokens.")] = None,
    monitor: Annotated[str | None, typer.Option(help="Problems to audit during training: a file or a world.")] = None,
    every: Annotated[int | None, typer.Option(help="Steps between two snapshots; at most 5 % of the time if left out.")] = None,
    stop_when_lost: Annotated[
        bool, typer.Option("--stop-when-lost", help="End once reasoning is lost beyond the noise.")
    ] = False,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random, 0 if left out.")] = None,
    dtype: Dtype = None,
    device: Device = None,
    report_to: Annotated[str | None, typer.Option(help="Where the Trainer logs: none, tensorboard, wandb, trackio.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column of a hub data set, as question=problem; repeatable.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check data, memory and one step, and stop.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by one of the methods; the result is audited like any other."""
    from soundness.options import build, parse_pairs
    from soundness.tasks.base import load_task
    from soundness.training.methods import dry_run as try_one
    from soundness.training.methods import read_config
    from soundness.training.methods import train as run_training
    from soundness.training.results import read_record
    from soundness.training.settings import Settings

    console = _console()
    kinds = {"full": full, "bias": bias_only, "prompt": soft_prompt is not None}
    if sum([*kinds.values(), lora_rank is not None]) > 1:
        raise SettingError("--lora-rank, --full, --bias-only and --soft-prompt exclude each other: give one")
    own = parse_pairs(option or [])
    if target is not None:
        own["target"] = target
    chosen, common = read_config(method, config, own)
    told_settings = {
        "epochs": epochs,
        "max_steps": max_steps,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "accumulate": accumulate,
        "lora_rank": lora_rank,
        "prompt_tokens": soft_prompt,
        "adaptation": next((name for name, wanted in kinds.items() if wanted), None),
        "max_length": max_length,
        "save_every": save_every,
        "seed": seed,
        "dtype": dtype,
        "device": device,
        "report_to": report_to,
        "overwrite": overwrite or None,
    }
    told_settings = {name: value for name, value in told_settings.items() if value is not None}
    settings = build(Settings, {**common, **told_settings}, where="settings")
    problems = load_task(task, limit=limit, seed=settings.seed, columns=_columns(column))
    if dry_run:
        cost = try_one(method, model, problems, config=chosen, settings=settings)
        console.print(
            f"{cost.num_examples} examples, {cost.num_steps} steps of {cost.seconds_per_step:.2f} s, {cost.seconds / 60:.1f} min; "
            f"most memory held {cost.memory / 1e9:.2f} GB; loss of the first step {cost.loss:.3f}"
        )
        return
    watcher = None
    if monitor is not None:
        from soundness.training.monitor import SoundnessMonitor

        watcher = SoundnessMonitor(monitor, every=every, stop_when_lost=stop_when_lost, seed=settings.seed)
    with _progress(console, quiet) as told:
        if watcher is not None:
            watcher.on_progress = told
        folder = run_training(
            method,
            model,
            problems,
            out=out,
            config=chosen,
            settings=settings,
            monitor=watcher,
            on_step=lambda step: told(f"training {method}", step.step, step.num_steps),
        )
    if watcher is not None:
        console.print(watcher.words())
    record = read_record(folder)
    for name in ("stopped", "warning"):
        if name in record:
            console.print(record[name], style="yellow", markup=False)
    console.print(f"kept in {folder}; compare it with: soundness audit {model} {folder} --task TASK --out RUN")


@app.command()
def compare(
    plan: Annotated[Path, typer.Argument(help="TOML: model, task, audit, and one [[method]] per training.")],
    out: Annotated[Path, typer.Option(help="Folder for models, audit and page; what is there is not done again.")],
    quiet: Quiet = False,
) -> None:
    """Train several ways, audit all against the base at matched accuracy, and write one page."""
    from soundness.studies.matched import compare as run_compare
    from soundness.studies.matched_page import print_comparison

    console = _console()
    with _progress(console, quiet) as told:
        comparison = run_compare(plan, out=out, on_progress=told)
    print_comparison(comparison, console)


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

    console = _console()
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
        with _progress(console, quiet or as_json) as told:
            result = run_reproduction(one, out=out, scale=scale, seeds=seeds, workers=workers, data=own, on_progress=told)
        if as_json:
            typer.echo(result.text(), nl=False)
        else:
            print_result(result, console)
            console.print(f"page: {out / one / scale / 'page.html'}", style="dim")


@app.command("report")
def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path | None, typer.Option(help="The page; report.html in the run folder if left out.")] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the page's data as JSON instead.")] = None,
) -> None:
    """Write a run's report: one HTML file with verdicts, measures, curves, flips and chains."""
    from soundness.report.page import write_page, write_view
    from soundness.runs.folder import open_run

    if json_out is not None:
        say(f"wrote {write_view(open_run(run), json_out)}", sys.stdout)
        return
    path = write_page(open_run(run), out)
    say(f"wrote {path}", sys.stdout)
    if open_page:
        typer.launch(path.resolve().as_uri())


@app.command("show")
def show(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    problem: Annotated[
        str | None, typer.Argument(help="Id of a problem, as the report lists it; all measures if left out.")
    ] = None,
    by: Annotated[str, typer.Option(help="Who reads: self (each model its own chains) or base.")] = "self",
) -> None:
    """Print the chains that every model wrote for one problem, each step with its information gain; or every measure of a run."""
    from soundness.report.show import print_problem
    from soundness.report.terminal import print_run
    from soundness.runs.folder import open_run

    if by not in ("self", "base"):
        raise SettingError(f"--by is {by!r}; use self or base")
    if problem is None:
        print_run(open_run(run), _console(), every=True)
    else:
        print_problem(open_run(run), problem, _console(), reader=by)


@import_app.command("lm-eval")
def import_lm_eval(
    samples: Annotated[list[Path], typer.Argument(help="samples_*.jsonl files of lm-eval --log_samples.")],
    out: Annotated[Path, typer.Option(help="Folder for traces.jsonl.")],
    model: Annotated[str | None, typer.Option(help="Name of the writer; what the results file says if left out.")] = None,
) -> None:
    """Make traces of lm-eval samples, ready for `soundness score`."""
    from soundness.interchange.lm_eval import import_lm_eval as read
    from soundness.interchange.traces import write_traces

    _say_imported(imported := read(samples, model=model), write_traces(imported, out))


@import_app.command("inspect")
def import_inspect(
    logs: Annotated[list[Path], typer.Argument(help="Inspect .eval (or .json) logs.")],
    out: Annotated[Path, typer.Option(help="Folder for traces.jsonl.")],
    model: Annotated[str | None, typer.Option(help="Name of the writer; what the log says if left out.")] = None,
) -> None:
    """Make traces of Inspect logs, ready for `soundness score`."""
    from soundness.interchange.inspect_log import import_inspect as read
    from soundness.interchange.traces import write_traces

    _say_imported(imported := read(logs, model=model), write_traces(imported, out))


@export_app.command("inspect")
def export_inspect(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path, typer.Option(help="Folder for the logs.")],
) -> None:
    """Write one Inspect log per model of a run."""
    from soundness.interchange.inspect_log import export_inspect as write
    from soundness.runs.folder import open_run

    for path in write(open_run(run), out):
        say(f"wrote {path}", sys.stdout)
    say(f"look at them with: inspect view --log-dir {out}", sys.stdout)


def _say_imported(imported: Imported, path: Path) -> None:
    say(f"wrote {len(imported.rows)} traces to {path}", sys.stdout)
    for line in imported.account:
        say(f"note: {line}", sys.stdout)
    say(f"score them with: soundness score {path} --scorer MODEL --out RUN", sys.stdout)


def _loading(
    batch_size: int, dtype: str | None, device: str | None, reader: str, trust_remote_code: bool, allow_pickle: bool
) -> dict[str, Any]:
    return {
        "batch_size": batch_size,
        "dtype": dtype,
        "device": device,
        "reader": reader,
        "trust_remote_code": trust_remote_code,
        "allow_pickle": allow_pickle,
    }


def _names(text: str | None) -> list[str] | None:
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    return names or None


def _columns(pairs: list[str] | None) -> dict[str, str] | None:
    """Return `question=problem` pairs as a column map."""
    columns = {}
    for pair in pairs or []:
        field, equals, column = pair.partition("=")
        if not equals or not field or not column:
            raise SettingError(f"--column wants FIELD=COLUMN such as question=problem, and got {pair!r}")
        columns[field] = column
    return columns or None


def _console() -> Console:
    console = terminal_console()
    # A file or a pipe has no width of its own; the table needs this much to stand on one line a metric.
    return console if console.is_terminal else terminal_console(width=max(console.width, 160))


def _progress(console: Console, quiet: bool) -> Any:
    """Return a context that gives the function to tell progress to."""
    from contextlib import nullcontext

    if quiet:
        return nullcontext(silent)
    from soundness.report.terminal import live_progress

    return live_progress(console)


def main() -> None:
    """Run the command line; whatever goes wrong ends in one short line on standard error, with `--debug` in a traceback.

    No error ever ends in the codes 0, 1 and 2, which a gate gives a meaning.
    """
    debug = "--debug" in sys.argv[1:]
    if debug:
        sys.argv.remove("--debug")
    notes_on_terminal()
    try:
        # Outside standalone mode an exit code comes back instead of being raised; that of an interrupt, too.
        code = app(standalone_mode=False) or 0
        if code == 130:
            raise KeyboardInterrupt
    except typer.TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help page
            typer.echo(error.format_message())
            code = 0
        else:
            code = _failed(error.format_message(), SoundnessError.exit_code, debug)
    except SoundnessError as error:
        code = _failed(str(error), error.exit_code, debug)
    except (typer.Abort, KeyboardInterrupt):  # an interrupt arrives as either, depending on how deep it struck
        say("interrupted; what was computed is kept, the same command goes on")
        code = 130
    except BrokenPipeError:  # as in `soundness show RUN | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except Exception as error:
        code = _failed(
            f"something that soundness did not foresee: {describe(error)}; this is worth a report, with what --debug shows",
            SoundnessError.exit_code,
            debug,
        )
    sys.exit(code)


def _failed(message: str, code: int, debug: bool) -> int:
    """Say what went wrong and return the exit code; called while the error is handled."""
    if debug:
        import traceback

        say(traceback.format_exc(), most=None)
    say(f"error: {message}")
    return code
