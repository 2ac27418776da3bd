"""Imports flow one way, told from the source alone.

Every part may import those that stand before it in `ORDER`, and nothing behind it. Imports inside a function are checked for torch's
and the command line's sake only: they are how heavy things are kept out, and how a specification finds what hangs off the core.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import soundness

ROOT = Path(soundness.__file__).parent

ORDER = (
    ("errors", "processes"),
    ("records",),
    ("answers",),
    ("statistics", "probes"),
    ("tasks", "organisms"),
    ("models",),
    ("chains",),
    ("interventions",),
    ("metrics",),
    ("runs",),
    ("scoring",),
    ("comparison",),
    ("auditing",),
)
"""The core, in the order in which data passes; what is not named here hangs off it: it may import the core, the core not it."""

CORE = {name: rank for rank, names in enumerate(ORDER) for name in names}

TORCH = {"models/transformers.py", "models/packed.py", "models/unpacked.py", "models/gguf.py"}
"""Files of the core that may import torch as they are loaded. What trains may as well."""

TRAINS = ("training/", "organisms/", "elicitation/", "papers/")


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def part_of(module: str) -> str:
    """Return the part that a module (without the leading package) belongs to."""
    if module in CORE or module.startswith("organisms."):  # where organisms lie is core, how they are made hangs off it
        return module
    return module.split(".")[0]


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


def backward(module: str, imported: set[str]) -> list[str]:
    """Return those of `imported` that stand behind `module`."""
    part = part_of(module)
    if part not in CORE:
        return []
    wrong = []
    for other in sorted(imported):
        target = part_of(other)
        if target != part and CORE.get(target, len(ORDER)) >= CORE[part]:
            wrong.append(other)
    return wrong


@pytest.mark.parametrize("path", files(), ids=name_of)
def test_imports_flow_one_way(path):
    module = name_of(path)
    assert not backward(module, ours(imports(path, inside_functions=False)))


def test_the_rule_bites():
    assert backward("tasks.jsonl", {"records", "models.base"}) == ["models.base"]
    assert backward("models.base", {"tasks.base", "training.sft"}) == ["training.sft"]
    assert backward("auditing", {"comparison.verdict", "report.terminal"}) == ["report.terminal"]
    assert backward("training.sft", {"auditing"}) == []


def test_nothing_imports_the_command_line():
    who = {name_of(path) for path in files() if "soundness.cli" in imports(path, inside_functions=True)}
    assert "__main__" in who
    assert all(name.endswith("__main__") for name in who), "only `python -m` is another way in"


def test_no_module_needs_itself():
    graph = {name_of(path): ours(imports(path, inside_functions=False)) for path in files()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in done:
            for other in sorted(graph[module] - {module}):
                if not module.startswith(f"{other}."):  # a package's own __init__ is loaded before its modules
                    visit(other, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


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
