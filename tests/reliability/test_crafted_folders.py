"""Run folders that somebody else made: shown, or refused in one short line that names the file."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from soundness.auditing import audit
from soundness.report.gate import gate, junit
from soundness.report.page import write_page
from soundness.report.show import print_problem
from soundness.report.terminal import print_run
from soundness.runs.folder import Run, open_run
from soundness.runs.folder import _own_digest as own_digest
from soundness.studies.power import plan_from_run
from soundness.terminal import console

from .conftest import Attacks, flipped

NONSENSE: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**40,
    "",
    "\x1b[2J",
    "[/red]",
    "../../etc/passwd",
    "\u202e",
    [],
    {},
    [[]],
    {"a": {"b": [None]}},
    ["x"] * 50,
    "x" * 5_000,
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "run"
    tuned = ["scripted:ignores-chain?slip=0.3&seed=1"]
    audit(
        "scripted:computes?slip=0.3", tuned, "chain-sum", limit=4, metrics=["info_gain", "calibration"], out=path, batch_size=4
    )
    return path


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in parts for place in places(part, (*at, key)))]


def changed(value: Any, at: tuple[Any, ...], new: Any, rng: random.Random) -> Any:
    """Return a JSON value with what stands at a place replaced, left out or doubled."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    how = rng.random()
    if len(at) == 1 and how < 0.2 and isinstance(copy, dict):
        del copy[at[0]]
    elif len(at) == 1 and how < 0.3 and isinstance(copy, dict):
        copy[f"{at[0]} too"] = copy[at[0]]
    else:
        copy[at[0]] = changed(copy[at[0]], at[1:], new, rng)
    return copy


def craft_json(path: Path, rng: random.Random) -> str:
    value = json.loads(path.read_text(encoding="utf-8"))
    at = rng.choice(places(value))
    new = rng.choice(NONSENSE)
    value = changed(value, at, new, rng)
    if path.name == "run.json" and isinstance(value, dict) and rng.random() < 0.8:  # by somebody who knows of the digest
        value["digest"] = own_digest(value)
    path.write_text(json.dumps(value), encoding="utf-8")
    return f"{path.name} at {at}: {new!r}"


def craft_table(path: Path, rng: random.Random) -> str:
    """Change one cell or column of a table, and leave out its digest, which would refuse it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run_file = path.parent / "run.json"
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # it may be harmed already
        document = json.loads(run_file.read_text(encoding="utf-8"))
        document["digests"].pop(path.name, None)
        document["digest"] = own_digest(document)
        run_file.write_text(json.dumps(document), encoding="utf-8")
    table = pq.read_table(path)
    name = rng.choice(table.column_names)
    rows = table.to_pylist()
    if rng.random() < 0.15 or not rows:
        pq.write_table(table.drop_columns([name]), path)
        return f"{path.name} without {name}"
    row = rng.randrange(len(rows))
    old = rows[row][name]
    new: Any = (
        rng.choice(["", "nobody", "\x1b[2J", "[/red]", "x" * 5_000, "{"])
        if isinstance(old, str)
        else rng.choice([0, -1, 7, 10**6])
    )
    if isinstance(old, list):
        new = rng.choice([[], old[:1], old * 2])
    if isinstance(old, bool):
        new = not old
    rows[row][name] = new
    if rng.random() < 0.2:
        rows.append(dict(rows[row]))
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    except (pa.ArrowException, TypeError, OverflowError):
        path.write_bytes(flipped(path.read_bytes(), rng))
    return f"{path.name} row {row} {name}: {new!r}"


def craft_file(path: Path, rng: random.Random) -> str:
    """Remove, empty, cut, flip, link or exchange a whole file."""
    content = path.read_bytes()
    path.unlink()
    how = rng.choice(["removed", "empty", "cut", "bits", "folder", "link to nothing", "link out", "pipe", "other file", "text"])
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif how == "bits":
        for _ in range(rng.choice([1, 1, 10])):
            content = flipped(content, rng)
        path.write_bytes(content)
    elif how == "folder":
        path.mkdir()
    elif how == "link to nothing":
        path.symlink_to(path.parent / "nothing")
    elif how == "link out":
        path.symlink_to("/etc/hostname")
    elif how == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif how == "other file":
        shutil.copy(rng.choice([one for one in path.parent.iterdir() if one.is_file()]), path)
    elif how == "text":
        path.write_text("[" * 50_000)
    return f"{path.name} {how}"


def crafted(original: Path, path: Path, rng: random.Random) -> str:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(original, path)
    kinds: dict[str, Callable[[Path, random.Random], str]] = {".json": craft_json, ".parquet": craft_table}
    done = []
    for _ in range(rng.choice([1, 1, 1, 2])):
        files = [one for one in path.iterdir() if one.is_file() and one.suffix in (".json", ".parquet", ".sqlite")]
        names = sorted(one for one in files if one.stat().st_size)
        if not names:
            break
        target = rng.choice([*names, path / "run.json", path / "run.json"])
        if not target.is_file():
            continue
        craft = kinds.get(target.suffix, craft_file) if rng.random() < 0.7 and not done else craft_file
        done.append(craft(target, rng))
    return "; ".join(done)


def uses(path: Path) -> dict[str, Callable[[], Any]]:
    """Return what the command line does with a run folder, by the command."""

    def terminal(out: StringIO) -> Any:
        return console(file=out, width=100)

    def traces() -> None:
        with open_run(path) as run:
            run.store.counts()

    def python() -> None:
        run = open_run(path)
        repr(run)
        run.comparison("info_gain")
        for read in (run.problems, run.chains, run.readings, run.scores, run.cases, run.edits):
            read()

    def passed() -> None:
        run = open_run(path)
        found = gate(run, {"hollowed"})
        junit(found, run)

    return {
        "show": lambda: print_run(open_run(path), terminal(StringIO()), every=True),
        "show PROBLEM": lambda: print_problem(open_run(path), first_problem(open_run(path)), terminal(StringIO())),
        "report": lambda: write_page(open_run(path), path.parent / "report.html"),
        "gate": passed,
        "power --run": lambda: plan_from_run(path, "info_gain", 0.3),
        "Run": python,
        "Run.store": traces,
    }


def first_problem(run: Run) -> str:
    problems = run.problems()
    return problems[0].id if problems else "none"


def attack(original: Path, folder: Path, count: int, seed: int, attacks: Attacks) -> None:
    rng = random.Random(f"folders/{seed}")
    for number in range(count):
        what = crafted(original, folder / "run", rng)
        for name, use in uses(folder / "run").items():
            attacks.tried(f"folder {number}, {name}: {what}", use)
    attacks.finish(count)
    assert attacks.counts["survived"] > count and attacks.counts["refused"] > count / 2


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are a Unix thing")
def test_a_few_folders(original: Path, tmp_path: Path, attacks: Attacks) -> None:
    attack(original, tmp_path, 25, 1, attacks)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are a Unix thing")
def test_a_thousand_folders(original: Path, tmp_path: Path, attacks: Attacks) -> None:
    attack(original, tmp_path, 1_000, 2, attacks)
