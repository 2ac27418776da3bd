"""The page about tasks is run: its files are written, its Python and its commands give what it shows."""

from __future__ import annotations

import contextlib
import doctest
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from soundness.cli import main
from soundness.tasks.fields import COLUMNS
from soundness.tasks.prompts import Prompting
from soundness.tasks.sources import SUFFIXES

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
FILES = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"<!-- run -->\n```console\n\$ soundness (.*?)\n(.*?)```", PAGE, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES:
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_is_something_to_run():
    assert len(FILES) >= 4 and len(COMMANDS) >= 2 and len(PYTHON) >= 4


@pytest.mark.parametrize("number", range(len(COMMANDS)))
def test_commands_print_what_the_page_shows(number: int, folder: Path, capsys, monkeypatch):
    command, shown = COMMANDS[number]
    monkeypatch.setattr(sys, "argv", ["soundness", *command.split()])
    with contextlib.suppress(SystemExit):
        main()
    assert capsys.readouterr().out.strip() == shown.strip()


def test_python_gives_what_the_page_shows(folder: Path, caplog: pytest.LogCaptureFixture):
    code = "\n".join(PYTHON)
    test = doctest.DocTestParser().get_doctest(code, {}, "docs/tasks.md", "docs/tasks.md", 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_every_option_column_and_ending_is_on_the_page():
    for name in [*(one.name for one in fields(Prompting)), *COLUMNS, *SUFFIXES]:
        assert f"`{name}`" in PAGE or f"`{name}=" in PAGE, name
