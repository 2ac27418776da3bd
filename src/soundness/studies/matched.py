"""Several trainings of one base, audited together where they are equally accurate.

A more accurate model has other chains simply because it is more accurate. So each training keeps checkpoints of its model on the
way, and the one whose accuracy comes nearest to an accuracy that all trainings reach is audited. A training that never becomes more
accurate than the base cannot be matched: it sets no target, and its last checkpoint stands in. What every training ends as is audited
as well.

Methods want different learning rates. Where a training lists several, the first seed is trained at each, and the rate whose best
checkpoint solves most problems of a third set, neither trained nor audited on, is the one for all seeds.

    model = "organism:base"
    task = "organism:domain"
    limit = 200                   # problems to train on
    audit_limit = 100             # problems to audit on, drawn with another seed
    seeds = [0, 1, 2]
    keep_every = 20               # steps between kept checkpoints

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
    learning_rates = [3e-5, 1e-4, 3e-4]
    settings = { batch_size = 32 }
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from soundness.auditing import audit
from soundness.comparison.labels import RELIANCE
from soundness.errors import DivergedError, SettingError, TaskError
from soundness.files import write_text
from soundness.options import AtLeastOne, Positive, build, options, read_toml
from soundness.progress import Progress, silent
from soundness.records import Comparison, Problem
from soundness.statistics.seeds import mean_known
from soundness.tasks.base import Task, load_task
from soundness.training.methods import dry_run, load_method, train_once
from soundness.training.results import RECORD, checkpoints, digest, read_record
from soundness.training.settings import Settings

__all__ = ["MatchedComparison", "Plan", "Row", "Training", "compare", "read_plan"]

LEARNED = 0.05
"""Accuracy over the base's that the best checkpoint of each seed must reach for a training to count as having learned the task."""

LEAST_TUNING = 20
"""Problems that choosing a learning rate takes."""

_AUDIT_SEED = 100_003
"""Seed of the problems that are audited, where they are drawn."""

_TUNING_SEED = 200_003
"""Seed of the problems that learning rates are chosen on, where they are drawn."""


@options
class Training:
    """One way of training."""

    name: str
    """What its rows are called."""
    method: str
    """Which training method: a name, or my_file.py:MyMethod."""
    config: Any
    """The method's own configuration."""
    settings: Settings
    """Common to all methods."""
    learning_rates: tuple[Positive, ...] = ()
    """Rates to choose from; empty for the one in the settings."""


@options
class Plan:
    """What is compared."""

    model: str
    """What every training starts from."""
    task: str
    """What is trained on."""
    method: tuple[Training, ...]
    """The trainings."""
    audit: str | None = None
    """Problems to audit on; None for `task` with another seed."""
    tune: str | None = None
    """Problems to choose learning rates on; None for those of `audit` with another seed that are not audited."""
    limit: AtLeastOne | None = None
    """Problems to train on; None for all."""
    audit_limit: AtLeastOne = 100
    """Problems to audit on."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of training."""
    keep_every: AtLeastOne = 50
    """Optimiser steps between kept checkpoints."""
    max_tokens: AtLeastOne = 256
    """Longest chain."""

    def __post_init__(self) -> None:
        if not self.method:
            raise SettingError("at least one [[method]] is needed")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingError(f"seeds must name at least one seed, and each once: {list(self.seeds)}")
        names = [training.name for training in self.method]
        if len(set(names)) != len(names):
            raise SettingError(f"two trainings have one name among {', '.join(names)}; give each a `name` of its own")


@dataclass(frozen=True, slots=True)
class Row:
    """One trained model, audited."""

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
    learning_rate: float | None = None
    """Peak rate that it was trained with."""
    learned: bool = True
    """Whether the training became more accurate than the base, and so could be matched."""


@dataclass(frozen=True, slots=True)
class MatchedComparison:
    """What a comparison found."""

    model: str
    """What every training started from."""
    task: str
    """What was trained on."""
    target: float
    """The accuracy at which models are compared."""
    base_accuracy: float
    base_information: float | None
    """Of the base's own chains: information gain over swapped chains, nats."""
    base_reliance: float | None
    base_no_steps: float | None
    """Share of problems that the base answers without a written step."""
    rows: tuple[Row, ...]
    """Every training where its accuracy matches."""
    ends: tuple[Row, ...]
    """Every training after its last step."""
    page: str
    """The page with table and picture."""
    audit: str
    """The audit's report, from the folder of the comparison."""
    sweeps: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Training -> learning rate -> accuracy of its best checkpoint on the problems to tune on, or None where it diverged."""
    notes: tuple[str, ...] = field(default=())


def read_plan(path: Path | str) -> Plan:
    """Return the plan in a TOML file. Raises SettingError for what is missing, unknown or senseless."""
    given = read_toml(path)
    common, listed = given.pop("settings", {}), given.pop("method", [])
    if not isinstance(common, dict):
        raise SettingError(f"{path}: settings is a table: write [settings]")
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise SettingError(f"{path}: each training is a table of its own: write [[method]]")
    return build(Plan, {**given, "method": tuple(_training(row, common, str(path)) for row in listed)}, where=str(path))


def _training(row: Mapping[str, Any], common: Mapping[str, Any], where: str) -> Training:
    own = dict(row)
    method = own.pop("method", None)
    if not isinstance(method, str):
        raise SettingError(f'{where}: each [[method]] names its method, such as method = "sft"')
    head: dict[str, Any] = {
        "name": method,
        "method": method,
        **{key: own.pop(key) for key in ("name", "learning_rates") if key in own},
    }
    place = f"{where}: {head['name']}"
    settings = build(Settings, {**common, **_table(own.pop("settings", {}), place)}, where=f"{place}: [settings]")
    config = build(load_method(method).Config, own, where=place)
    return build(Training, {**head, "config": config, "settings": settings}, where=place)


def _table(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SettingError(f"{place}: settings is a table, and it is {value!r}")
    return value


def compare(plan: Plan | Path | str, *, out: Path | str, on_progress: Progress | None = None) -> MatchedComparison:
    """Return the comparison; models, audit, `matched.json` and the page are kept in `out`, and what is there is not done again."""
    from soundness.report.page import write_page
    from soundness.studies.matched_page import write_page as write_comparison

    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    out = Path(out).expanduser()
    told = on_progress or silent
    trained = _trained(plan)
    panel = _panel(plan, trained)
    tuning = _tuning(plan, trained, panel) if any(one.learning_rates for one in plan.method) else None
    _check(plan, out, told)
    plan, sweeps = (plan, {}) if tuning is None else _sweep(plan, tuning, out, told)
    folders: dict[tuple[str, int], Path] = {}
    for number, training in enumerate(plan.method):
        for seed in plan.seeds:
            told("training", number * len(plan.seeds) + plan.seeds.index(seed), len(plan.method) * len(plan.seeds))
            folders[training.name, seed] = _train(plan, training, seed, out)
    base_accuracy = _accuracy(plan, panel, plan.model, out)
    kept = {key: checkpoints(folder) for key, folder in folders.items()}
    accuracies = {
        key: {step: _accuracy(plan, panel, str(one), out) for step, one in found.items()} for key, found in kept.items()
    }
    best = {key: max(values.values()) for key, values in accuracies.items()}
    learned = {one.name: all(best[one.name, seed] >= base_accuracy + LEARNED for seed in plan.seeds) for one in plan.method}
    matched = [value for (name, _), value in best.items() if learned[name]]
    target = min(matched or best.values())
    ends = {key: max(values) for key, values in accuracies.items()}
    chosen = {
        key: min(values, key=lambda step: (abs(values[step] - target), step)) if learned[key[0]] else ends[key]
        for key, values in accuracies.items()
    }
    models = list(dict.fromkeys(str(kept[key][step]) for steps in (chosen, ends) for key, step in steps.items()))
    audited = out / f"audit-{digest([(one, _weights(one)) for one in models], panel.fingerprint, plan.max_tokens)[:8]}"
    run = audit(plan.model, models, panel, out=audited, max_tokens=plan.max_tokens, on_progress=on_progress)
    report = write_page(run)
    verdicts = dict(zip(models, run.verdicts, strict=True))
    methods = {one.name: one.method for one in plan.method}

    def row(name: str, seed: int, step: int) -> Row:
        verdict = verdicts[str(kept[name, seed][step])]
        mine = [one for one in run.comparisons if one.tuned == verdict.tuned]
        record = read_record(folders[name, seed])
        return Row(
            name=name,
            method=methods[name],
            seed=seed,
            step=step,
            accuracy=_value(mine, "solved", "-"),
            information=_value(mine, "info_gain_over_swap", "self"),
            reliance=_reliance(mine),
            no_steps=_value(mine, "no_steps", "-"),
            verdict=str(verdict.word.value),
            seconds=record["seconds"],
            learning_rate=record["settings"]["learning_rate"],
            learned=learned[name],
        )

    rows = [row(*key, step) for key, step in chosen.items()]
    notes = _notes(plan, panel, rows, target)
    comparison = MatchedComparison(
        model=plan.model,
        task=plan.task,
        target=target,
        base_accuracy=base_accuracy,
        base_information=_base_value(run.comparisons, "info_gain_over_swap"),
        base_no_steps=_base_value(run.comparisons, "no_steps", "-"),
        base_reliance=mean_known(_base_value(run.comparisons, metric) for metric in RELIANCE),
        rows=tuple(rows),
        ends=tuple(row(*key, step) for key, step in ends.items()),
        page=str(out / "matched.html"),
        audit=f"{audited.name}/{report.name}",
        sweeps={name: {f"{rate:g}": value for rate, value in found.items()} for name, found in sweeps.items()},
        notes=notes,
    )
    write_text(out / "matched.json", json.dumps(asdict(comparison), indent=1, allow_nan=False) + "\n")
    write_comparison(comparison, out)
    return comparison


def _notes(plan: Plan, panel: Task, rows: Sequence[Row], target: float) -> tuple[str, ...]:
    """Return what a reader has to know of the rows before comparing them."""
    notes = []
    far = [row.name for row in rows if row.learned and row.accuracy is not None and abs(row.accuracy - target) > 0.05]
    if far:
        notes.append(
            f"{', '.join(dict.fromkeys(far))}: no kept checkpoint is within .05 of the matched accuracy; keep checkpoints more often"
        )
    behind = [row.name for row in rows if not row.learned]
    if behind:
        notes.append(
            f"{', '.join(dict.fromkeys(behind))}: not {LEARNED:.2f} more accurate than the base in every seed, so nothing was "
            "matched; the last checkpoint is shown"
        )
    if len(plan.seeds) < 3:
        notes.append(f"{len(plan.seeds)} seed(s) of training: differences between methods may be those between seeds")
    if len(panel.problems) < plan.audit_limit:
        notes.append(
            f"audited on {len(panel.problems)} problems: of the {plan.audit_limit} that were asked for, the others do not exist or "
            "are trained on"
        )
    return tuple(notes)


def _sweep(plan: Plan, tuning: Task, out: Path, told: Progress) -> tuple[Plan, dict[str, dict[float, float | None]]]:
    """Return the plan with the chosen learning rates, and what each rate came to. Raises DivergedError where none is any good."""
    swept = [(one, rate) for one in plan.method for rate in one.learning_rates]
    found: dict[str, dict[float, float | None]] = {}
    for number, (training, rate) in enumerate(swept):
        told("choosing learning rates", number, len(swept))
        try:
            folder = _train(plan, _at(training, rate), plan.seeds[0], out)
        except DivergedError:
            best = None
        else:
            best = max(_accuracy(plan, tuning, str(one), out) for one in checkpoints(folder).values())
        found.setdefault(training.name, {})[rate] = best
    chosen = []
    for one in plan.method:
        known = {rate: value for rate, value in found.get(one.name, {}).items() if value is not None}
        if one.learning_rates and not known:
            rates = ", ".join(f"{rate:g}" for rate in one.learning_rates)
            raise DivergedError(f"{one.name} diverged at every learning rate it may have ({rates}): give it lower ones")
        chosen.append(_at(one, max(known, key=lambda rate: (known[rate], -rate))) if known else one)
    return replace(plan, method=tuple(chosen)), found


def _at(training: Training, rate: float) -> Training:
    return replace(training, settings=replace(training.settings, learning_rate=rate))


def _panel(plan: Plan, trained: Set[str]) -> Task:
    """Return the problems to audit on, none of them a question of `trained`. Raises TaskError where they are all trained on."""
    spec = plan.audit or plan.task
    drawn = load_task(spec, limit=plan.audit_limit, seed=_AUDIT_SEED)
    left = _without(drawn, trained)
    if not left:
        raise TaskError(f'all problems to audit on are among those trained on ({spec}): name others with audit = "TASK"')
    return replace(drawn, problems=left)


def _tuning(plan: Plan, trained: Set[str], panel: Task) -> Task:
    """Return the problems to choose learning rates on. Raises TaskError where too few are neither trained nor audited on."""
    spec = plan.tune or plan.audit or plan.task
    drawn = load_task(spec, limit=plan.audit_limit, seed=_TUNING_SEED)
    left = _without(drawn, trained | {one.question for one in panel.problems})
    if len(left) < LEAST_TUNING:
        raise TaskError(
            f"learning rates are chosen on problems that are neither trained nor audited on, at least {LEAST_TUNING}, and {spec} "
            f'leaves {len(left)}: name others with tune = "TASK"'
        )
    return replace(drawn, problems=left)


def _trained(plan: Plan) -> Set[str]:
    """Return the questions that are trained on with any seed."""
    return {one.question for seed in plan.seeds for one in load_task(plan.task, limit=plan.limit, seed=seed).problems}


def _without(task: Task, questions: Set[str]) -> tuple[Problem, ...]:
    return tuple(one for one in task.problems if one.question not in questions)


def _check(plan: Plan, out: Path, told: Progress) -> None:
    """Take one step of every training that is still to be done, so that what cannot work is said before hours are spent."""
    first = [_at(one, one.learning_rates[0]) if one.learning_rates else one for one in plan.method]
    waiting = [one for one in first if not (_folder(out, one, plan.seeds[0]) / RECORD).is_file()]
    for number, training in enumerate(waiting):
        told("checking", number, len(waiting))
        task = load_task(plan.task, limit=plan.limit, seed=plan.seeds[0])
        settings = replace(training.settings, seed=plan.seeds[0])
        dry_run(training.method, plan.model, task, config=training.config, settings=settings)


def _folder(out: Path, training: Training, seed: int) -> Path:
    rate = f"-{training.settings.learning_rate:g}" if training.learning_rates else ""
    return out / "models" / f"{training.name}{rate}-{seed}"


def _train(plan: Plan, training: Training, seed: int, out: Path) -> Path:
    task = load_task(plan.task, limit=plan.limit, seed=seed)
    settings = replace(training.settings, seed=seed, keep_every=plan.keep_every)
    return train_once(
        training.method, plan.model, task, out=_folder(out, training, seed), config=training.config, settings=settings
    )


def _accuracy(plan: Plan, panel: Task, model: str, out: Path) -> float:
    """Return the share of the panel that `model` solves, kept beside the models."""
    from soundness.models.load import load_model
    from soundness.scoring.score import Sampling
    from soundness.training.snapshot import take_snapshot

    note = out / "accuracies" / f"{digest(model, _weights(model), panel.fingerprint, plan.max_tokens)}.json"
    if note.is_file():
        return float(json.loads(note.read_text(encoding="utf-8")))
    sampling = Sampling(0, 0.0, 1.0, plan.max_tokens, "auto")
    solved = take_snapshot(load_model(model), panel, ["accuracy"], sampling=sampling).value("solved")
    if solved is None:
        raise TaskError(f"{panel.name} has no reference answers, so accuracy cannot be matched")
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(solved))
    return solved


def _weights(model: str) -> list[tuple[str, int, int]]:
    """Return what changes when a folder's weights do; nothing where `model` is no folder."""
    return [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in sorted(Path(model).glob("*.safetensors"))]


def _value(comparisons: list[Comparison], metric: str, reader: str) -> float | None:
    found = next((one for one in comparisons if one.metric == metric and one.reader == reader), None)
    return None if found is None else found.tuned_estimate.value


def _base_value(comparisons: Iterable[Comparison], metric: str, reader: str = "self") -> float | None:
    """Return the base's own value, from the comparison in which most of its problems have a pair."""
    found = [one.base_estimate for one in comparisons if one.metric == metric and one.reader == reader]
    return max(found, key=lambda one: one.n).value if found else None


def _reliance(comparisons: list[Comparison]) -> float | None:
    return mean_known(_value(comparisons, name, "self") for name in RELIANCE)
