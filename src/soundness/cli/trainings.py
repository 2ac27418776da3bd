"""Commands that train: methods, comparisons of them, organisms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundness.cli.shared import Columns, Limit, Quiet, columns_of, group, make_console, progress
from soundness.errors import SettingError

app = group()
organisms_app = group("Tiny models with a known history, shipped as organism:NAME.")
app.add_typer(organisms_app, name="organisms")


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One of them, with all its options; the list if left out.")] = None,
) -> None:
    """List every training method: paper, what it needs, what it costs, when to use it; or one with its options."""
    from soundness.training.terminal import print_method, print_methods

    if name is None:
        print_methods(make_console())
    else:
        print_method(name, make_console())


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
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16; chosen by the hardware if left out.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is if left out.")] = None,
    report_to: Annotated[str | None, typer.Option(help="Where the Trainer logs: none, tensorboard, wandb, trackio.")] = None,
    column: Columns = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check data, memory and one step, and stop.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a model by one of the methods; the result is audited like any other."""
    from soundness.options import build, parse_pairs
    from soundness.tasks.rows import load_training_task
    from soundness.training.methods import dry_run as try_one
    from soundness.training.methods import read_config
    from soundness.training.methods import train as run_training
    from soundness.training.results import read_record
    from soundness.training.settings import Settings

    console = make_console()
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
    problems = load_training_task(task, limit=limit, seed=settings.seed, columns=columns_of(column))
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
    with progress(console, quiet) as told:
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

    console = make_console()
    with progress(console, quiet) as told:
        comparison = run_compare(plan, out=out, on_progress=told)
    print_comparison(comparison, console)


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

    console = make_console()
    with progress(console, quiet) as told:
        made = run_make(out, seed=seed, only=only or (), workers=workers, on_progress=told)
    for name, about in made["organisms"].items():
        console.print(f"{name}: its answers follow {about['route']}; verdict: {about['verdict'] or 'the base'}")
    console.print(f"kept in {out}; load one as {out}/NAME")
