"""Which methods there are, what each needs, and how one is run by name or from a file."""

from __future__ import annotations

import ast
import inspect
import tempfile
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from soundness.errors import RunError, SettingError, near
from soundness.tasks.base import Task
from soundness.training.common import RECORD, About, Progress, Settings, other_training, read_record, task_of

if TYPE_CHECKING:
    from soundness.training.monitor import SoundnessMonitor

__all__ = [
    "METHODS",
    "DryRun",
    "Option",
    "about",
    "dry_run",
    "load_method",
    "options_of",
    "parse_options",
    "read_config",
    "train",
    "train_once",
]

METHODS: dict[str, str] = {
    name: f"soundness.training.{name}" for name in ("sft", "cpt", "rlvr", "rlsf", "rlag", "cft", "sdft", "curriculum", "gain")
}
"""Method -> the module that holds its ABOUT, its Config and its train."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a training run would take, from one step of it."""

    num_examples: int
    """Examples to learn from."""
    num_steps: int
    """Optimiser steps in all."""
    seconds_per_step: float
    """As measured on the one step."""
    memory: float
    """Most memory held, bytes."""
    loss: float
    """Loss of the one step."""

    @property
    def seconds(self) -> float:
        """Expected time, loading excluded."""
        return self.num_steps * self.seconds_per_step


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a method, or one common setting."""

    name: str
    """As it is given: `-o NAME=VALUE`."""
    kind: str
    """What it holds, in words."""
    default: Any
    """Its value where none is given."""
    says: str
    """What it does."""


def load_method(name: str) -> Any:
    """Return the module of a method. Raises SettingError for an unknown name."""
    if name not in METHODS:
        raise SettingError(f"there is no training method {name!r}{near(name, METHODS)}; there are {', '.join(METHODS)}")
    return import_module(METHODS[name])


def about(name: str) -> About:
    """Return what a method is, in words."""
    found: About = load_method(name).ABOUT
    return found


def read_config(
    name: str, file: Path | str | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Return the configuration of a method and the common settings that a TOML file gives.

    The file holds the method's own options at its top level, common settings in a table `[settings]` and options for the trainer
    itself in `[trainer]`. `values` override the file's own options. Raises SettingError for what cannot be read or is not known.
    """
    kind = load_method(name).Config
    given: dict[str, Any] = {}
    if file is not None:
        try:
            given = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingError(f"cannot read {file}: {error}") from error
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"{file} is not TOML: {error}") from error
    common = given.pop("settings", {})
    trainer = given.pop("trainer", {})
    if not isinstance(common, dict) or not isinstance(trainer, dict):
        raise SettingError(f"{file}: settings and trainer are tables: write [settings] and [trainer]")
    if trainer:
        common["trainer"] = trainer
    build_config(Settings, common, where=f"{file}, [settings]")
    return build_config(kind, {**given, **(values or {})}, where=str(file or name)), common


def build_config(kind: Any, values: Mapping[str, Any], *, where: str) -> Any:
    """Return the dataclass `kind` filled with `values`, tables into its dataclasses, lists into tuples.

    Raises SettingError for an unknown name and for a value that its field cannot hold.
    """
    _check_keys(where, values, kind)
    hints = get_type_hints(kind)
    filled: dict[str, Any] = {}
    for one in fields(kind):
        if one.name not in values:
            continue
        value, hint = values[one.name], hints[one.name]
        if is_dataclass(hint):
            # What a table leaves out is as in the method's own default, which need not be that of the table's class.
            own = _by_name(_default(one))
            given = {**own, **value} if isinstance(value, Mapping) else value
            filled[one.name] = build_config(hint, given, where=f"{where}, [{one.name}]")
            continue
        if not _fits(value, hint):
            close = near(value, get_args(hint)) if get_origin(hint) is Literal and isinstance(value, str) else ""
            raise SettingError(f"{where}: {one.name} wants {_kind(hint)}, and it is {value!r}{close}")
        if isinstance(value, list):
            value = tuple(value)
        filled[one.name] = float(value) if hint is float else value
    return kind(**filled)


def _default(one: Field[Any]) -> Any:
    return one.default_factory() if callable(one.default_factory) else one.default


def _by_name(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(config)}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value as TOML gives it can stand in a field of this type.

    >>> _fits(3, float), _fits(True, int), _fits(None, int | None), _fits([1, 2], tuple[int, ...]), _fits("b", Literal["a"])
    (True, False, True, True, False)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return type(value) in {type(one) for one in arguments} and value in arguments
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(_fits(one, arguments[0]) for one in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint in _KINDS:
        return type(value) is hint
    return isinstance(value, origin) if origin is not None else hint is Any


def _kind(hint: Any) -> str:
    """Return in words what a field of this type holds."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"a list (each {_kind(arguments[0])})"
    return _KINDS.get(hint, "a table")


def options_of(config: Any, table: str = "") -> list[Option]:
    """Return the options of a configuration with its values as defaults, those of its tables after a dot, in their source's order."""
    hints, said = get_type_hints(type(config)), _said_of(type(config))
    found: list[Option] = []
    for name, value in _by_name(config).items():
        if is_dataclass(value):
            found += options_of(value, f"{table}{name}.")
        else:
            found.append(Option(f"{table}{name}", _kind(hints[name]), value, said.get(name, "")))
    return found


def _said_of(kind: Any) -> dict[str, str]:
    """Return what the source says under each field of a dataclass; Python does not keep these texts."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError):  # only compiled files are installed
        return {}
    assert isinstance(tree, ast.ClassDef)
    return {
        one.target.id: " ".join(text.value.value.split())
        for one, text in pairwise(tree.body)
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Return options given as NAME=VALUE, values read as TOML where they are, as text otherwise; a dot enters a table.

    >>> parse_options(["scheme=format", "policy.num_generations=4", "anchored=false"])
    {'scheme': 'format', 'policy': {'num_generations': 4}, 'anchored': False}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise SettingError(f"an option is NAME=VALUE, such as scheme=format, and this is {pair!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        table = found
        *tables, last = name.split(".")
        for one in tables:
            table = table.setdefault(one, {})
        table[last] = value
    return found


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "nothing"}


def _check_keys(where: str, values: Mapping[str, Any], kind: Any) -> None:
    if not isinstance(values, Mapping):
        raise SettingError(f"{where}: a table was wanted, and it is {values!r}")
    known = [one.name for one in fields(kind)]
    for name in values:
        if name not in known:
            raise SettingError(f"{where}: there is no option {name!r}{near(name, known)}; there are {', '.join(known)}")


def train(
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Any = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Return the folder `out`, which holds `model` tuned on `task` by `method`.

    `config` is the method's own `Config`, or its options by name. Raises a SoundnessError for whatever the user can mend.
    """
    module = load_method(method)
    if isinstance(config, Mapping):
        config = build_config(module.Config, config, where=method)
    folder: Path = module.train(
        model, task, out=out, config=config, settings=settings, monitor=monitor, on_progress=on_progress
    )
    return folder


def train_once(
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Any = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Return the folder `out` as `train` does, or as it is where it already holds this very training.

    Raises RunError where it holds another one, and a SoundnessError for whatever else the user can mend.
    """
    folder = Path(out).expanduser()
    if not (folder / RECORD).is_file():
        return train(
            method, model, task, out=folder, config=config, settings=settings, monitor=monitor, on_progress=on_progress
        )
    kind = load_method(method).Config
    asked = build_config(kind, config, where=method) if isinstance(config, Mapping) else config or kind()
    settings = settings or Settings()
    other = other_training(folder, method, model, task_of(task, seed=settings.seed), asked, settings)
    if other:
        raise RunError(
            f"{folder} holds a training with another {', '.join(other)}: choose another folder, or remove that one to train anew"
        )
    return folder


def dry_run(method: str, model: str, task: Task | str, *, config: Any = None, settings: Settings | None = None) -> DryRun:
    """Return what training would take: the data are checked, the model is loaded, one step is done and thrown away."""
    import math

    from soundness.training.common import peak_memory

    settings = settings or Settings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = train(
            method,
            model,
            task,
            out=Path(scratch) / "dry-run",
            config=config,
            settings=replace(settings, max_steps=1, report_to="none"),
        )
        record = read_record(folder)
    per_step = settings.batch_size / record.get("completions_per_example", 1)
    planned = math.ceil(math.ceil(record["num_examples"] / per_step) * settings.epochs)
    return DryRun(
        num_examples=record["num_examples"],
        num_steps=settings.max_steps or planned,
        seconds_per_step=record["seconds"] / max(1, record["num_steps"]),
        memory=peak_memory(),
        loss=record["losses"][-1],
    )
