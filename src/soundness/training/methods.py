"""Which methods there are, what each needs, and how one is run by name, from a file of options, or from a file of code.

A method is a module (or a class in a user's file) with three names:

    ABOUT     an `About`: what it is, in words
    Config    a class made by `soundness.options.options`: its own options
    learn     a function of the `Session` and a `Config`: builds a trainer and fits it
"""

from __future__ import annotations

import inspect
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundness.errors import RunError, SettingError, near
from soundness.extensions import is_reference, load_object
from soundness.options import build, is_options, read_toml
from soundness.tasks.base import Task
from soundness.training.data import task_of
from soundness.training.results import RECORD, digest, other_training, peak_memory, read_record
from soundness.training.session import OnStep, open_session
from soundness.training.settings import About, Settings

if TYPE_CHECKING:
    from soundness.training.monitor import SoundnessMonitor

__all__ = ["METHODS", "DryRun", "about", "dry_run", "load_method", "read_config", "train_once"]

METHODS: dict[str, str] = {
    name: f"soundness.training.{name}" for name in ("sft", "cpt", "rlvr", "rlsf", "rlag", "cft", "sdft", "curriculum", "gain")
}
"""Method -> the module that holds its ABOUT, its Config and its learn."""


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


def load_method(name: str) -> Any:
    """Return what holds a method's ABOUT, Config and learn: a shipped module, or what `my_file.py:MyMethod` names.

    Raises SettingError for an unknown name and for a file that holds no method.
    """
    if is_reference(name):
        return _checked(load_object(name, "training method"), name)
    if name not in METHODS:
        known = ", ".join(METHODS)
        raise SettingError(
            f"there is no training method {name!r}{near(name, METHODS)}; there are {known}, or my_file.py:MyMethod"
        )
    return import_module(METHODS[name])


def _checked(method: Any, name: str) -> Any:
    """Return a user's method. Raises SettingError naming the part that it lacks."""
    wanted = "a method has ABOUT, Config and learn (examples/method.py shows one)"
    if not isinstance(getattr(method, "ABOUT", None), About):
        raise SettingError(f"{name} has no ABOUT that is an About: {wanted}")
    if not is_options(getattr(method, "Config", None)):
        raise SettingError(f"{name} has no Config made by soundness.options.options: {wanted}")
    if not callable(getattr(method, "learn", None)):
        raise SettingError(f"{name} has no function learn: {wanted}")
    return method


def _source_of(name: str, method: Any) -> str | None:
    """Return a short hash of the file that a user's method stands in, or None for a shipped one."""
    return digest(Path(inspect.getfile(method)).read_text(encoding="utf-8")) if is_reference(name) else None


def about(name: str) -> About:
    """Return what a method is, in words."""
    words: About = load_method(name).ABOUT
    return words


def read_config(
    name: str, file: Path | str | None = None, values: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Return the configuration of a method and the common settings that a TOML file gives.

    The file holds the method's own options at its top level, common settings in a table `[settings]` and options for the trainer
    itself in `[trainer]`. `values` override the file's own options. Raises SettingError for what cannot be read or is not known.
    """
    method = load_method(name)
    given = read_toml(file) if file is not None else {}
    common, trainer = given.pop("settings", {}), given.pop("trainer", {})
    if not isinstance(common, dict) or not isinstance(trainer, dict):
        raise SettingError(f"{file}: settings and trainer are tables: write [settings] and [trainer]")
    if trainer:
        common["trainer"] = trainer
    build(Settings, common, where=f"{file}: [settings]")
    return build(method.Config, _merged(given, values or {}), where=str(file or name)), common


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, `above` winning; tables that stand in both are merged."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        merged[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _config_of(method: Any, name: str, config: Any) -> Any:
    """Return the configuration that was given: as it is, filled from options by name, or the default."""
    if config is None or isinstance(config, Mapping):
        return build(method.Config, config or {}, where=name)
    return config


def train(
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Any = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Return the folder `out`, which holds `model` tuned on `task` by `method`.

    `method` is a name or `my_file.py:MyMethod`, `config` its own `Config`, or its options by name. The folder appears when
    training has ended, whole; `training.json` in it names the base (`soundness_base`), settings, seed and versions, the loss of
    every step (nats per completion token for supervised methods) and seconds. Raises a SoundnessError for whatever the user can
    mend.
    """
    way, settings = load_method(method), settings or Settings()
    chosen = _config_of(way, method, config)
    with open_session(
        method,
        model,
        task_of(task, seed=settings.seed),
        out=out,
        settings=settings,
        config=chosen,
        monitor=monitor,
        on_step=on_step,
        method_source=_source_of(method, way),
    ) as run:
        way.learn(run, chosen)
    return Path(out).expanduser()


def train_once(
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Any = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Return the folder `out` as `train` does, or as it is where it already holds this very training.

    Raises RunError where it holds another one, and a SoundnessError for whatever else the user can mend.
    """
    folder = Path(out).expanduser()
    if not (folder / RECORD).is_file():
        return train(method, model, task, out=folder, config=config, settings=settings, monitor=monitor, on_step=on_step)
    way, settings = load_method(method), settings or Settings()
    chosen, asked = _config_of(way, method, config), task_of(task, seed=settings.seed)
    other = other_training(folder, method, model, asked, chosen, settings, _source_of(method, way))
    if other:
        raise RunError(
            f"{folder} holds a training with another {', '.join(other)}: choose another folder, or remove that one to train anew"
        )
    return folder


def dry_run(method: str, model: str, task: Task | str, *, config: Any = None, settings: Settings | None = None) -> DryRun:
    """Return what training would take: the data are checked, the model is loaded, one step is done and thrown away."""
    settings = settings or Settings()
    with tempfile.TemporaryDirectory() as folder:
        out = train(
            method,
            model,
            task,
            out=Path(folder) / "dry-run",
            config=config,
            settings=replace(settings, max_steps=1, report_to="none"),
        )
        record = read_record(out)
    per_step = settings.batch_size / record.get("completions_per_example", 1)
    planned = math.ceil(math.ceil(record["num_examples"] / per_step) * settings.epochs)
    return DryRun(
        num_examples=record["num_examples"],
        num_steps=settings.max_steps or planned,
        seconds_per_step=record["seconds"] / max(1, record["num_steps"]),
        memory=peak_memory(),
        loss=record["losses"][-1],
    )
