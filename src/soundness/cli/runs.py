"""Commands that read what is there: runs, tasks, traces, metrics."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundness.cli.options import takes
from soundness.cli.shared import Columns, columns_of, group, make_console
from soundness.errors import SettingError
from soundness.tasks.prompts import Prompting
from soundness.terminal import say

if TYPE_CHECKING:
    from soundness.interchange.traces import Imported

app = group()
import_app = group("Traces from other harnesses.")
app.add_typer(import_app, name="import")
export_app = group("Runs for other viewers.")
app.add_typer(export_app, name="export")


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
        print_run(open_run(run), make_console(), every=True)
    else:
        print_problem(open_run(run), problem, make_console(), reader=by)


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
def metrics(name: Annotated[str | None, typer.Argument(help="One metric or family; all if left out.")] = None) -> None:
    """Explain every metric: what it measures, what it does not tell, sign, unit, cost, source."""
    from soundness.documentation import print_metrics

    print_metrics(name, make_console())


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


@import_app.command("verl")
def import_verl(
    dumps: Annotated[list[Path], typer.Argument(help="Rollout dumps of verl (JSON Lines with input and output).")],
    out: Annotated[Path, typer.Option(help="Folder for traces.jsonl.")],
    model: Annotated[
        str | None, typer.Option(help="Name of the writer, in front of the step; the run or file if left out.")
    ] = None,
) -> None:
    """Make traces of verl's rollouts, each training step a writer, ready for `soundness score`."""
    from soundness.interchange.rollouts import import_verl as read
    from soundness.interchange.traces import write_traces

    _say_imported(imported := read(dumps, model=model), write_traces(imported, out))


@import_app.command("trl")
def import_trl(
    logs: Annotated[list[Path], typer.Argument(help="Completions that TRL logged (completions_*.parquet).")],
    out: Annotated[Path, typer.Option(help="Folder for traces.jsonl.")],
    model: Annotated[str | None, typer.Option(help="Name of the writer, in front of the step; the folder if left out.")] = None,
) -> None:
    """Make traces of TRL's completions, each training step a writer, ready for `soundness score`."""
    from soundness.interchange.rollouts import import_trl as read
    from soundness.interchange.traces import write_traces

    _say_imported(imported := read(logs, model=model), write_traces(imported, out))


@import_app.command("chat")
def import_chat(
    logs: Annotated[list[Path], typer.Argument(help="JSON Lines of chat completions: messages and response.")],
    out: Annotated[Path, typer.Option(help="Folder for traces.jsonl.")],
    model: Annotated[str | None, typer.Option(help="Name of the writer; what each line says if left out.")] = None,
) -> None:
    """Make traces of OpenAI-style chat logs, reasoning included, ready for `soundness score`."""
    from soundness.interchange.chat_logs import import_chats as read
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


tasks_app = group("Look at a task as a model will see it.")
app.add_typer(tasks_app, name="tasks")


@tasks_app.command("show")
@takes(prompting=Prompting)
def show_task(
    task: Annotated[str, typer.Argument(help="A file, hub:NAME:CONFIG:SPLIT, or a synthetic task.")],
    prompting: Prompting,
    limit: Annotated[int, typer.Option(help="Problems shown.", min=1)] = 3,
    column: Columns = None,
    model: Annotated[str | None, typer.Option(help="Model whose chat template is filled in.")] = None,
) -> None:
    """Print some problems as a model will see them, with what is expected."""
    from soundness.tasks.base import load_task
    from soundness.tasks.show import show_task as describe

    loaded = None
    if model is not None:
        from soundness.models.load import load_model

        loaded = load_model(model)
    say(describe(load_task(task, columns=columns_of(column), prompt=prompting), num=limit, model=loaded), sys.stdout, most=None)


@app.command()
def doctor() -> None:
    """Print versions, devices and which optional packages are there."""
    from soundness.report.doctor import doctor_report

    say(doctor_report(), sys.stdout, most=None)
