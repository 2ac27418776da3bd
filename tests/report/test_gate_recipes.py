"""The recipes of docs/gate.md are run: their commands on scripted models, their YAML by a parser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from soundness.tasks.base import load_task

PAGE = Path(__file__).parents[2] / "docs" / "gate.md"


def recipes() -> list[dict[str, Any]]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)]


def commands_of(recipe: Any) -> list[str]:
    if isinstance(recipe, str):
        return [recipe] if recipe.startswith("soundness ") else []
    parts = recipe.values() if isinstance(recipe, dict) else recipe if isinstance(recipe, list) else []
    return [command for part in parts for command in commands_of(part)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a recipe finds it: problems to ask, and a command called soundness."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "eval").mkdir()
    rows = [asdict(problem) for problem in load_task("chain-sum", limit=24, seed=0).problems]
    fields = ("id", "question", "answer")
    (root / "eval" / "problems.jsonl").write_text("".join(json.dumps({f: row[f] for f in fields}) + "\n" for row in rows))
    (root / "bin").mkdir()
    (root / "bin" / "soundness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m soundness "$@"\n')
    (root / "bin" / "soundness").chmod(0o755)
    return root


def run(command: str, root: Path, expected: int) -> None:
    environment = {
        **os.environ,
        "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "BASE": "scripted:computes?slip=0.2",
        "TUNED": "scripted:ignores-chain?slip=0.2&seed=1",
    }
    done = subprocess.run(["sh", "-c", command], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the recipes are for a Unix shell")
def test_the_recipes_run_as_they_stand(checkout: Path) -> None:
    github, gitlab = map(commands_of, recipes())
    assert (
        [command.split()[1] for command in github] == [command.split()[1] for command in gitlab] == ["audit", "report", "gate"]
    )
    assert github[:2] == gitlab[:2]
    run(github[0], checkout, 0)
    run(github[1], checkout, 0)
    run(github[2], checkout, 1)  # the tuned model ignores its chain
    assert ET.parse(checkout / "gate.xml").getroot().get("failures") == "1"
    run(gitlab[2], checkout, 1)
    assert (checkout / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_recipes_are_what_their_services_read() -> None:
    github, gitlab = recipes()
    assert set(github) >= {"name", "env", "jobs"}
    assert github["env"].keys() == gitlab["reasoning"]["variables"].keys() == {"BASE", "TUNED"}
    steps = github["jobs"]["audit"]["steps"]
    assert all(set(step) & {"uses", "run"} for step in steps) and steps[-1]["if"] == "always()"
    assert gitlab["reasoning"]["artifacts"]["reports"]["junit"] == "gate.xml"
    assert gitlab["reasoning"]["allow_failure"]["exit_codes"] == 2
