"""The command line: a thin door. Each command parses, calls one function of the library and prints what came back.

Exit codes: 0 done (for `audit`: whatever the verdict), 3 an error that the message explains, a command that cannot be parsed
included, 130 interrupted (what was computed is kept; the same command goes on). `gate` alone also has 1 (hollowed or lost) and 2
(insufficient evidence); no error ever ends in those two. `--debug`, anywhere in a command, shows the traceback of an error.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from soundness.errors import SettingError, SoundnessError, describe, near
from soundness.terminal import notes_on_terminal, say

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "audit": ("audits", "Compare tuned models with their base on the same problems: chains, readings, table, verdict."),
    "report": ("runs", "Write a run's page: one HTML file with verdicts, measures, curves, flips and chains."),
    "show": ("runs", "Print the chains for one problem, each step with its gain; or every measure of a run."),
    "gate": ("runs", "Turn verdicts into an exit code for CI."),
    "score": ("audits", "Score chains that other models wrote, closed ones included, with one model as the yardstick."),
    "demo": ("audits", "Audit two tuned models whose history is known: one reasons, one ignores its own chain."),
    "tasks": ("runs", "Look at a task as a model will see it."),
    "import": ("runs", "Traces from other harnesses."),
    "export": ("runs", "Runs for other viewers."),
    "metrics": ("runs", "Explain every metric: what it says, what it does not, sign, unit, cost, source."),
    "train": ("trainings", "Train a model by one of the methods; the result is audited like any other."),
    "methods": ("trainings", "List the training methods, or one with all its options."),
    "compare": ("trainings", "Train several ways, audit all against the base at matched accuracy, and write one page."),
    "organisms": ("trainings", "Tiny models with a known history, shipped as organism:NAME."),
    "power": ("studies", "Say how many problems show a change of a given size."),
    "validate": ("studies", "Prove the instrument on planted models."),
    "reproduce": ("studies", "Run a paper's claim again, small, and say whether it is confirmed or refuted at that scale."),
    "doctor": ("runs", "Print versions, devices and which optional packages are there."),
}
"""Command -> (module of this package that holds it, what it does in one line), in the order of the help page.

A command's module is imported when it is asked for, so that the help page and every other command start without what it needs.
"""


class Door(TyperGroup):
    """Commands by name, imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name. Raises SettingError, with near names, where there is none."""
        if cmd_name not in COMMANDS:
            raise SettingError(f"there is no command {cmd_name!r}{near(cmd_name, COMMANDS)}; `soundness --help` lists them")
        module = import_module(f"soundness.cli.{COMMANDS[cmd_name][0]}")
        return typer.main.get_group(module.app).commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


app = typer.Typer(
    name="soundness",
    cls=Door,
    help="Does a fine-tuned model still reason its way to the answer, or only land on it?",
    epilog="--debug, with any command, shows where an error comes from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"soundness {version('soundness')}")
        raise typer.Exit


@app.callback()
def door(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Does a fine-tuned model still reason its way to the answer, or only land on it?"""


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
