"""What the source may not do, told from the source alone: imports go one way, torch stays where tensors are, nobody prints."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import soundness

ROOT = Path(soundness.__file__).parent
REPOSITORY = Path(__file__).parents[1]

TORCH = {
    "models/adapters.py",
    "models/gguf.py",
    "models/modules.py",
    "models/packed.py",
    "models/readers.py",
    "models/rotary.py",
    "models/sampling.py",
    "models/transformers.py",
    "models/unpacked.py",
}
"""Files of the core that may import torch as they are loaded. What trains may as well."""

TRAINS = ("training/", "organisms/", "elicitation/", "papers/")


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path, *, inside_functions: bool) -> set[str]:
    """Return what `path` imports, dotted, type checking left out; inside functions too where asked."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not inside_functions:
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} imports relatively"
                found.add(child.module)
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


def ours(names: set[str]) -> set[str]:
    """Return the modules of this package among `names`, without its own name."""
    known = {name_of(path) for path in files()}
    return {name.removeprefix("soundness.") for name in names if name.startswith("soundness.")} & known


def test_imports_go_one_way():
    """The contract stands in pyproject.toml: what a room may know, in the order in which data passes."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


PRIVATE = re.compile(r"_[^_]")  # a leading underscore that is no dunder


def private_imports(path: Path) -> list[str]:
    """Return the private names that `path` takes from other modules of this package."""
    taken = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("soundness"):
            taken += [f"{node.module}.{alias.name}" for alias in node.names if PRIVATE.match(alias.name)]
    return taken


BORROWERS = {"chains.imported", "chains.sample", "training.gain", "training.model_in_training"}


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_private_names_stay_in_their_module(path):
    if name_of(path) in BORROWERS:
        pytest.xfail("still borrows a private name")
    assert not private_imports(path)


def test_torch_is_imported_where_tensors_are():
    heavy = {"torch", "transformers", "peft", "trl", "datasets"}
    who = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if {name.split(".")[0] for name in imports(path, inside_functions=False)} & heavy
    }
    assert {one for one in who if not one.startswith(TRAINS)} <= TORCH
    assert who >= TORCH - {"models/gguf.py"}


def test_nobody_prints_but_the_command_line_and_reports():
    who = set()
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                who.add(path.relative_to(ROOT).as_posix())
    assert not who


def test_errors_are_not_swallowed():
    """No `except Exception: pass`, in any spelling."""
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or (
                    isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
                )
                silent = all(isinstance(line, (ast.Pass, ast.Continue)) for line in node.body)
                assert not (broad and silent), f"{path}:{node.lineno}"
