"""Several trainings of one base, audited together where they are equally accurate.

A more accurate model has other chains simply because it is more accurate. So each training keeps copies of its model on the way,
and the copy whose accuracy comes nearest to one that all of them reach is the one that is audited. A training that never becomes
more accurate than the base cannot be matched: it sets no target, and its last copy is audited.

    model = "organism:base"
    task = "organism:domain"
    limit = 200                   # problems to train on
    audit_limit = 100             # problems to audit on, drawn with another seed
    seeds = [0, 1, 2]
    keep_every = 20               # steps between kept copies

    [settings]                    # common to all
    max_steps = 200

    [[method]]
    name = "label"
    method = "sft"
    target = "label"

    [[method]]
    name = "gain"
    method = "gain"
    strength = 0.5
    settings = { batch_size = 32 }
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from soundness.audit import Progress, audit
from soundness.errors import SettingError, TaskError, near
from soundness.records import Comparison
from soundness.report.verdict import RELIANCE
from soundness.tasks.base import Task, load_task
from soundness.training.common import RECORD, Settings
from soundness.training.methods import build_config, dry_run, load_method, train

__all__ = ["Atlas", "Plan", "Row", "compare", "read_plan"]

LEARNED = 0.05
"""Accuracy over the base's that the best copy of each seed must reach for a training to count as having learned the task."""

_AUDIT_SEED = 100_003
"""Added to a world's seed for the problems that are audited, where the plan names no other task for it."""


@dataclass(frozen=True, slots=True)
class Training:
    """One way of training."""

    name: str
    method: str
    config: Any
    settings: Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared."""

    model: str
    task: str
    trainings: tuple[Training, ...]
    audit: str | None = None
    limit: int | None = None
    audit_limit: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    keep_every: int = 50
    max_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One trained model where its accuracy matches."""

    name: str
    method: str
    seed: int
    step: int
    accuracy: float | None
    information: float | None
    """Information gain over swapped chains, nats."""
    reliance: float | None
    """Mean of the reliances that could be measured, 0..1."""
    no_steps: float | None
    """Share of problems answered without a written step."""
    verdict: str
    seconds: float
    """Of training."""
    learned: bool = True
    """Whether the training became more accurate than the base, and so could be matched."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """What a comparison found."""

    target: float
    """The accuracy at which models are compared."""
    base_accuracy: float
    base_information: float | None
    """Of the base's own chains: information gain over swapped chains, nats."""
    base_reliance: float | None
    rows: tuple[Row, ...]
    page: str
    notes: tuple[str, ...] = field(default=())


def read_plan(path: Path | str) -> Plan:
    """Return the plan in a TOML file. Raises SettingError for what is missing, unknown or senseless."""
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"cannot read {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is not TOML: {error}") from error
    common, listed = given.pop("settings", {}), given.pop("method", [])
    known = ("model", "task", "audit", "limit", "audit_limit", "seeds", "keep_every", "max_tokens")
    for name in given:
        if name not in known:
            raise SettingError(f"{path}: there is no option {name!r}{near(name, known)}; there are {', '.join(known)}")
    if not isinstance(listed, list) or not listed or "model" not in given or "task" not in given:
        raise SettingError(f"{path} needs a model, a task and at least one [[method]]")
    trainings = tuple(_training(row, common, str(path)) for row in listed)
    names = [one.name for one in trainings]
    if len(set(names)) != len(names):
        raise SettingError(f"{path}: two trainings have one name among {', '.join(names)}; give each a `name` of its own")
    if "seeds" in given:
        given["seeds"] = tuple(given["seeds"])
    return Plan(trainings=trainings, **given)


def _training(row: Mapping[str, Any], common: Mapping[str, Any], where: str) -> Training:
    options = dict(row)
    method = options.pop("method", None)
    if not isinstance(method, str):
        raise SettingError(f'{where}: each [[method]] names its method, such as method = "sft"')
    name = str(options.pop("name", method))
    settings = build_config(Settings, {**common, **options.pop("settings", {})}, where=f"{where}, settings of {name}")
    return Training(name, method, build_config(load_method(method).Config, options, where=f"{where}, {name}"), settings)


def compare(plan: Plan | Path | str, *, out: Path | str, on_progress: Progress | None = None) -> Atlas:
    """Return the comparison; models, audit, `atlas.json` and the page are kept in `out`, and what is there is not done again."""
    from soundness.report.atlas import atlas_markdown, write_picture
    from soundness.report.page import write_page

    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    out = Path(out).expanduser()
    told = on_progress or (lambda what, done, total: None)
    panel = _panel(plan)
    _check(plan, out, told)
    folders: dict[tuple[str, int], Path] = {}
    for number, training in enumerate(plan.trainings):
        for seed in plan.seeds:
            told("training", number * len(plan.seeds) + plan.seeds.index(seed), len(plan.trainings) * len(plan.seeds))
            folders[training.name, seed] = _train(plan, training, seed, out)
    base_accuracy = _accuracy(plan, panel, plan.model, out)
    copies = {key: _copies(folder) for key, folder in folders.items()}
    accuracies = {
        key: {step: _accuracy(plan, panel, str(one), out) for step, one in found.items()} for key, found in copies.items()
    }
    best = {key: max(values.values()) for key, values in accuracies.items()}
    learned = {one.name: all(best[one.name, seed] >= base_accuracy + LEARNED for seed in plan.seeds) for one in plan.trainings}
    matched = [value for (name, _), value in best.items() if learned[name]]
    target = min(matched or best.values())
    chosen = {
        key: min(values, key=lambda step: (abs(values[step] - target), step)) if learned[key[0]] else max(values)
        for key, values in accuracies.items()
    }
    models = [str(copies[key][step]) for key, step in chosen.items()]
    run = audit(plan.model, models, panel, out=out / "audit", max_tokens=plan.max_tokens, on_progress=on_progress)
    page = write_page(run)
    rows = []
    for (name, seed), model, verdict in zip(chosen, models, run.verdicts, strict=True):
        mine = [one for one in run.comparisons if one.tuned == verdict.tuned]
        method = next(one.method for one in plan.trainings if one.name == name)
        record = json.loads((folders[name, seed] / RECORD).read_text(encoding="utf-8"))
        rows.append(
            Row(
                name=name,
                method=method,
                seed=seed,
                step=chosen[name, seed],
                accuracy=_value(mine, "solved", "-"),
                information=_value(mine, "info_gain_over_swap", "self"),
                reliance=_reliance(mine),
                no_steps=_value(mine, "no_steps", "-"),
                verdict=str(verdict.word.value),
                seconds=record["seconds"],
                learned=learned[name],
            )
        )
        assert model
    far = [row.name for row in rows if row.learned and row.accuracy is not None and abs(row.accuracy - target) > 0.05]
    notes = (
        [f"{', '.join(dict.fromkeys(far))}: no kept copy is within .05 of the matched accuracy; keep copies more often"]
        if far
        else []
    )
    behind = [name for name, did in learned.items() if not did]
    if behind:
        notes.append(
            f"{', '.join(behind)}: not {LEARNED:.2f} more accurate than the base in every seed, so nothing was matched; "
            "the last copy is shown"
        )
    if len(plan.seeds) < 3:
        notes.append(f"{len(plan.seeds)} seed(s) of training: differences between methods may be those between seeds")
    atlas = Atlas(
        target=target,
        base_accuracy=base_accuracy,
        base_information=_base_value(run.comparisons, "info_gain_over_swap"),
        base_reliance=_mean_known(_base_value(run.comparisons, metric) for metric in RELIANCE),
        rows=tuple(rows),
        page=str(page),
        notes=tuple(notes),
    )
    (out / "atlas.json").write_text(json.dumps(asdict(atlas), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (out / "atlas.md").write_text(atlas_markdown(atlas), encoding="utf-8")
    write_picture(atlas, out / "atlas.svg")
    return atlas


def _panel(plan: Plan) -> Task:
    """Return the problems to audit on. Raises TaskError where they would be those trained on."""
    if plan.audit is not None:
        return load_task(plan.audit, limit=plan.audit_limit, seed=_AUDIT_SEED)
    panel = load_task(plan.task, limit=plan.audit_limit, seed=_AUDIT_SEED)
    for seed in plan.seeds:
        trained = load_task(plan.task, limit=plan.limit, seed=seed)
        if {one.question for one in panel.problems} & {one.question for one in trained.problems}:
            raise TaskError(
                f'the problems to audit on are among those trained on ({plan.task} gives the same): name others with audit = "TASK"'
            )
    return panel


def _check(plan: Plan, out: Path, told: Progress) -> None:
    """Take one step of every training that is still to be done, so that what cannot work is said before hours are spent."""
    waiting = [one for one in plan.trainings if not (out / "models" / f"{one.name}-{plan.seeds[0]}" / RECORD).is_file()]
    for number, training in enumerate(waiting):
        told("checking", number, len(waiting))
        task = load_task(plan.task, limit=plan.limit, seed=plan.seeds[0])
        settings = replace(training.settings, seed=plan.seeds[0])
        dry_run(training.method, plan.model, task, config=training.config, settings=settings)


def _train(plan: Plan, training: Training, seed: int, out: Path) -> Path:
    folder = out / "models" / f"{training.name}-{seed}"
    if (folder / RECORD).is_file():
        return folder
    task = load_task(plan.task, limit=plan.limit, seed=seed)
    settings = replace(training.settings, seed=seed, keep_every=plan.keep_every)
    return train(training.method, plan.model, task, out=folder, config=training.config, settings=settings)


def _copies(folder: Path) -> dict[int, Path]:
    """Return the kept copies of a training by their step, the final model among them."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    found = {int(one.name): one for one in sorted((folder / "steps").glob("*"), key=lambda one: int(one.name))}
    return {**found, int(record["num_steps"]): folder}


def _accuracy(plan: Plan, panel: Task, model: str, out: Path) -> float:
    """Return the share of the panel that `model` solves, kept beside the models."""
    from soundness.examination import Sampling
    from soundness.models.load import load_model
    from soundness.training.common import digest
    from soundness.training.monitor import look

    note = out / "accuracies" / f"{digest(model, panel.fingerprint, plan.max_tokens)}.json"
    if note.is_file():
        return float(json.loads(note.read_text(encoding="utf-8")))
    found = look(load_model(model), panel, ["accuracy"], sampling=Sampling(0, 0.0, 1.0, plan.max_tokens, "auto"))
    solved = found.mean("solved")
    if solved is None:
        raise TaskError(f"{panel.name} has no reference answers, so accuracy cannot be matched")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(solved), encoding="utf-8")
    return solved


def _value(comparisons: list[Comparison], metric: str, scorer: str) -> float | None:
    found = next((one for one in comparisons if one.metric == metric and one.scorer == scorer), None)
    return None if found is None else found.tuned_estimate.value


def _base_value(comparisons: Iterable[Comparison], metric: str) -> float | None:
    found = next((one for one in comparisons if one.metric == metric and one.scorer == "self"), None)
    return None if found is None else found.base_estimate.value


def _reliance(comparisons: list[Comparison]) -> float | None:
    return _mean_known(_value(comparisons, name, "self") for name in RELIANCE)


def _mean_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
