"""One bit of a run folder changes: nothing that is shown changes unsaid, and the same command computes the same results again."""

from __future__ import annotations

import json
import random
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from soundness.auditing import audit
from soundness.errors import SoundnessError
from soundness.report.terminal import print_run
from soundness.runs import folder as folders
from soundness.runs.folder import Run, open_run
from soundness.terminal import console

from .conftest import Attacks, flipped


def run(out: Path) -> Run:
    tuned = ["scripted:ignores-chain?slip=0.3&seed=1"]
    metrics = ["info_gain"]
    return audit("scripted:computes?slip=0.3", tuned, "chain-sum", limit=4, metrics=metrics, out=out, noise_floor=False)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "run"
    run(path)
    return path


def shown(path: Path) -> str:
    out = StringIO()
    with open_run(path) as opened:
        print_run(opened, console(file=out, width=120), every=True)
        for read in (opened.problems, opened.chains, opened.readings, opened.scores, opened.cases, opened.edits):
            out.write(repr(read()))
    return out.getvalue().replace(str(path), "RUN")


def results(path: Path) -> Any:
    return (path / "comparisons.json").read_bytes(), json.loads((path / "run.json").read_text())["verdicts"]


def attack(original: Path, tmp_path: Path, count: int, seed: int, attacks: Attacks, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"bits/{seed}")
    expected, as_shown = results(original), shown(original)
    names = sorted(path.name for path in original.iterdir() if path.stat().st_size and path.name not in (".lock",))
    silent: list[str] = []
    for number in range(count):
        path = tmp_path / "run"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(original, path)
        name = rng.choice([*names, "store.sqlite", "store.sqlite"])
        (path / name).write_bytes(flipped((path / name).read_bytes(), rng))
        found = attacks.tried(f"{number}: show, {name}", lambda path=path: shown(path))
        if found is not None and found != as_shown and not open_run(path).changes():
            silent.append(f"{number}: {name} is shown otherwise, and nothing is said")
        with monkeypatch.context() as patched:
            patched.setattr(folders, "code_digest", lambda: "another code")  # nothing is taken as it is
            again = attacks.tried(f"{number}: audit again, {name}", lambda path=path: run(path))
        if again is not None:
            if results(path) != expected:
                silent.append(f"{number}: {name} gave other results")
            again.close()
    assert not silent, silent
    attacks.finish(2 * count)
    assert attacks.counts["survived"] > count / 2 and attacks.counts["refused"] > count / 10


def test_a_few_bits(original: Path, tmp_path: Path, attacks: Attacks, monkeypatch: pytest.MonkeyPatch) -> None:
    attack(original, tmp_path, 10, 1, attacks, monkeypatch)


@pytest.mark.slow
def test_many_bits(original: Path, tmp_path: Path, attacks: Attacks, monkeypatch: pytest.MonkeyPatch) -> None:
    attack(original, tmp_path, 300, 2, attacks, monkeypatch)


def test_a_damaged_trace_is_named_and_computed_again(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    path = tmp_path / "run"
    shutil.copytree(original, path)
    connection = sqlite3.connect(path / "store.sqlite")
    for table, column in (("generations", "ids"), ("readings", "token_nats")):
        connection.execute(
            f"UPDATE {table} SET {column} = zeroblob(length({column})) WHERE key = (SELECT max(key) FROM {table})"
        )
    connection.commit()
    connection.close()
    monkeypatch.setattr(folders, "code_digest", lambda: "another code")
    run(path)
    assert results(path) == results(original)
    assert "2 entries of the store were damaged and computed again" in open_run(path).changes()
    names = open_run(path).document["repaired"]["first"]
    assert [name.split()[0] for name in names] == ["generation", "reading"]


def test_a_run_that_was_interrupted_leaves_no_half_results(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise SoundnessError("no room")

    path = tmp_path / "run"
    shutil.copytree(original, path)
    monkeypatch.setattr(folders, "code_digest", lambda: "another code")
    monkeypatch.setattr(Run, "write_results", full)
    with pytest.raises(SoundnessError, match="no room"):
        run(path)
    assert results(path) == results(original) and open_run(path).finished
