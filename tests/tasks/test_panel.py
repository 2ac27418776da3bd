from __future__ import annotations

from pathlib import Path

import pytest

from soundness.errors import TaskError
from soundness.tasks.panel import load_panel


def write(folder: Path, text: str) -> Path:
    path = folder / "panel.toml"
    path.write_text(text)
    return path


def test_worlds_and_files_beside_the_panel(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"question": "2 + 2?", "answer": "4"}\n{"question": "1 + 1?", "answer": "2"}\n')
    panel = load_panel(
        write(
            tmp_path,
            '[[task]]\nname = "sums"\nworld = "chain-sum:operators=2"\nlimit = 3\n[[task]]\nname = "own"\nfile = "own.jsonl"\n',
        )
    )
    assert [(one.name, len(one.task.problems)) for one in panel] == [("sums", 3), ("own", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[task]\n", "is not TOML"),
        ("", "has no \\[\\[task\\]\\]"),
        ('[[tasks]]\nname = "a"\n', "unknown table 'tasks' \\(did you mean 'task'"),
        ('[[task]]\nname = "a"\nworld = "chain-sum"\nlimt = 3\n', "unknown key 'limt' \\(did you mean 'limit'"),
        ('[[task]]\nworld = "chain-sum"\n', "task 1: needs a name"),
        ('[[task]]\nname = "a"\n', "needs one of file, hub, world, and has none"),
        ('[[task]]\nname = "a"\nworld = "chain-sum"\nfile = "x"\n', "has file, world"),
        ('[[task]]\nname = "a"\nfile = "absent.jsonl"\n', "there is no file .*absent.jsonl"),
        ('[[task]]\nname = "a"\nworld = "chain-sum"\nlimit = 0\n', "limit needs a whole number"),
        ('[[task]]\nname = "a"\nworld = "chain-summ"\n', "task 1 \\(a\\): there is no task"),
        ('[[task]]\nname = "a"\nworld = "chain-sum"\n[[task]]\nname = "a"\nworld = "lookup"\n', "names two tasks 'a'"),
    ],
)
def test_a_bad_panel_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        load_panel(write(tmp_path, text))


def test_a_missing_panel(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="there is no panel"):
        load_panel(tmp_path / "none.toml")
