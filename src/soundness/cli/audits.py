"""Commands that ask models: audit, score, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from soundness.cli.options import takes
from soundness.cli.shared import Columns, Limit, Out, Quiet, Seed, columns_of, group, make_console, progress
from soundness.errors import SettingError
from soundness.models.options import LoadOptions
from soundness.scoring.options import Measuring, SamplingOptions
from soundness.tasks.prompts import Prompting

app = group()


@app.command()
@takes(sampling=SamplingOptions, prompting=Prompting, measuring=Measuring, loading=LoadOptions)
def audit(
    base: Annotated[
        str, typer.Argument(help="Base model: folder, hub name, .gguf file, server:URL#NAME, smollm2, my_file.py:MyModel.")
    ],
    tuned: Annotated[list[str], typer.Argument(help="Tuned models; PEFT adapters too, also as BASE+ADAPTER.")],
    task: Annotated[
        str, typer.Option(help="Problems: a JSON Lines, JSON, CSV or Parquet file, hub:NAME:CONFIG:SPLIT, or a synthetic task.")
    ],
    out: Out,
    sampling: SamplingOptions,
    prompting: Prompting,
    measuring: Measuring,
    loading: LoadOptions,
    limit: Limit = None,
    select: Annotated[str | None, typer.Option(help="Rows by number, as 100:200.")] = None,
    skip: Annotated[int, typer.Option(help="Leave out the first rows.", min=0)] = 0,
    shuffle: Annotated[bool, typer.Option("--shuffle", help="Take rows in an order drawn with the seed.")] = False,
    split: Annotated[str | None, typer.Option(help="Take rows of this split.")] = None,
    column: Columns = None,
    vary: Annotated[
        str | None,
        typer.Option(help="Compare a model with itself: NAME=ONE,OTHER of its chat template, as enable_thinking=true,false."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with an existing run, or refuse to.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost here, and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every measure.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare tuned models with their base on the same problems: chains, readings, table, verdict."""
    from soundness.tasks.base import load_task

    console = make_console()
    if not resume and out.exists() and any(out.iterdir()):
        raise SettingError(f"{out} is not empty and --no-resume was given; choose another --out")
    problems = load_task(
        task,
        limit=limit,
        seed=sampling.seed,
        columns=columns_of(column),
        select=select,
        skip=skip,
        shuffle=shuffle,
        split=split,
        prompt=prompting,
    )
    groups: dict[str, Any] = {"sampling": sampling, "measuring": measuring, "loading": loading, "vary": vary}
    if dry_run:
        from soundness.studies.cost import estimate_cost, print_cost

        with progress(console, quiet) as tell:
            cost = estimate_cost(base, tuned, problems, on_progress=tell, **groups)
        print_cost(cost, console)
        return
    from soundness.auditing import audit as run_audit
    from soundness.report.terminal import print_run

    with progress(console, quiet) as tell:
        run = run_audit(base, tuned, problems, out=out, on_progress=tell, **groups)
    print_run(run, console, every=verbose or bool(measuring.metrics))


@app.command()
@takes(sampling=SamplingOptions, measuring=Measuring, loading=LoadOptions)
def score(
    traces: Annotated[Path, typer.Argument(help="JSON Lines: question, answer, trace (or steps), model.")],
    scorer: Annotated[str, typer.Option(help="Model that reads the chains.")],
    out: Out,
    sampling: SamplingOptions,
    measuring: Measuring,
    loading: LoadOptions,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Score chains that other models wrote, closed ones included, with one model as the yardstick."""
    from soundness.auditing import score as run_score
    from soundness.report.terminal import print_run

    console = make_console()
    with progress(console, quiet) as tell:
        run = run_score(
            traces,
            scorer=scorer,
            out=out,
            limit=limit,
            sampling=sampling,
            measuring=measuring,
            loading=loading,
            on_progress=tell,
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

    console = make_console()
    with progress(console, quiet) as tell:
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
            on_progress=tell,
        )
    print_run(run, console)
