"""Training methods, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from soundness.options import describe
from soundness.training.methods import METHODS, about, load_method
from soundness.training.settings import Settings

__all__ = ["print_method", "print_methods"]


def print_methods(console: Console) -> None:
    """Print what every method is, where it comes from, what it needs and costs, and when to use it."""
    for name in METHODS:
        _print_about(name, console)
    console.print("\ntrain with: soundness train METHOD --model MODEL --task TASK --out FOLDER")
    console.print("its options: soundness methods METHOD")


def print_method(name: str, console: Console) -> None:
    """Print what one method is, its options and the settings that all methods share. Raises SettingError for an unknown name."""
    kind = load_method(name).Config
    _print_about(name, console)
    for title, of in (
        (f"options of {name}: -o NAME=VALUE, or at the top level of --config FILE", kind),
        ("settings of all methods: [settings] in --config FILE, or the command's own options", Settings),
    ):
        table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column()
        for option in describe(of()):
            choices = f" One of {option.kind.removeprefix('one of ')}." if option.kind.startswith("one of ") else ""
            table.add_row(Text(option.name), Text(_shown(option.default)), Text(option.description + choices))
        console.print()
        console.print(table)


def _print_about(name: str, console: Console) -> None:
    words = about(name)
    console.print(Text.assemble((words.name, "bold"), f"  {words.title}"))
    for label, text in (
        ("paper", "; ".join(words.papers)),
        ("needs", words.needs),
        ("cost", words.cost),
        ("when", words.when),
        *(("differs", one) for one in words.differs),
    ):
        console.print(Text(f"    {label:8}{text}", style="dim" if label == "differs" else ""))


def _shown(default: object) -> str:
    """Return a default as it would be written on the command line; nothing where there is none."""
    if default is None or default in ("", {}):
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    return str(list(default)) if isinstance(default, tuple) else str(default)
