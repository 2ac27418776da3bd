"""From what a user gives to what an audit works on: options sorted, models loaded, groups chosen, settings written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from soundness.answers.graders import load_grader
from soundness.chains.imported import ImportedTrace, load_traces, trace_task
from soundness.errors import MetricError, ModelError, SettingError, near
from soundness.metrics import DECISIVE, GROUPS, SHARED_CHAINS
from soundness.metrics.base import MetricGroup, Need
from soundness.metrics.choosing import choose
from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.models.options import LoadOptions
from soundness.records import Reader
from soundness.runs.folder import Run
from soundness.scoring.options import Measuring, SamplingOptions, fill
from soundness.scoring.score import Sampling
from soundness.scoring.trial import check_group
from soundness.tasks.base import Task, load_task
from soundness.tasks.panel import PanelTask, load_panel
from soundness.tasks.prompts import Prompting
from soundness.tasks.retrieval import Documents

__all__ = ["OptionGroups", "Setup", "prepare_audit", "prepare_score", "sort_options"]


@dataclass(frozen=True, slots=True)
class OptionGroups:
    """Everything that can be chosen, by group."""

    sampling: SamplingOptions
    measuring: Measuring
    loading: LoadOptions
    prompting: Prompting | None
    """How problems are asked, where that was given here; None leaves it to the task."""


@dataclass(frozen=True)
class Setup:
    """What an audit or a scoring works on."""

    models: tuple[Model, ...]
    """The base and the tuned models, or the one scorer."""
    names: tuple[str, ...]
    """Their names in the run, told apart where two are alike."""
    tasks: tuple[Task, ...]
    """The task as each model is asked it; the same problems for all."""
    groups: tuple[MetricGroup, ...]
    """What is measured."""
    sampling: Sampling
    """How chains are written."""
    samples: int
    """Chains per problem."""
    batch_size: int
    """Chains written at once."""
    share: bool
    """Whether the tuned models read the base's chains too."""
    others: tuple[PanelTask, ...]
    """Other tasks that are asked as well."""
    judge: Model | None
    """Judges the facts in the steps."""
    documents: Documents | None
    """What the judge looks into."""
    proposer: Model | None
    """Rewords steps and writes mistakes."""
    noise_floor: bool
    """Whether the base is compared with itself."""
    settings: Mapping[str, Any]
    """Everything that the results depend on, as the run folder keeps it."""

    @property
    def task(self) -> Task:
        """The task as the base is asked it."""
        return self.tasks[0]

    @property
    def has_own_metrics(self) -> bool:
        """Whether some groups are a user's own, whose code may have changed since they last ran."""
        return any(GROUPS.get(group.name) is not group for group in self.groups)

    @property
    def first_problems(self) -> Callable[[int], str]:
        """What gives the fingerprint of the task's first n problems: a folder that holds those may be given more."""
        return lambda n: replace(self.task, problems=self.task.problems[:n]).fingerprint

    def grown(self, run: Run) -> Setup:
        """Return the setup with what the run's folder already measures: metrics, samples and readers grow and never shrink.

        Raises MetricError for a user's own group that an earlier command named and this one does not.
        """
        known = {**GROUPS, **{group.name: group for group in self.groups}}
        if lacking := next((name for name in run.settings["metrics"] if name not in known), None):
            raise MetricError(
                f"{run.path} measures {lacking!r} too, a metric group of your own: name it again, as in --metrics my_file.py:MyGroup"
            )
        groups = tuple(group for name, group in known.items() if name in run.settings["metrics"])
        share = str(Reader.TUNED) in run.settings.get("readers", ())
        return replace(self, groups=groups, samples=run.settings["samples"], share=share)


def sort_options(
    options: Mapping[str, Any],
    *,
    sampling: SamplingOptions | None = None,
    measuring: Measuring | None = None,
    loading: LoadOptions | None = None,
) -> OptionGroups:
    """Return options given by name in the groups that they belong to, over the groups that were given whole.

    Raises SettingError for a name that no group has, and for a value that its field cannot hold.
    """
    prompting = options.get("prompting")
    bases: dict[str, Any] = {
        "loading": loading or LoadOptions(),
        "prompting": prompting or Prompting(),
        "measuring": measuring or Measuring(),
        "sampling": sampling or SamplingOptions(),
    }
    # What two groups have, as the chat template, belongs to the later one: to asking rather than to loading.
    owner = {field.name: name for name, group in bases.items() for field in fields(group)}
    changed: dict[str, dict[str, Any]] = {name: {} for name in bases}
    for name, value in options.items():
        if name == "prompting":
            continue
        if name not in owner:
            raise SettingError(f"there is no option {name!r}{near(name, owner)}; there are {', '.join(sorted(owner))}")
        if value is not None:
            changed[owner[name]][name] = tuple(value) if isinstance(value, list) else value
    filled = {
        name: fill(type(group), {**{f.name: getattr(group, f.name) for f in fields(group)}, **changed[name]}, where="options")
        if changed[name]
        else group
        for name, group in bases.items()
    }
    asked = filled["prompting"] if prompting is not None or changed["prompting"] else None
    return OptionGroups(filled["sampling"], filled["measuring"], filled["loading"], asked)


def prepare_audit(
    base: str | Model,
    tuned: Sequence[str | Model] | str | Model,
    task: Any,
    groups: OptionGroups,
    *,
    limit: int | None = None,
    vary: str | None = None,
) -> Setup:
    """Return what an audit works on. What can be wrong is found here, before anything long begins."""
    chosen, measuring, loading = groups.sampling, groups.measuring, groups.loading
    others = (
        load_panel(measuring.panel, seed=chosen.seed)
        if isinstance(measuring.panel, (str, Path))
        else tuple(measuring.panel or ())
    )
    # Whatever is asked for beside, a verdict is given, and rests on these.
    wanted = [*named, *DECISIVE] if (named := _metrics(measuring)) else None
    metric_groups = choose(wanted, measuring.profile, samples=chosen.samples, other_tasks=bool(others))
    for group in metric_groups:
        if GROUPS.get(group.name) is not group:
            check_group(group)
        if Need.OTHER_TASKS in group.needs and not others:
            raise SettingError(f"the metric {group.name} needs other tasks: give them with --panel PANEL.toml")
    documents = Documents.load(measuring.documents) if isinstance(measuring.documents, (str, Path)) else measuring.documents
    if documents is not None and measuring.judge is None:
        raise SettingError("--documents are for a judge to look into: give one with --judge MODEL")
    task = _asked_task(task, groups, limit)
    several = isinstance(tuned, Sequence) and not isinstance(tuned, str) and not _is_held(tuned)
    specs: list[Any] = [base, *(cast(Sequence[Any], tuned) if several else [tuned])]
    tasks = _varied(task, vary, len(specs))
    models = tuple(_loaded(spec, loading) for spec in specs)
    judge, proposer = (None if one is None else _loaded(one, loading) for one in (measuring.judge, measuring.proposer))
    names = names_apart(models, tasks if vary else None)
    share = (
        not measuring.metrics and measuring.profile in SHARED_CHAINS and any(Reader.TUNED in g.readers for g in metric_groups)
    )
    share = share or (bool(measuring.metrics) and any(Reader.TUNED in g.readers for g in metric_groups))
    sampling = _sampling(chosen)
    settings = {
        "kind": "audit",
        **_about_task(tasks[0]),
        "models": dict(zip(names, (model.fingerprint for model in models), strict=True)),
        "base": names[0],
        "tuned": list(names[1:]),
        "samples": chosen.samples,
        **_about_sampling(sampling),
        "metrics": sorted(group.name for group in metric_groups),
        "readers": ["base", "self", *(["tuned"] if share else [])],
        "panel": {other.name: other.task.fingerprint for other in others},
        "judge": judge.fingerprint if judge is not None else None,
        "documents": documents.fingerprint if documents is not None else None,
        "proposer": proposer.fingerprint if proposer is not None else None,
        "batch_size": chosen.batch_size,
        "reader": loading.reader,
        "noise_floor": measuring.noise_floor,
        **({"vary": vary} if vary else {}),
    }
    return Setup(
        models=models,
        names=names,
        tasks=tasks,
        groups=tuple(metric_groups),
        sampling=sampling,
        samples=chosen.samples,
        batch_size=chosen.batch_size,
        share=share,
        others=others,
        judge=judge,
        documents=documents,
        proposer=proposer,
        noise_floor=measuring.noise_floor,
        settings=settings,
    )


def prepare_score(
    traces: str | Path, scorer: str | Model, groups: OptionGroups, *, limit: int | None = None
) -> tuple[Setup, list[ImportedTrace]]:
    """Return what a scoring works on, and the traces."""
    chosen = replace(groups.sampling, samples=1, temperature=0.0)
    imported = load_traces(traces, limit)
    samples = 1 + max(trace.sample for trace in imported)
    metric_groups = choose(_metrics(groups.measuring), groups.measuring.profile, samples=samples)
    task = trace_task(imported, Path(traces).stem)
    model = _loaded(scorer, groups.loading)
    sampling = _sampling(chosen)
    settings = {
        "kind": "score",
        **_about_task(task),
        "models": {model.name: model.fingerprint},
        "metrics": sorted(group.name for group in metric_groups),
        "samples": samples,
        **_about_sampling(sampling),
        "batch_size": chosen.batch_size,
        "reader": groups.loading.reader,
    }
    setup = Setup(
        models=(model,),
        names=(model.name,),
        tasks=(task,),
        groups=tuple(metric_groups),
        sampling=sampling,
        samples=samples,
        batch_size=chosen.batch_size,
        share=False,
        others=(),
        judge=None,
        documents=None,
        proposer=None,
        noise_floor=False,
        settings=settings,
    )
    return setup, imported


def names_apart(models: Sequence[Model], tasks: Sequence[Task] | None = None) -> tuple[str, ...]:
    """Return the models' names, told apart where two are alike; with `tasks` by how each is asked."""
    names: list[str] = []
    for place, model in enumerate(models):
        name = model.name
        if tasks is not None:
            variables = tasks[place].prompting.chat_template_kwargs
            name += f" ({', '.join(f'{key}={str(value).lower()}' for key, value in variables.items())})"
        same = sum(known == name or known.startswith(f"{name} #") for known in names)
        names.append(f"{name} #{same + 1}" if same else name)
    return tuple(names)


def _is_held(spec: Any) -> bool:
    """Return whether `spec` is a transformers module with its tokenizer, and not a pair of models."""
    return isinstance(spec, tuple) and len(spec) == 2 and hasattr(spec[0], "get_input_embeddings")


def _loaded(spec: Any, loading: LoadOptions) -> Model:
    if isinstance(spec, (str, Path)):
        return load_model(str(spec), loading)
    if hasattr(spec, "read") and hasattr(spec, "render"):  # what sets a model of ours apart from a module of transformers
        return cast(Model, spec)
    if _is_held(spec):
        from soundness.models.transformers import hold

        return hold(*spec)
    raise ModelError(
        f"a model is a specification such as smollm2 or a folder, a model of ours, or a transformers module with its tokenizer as "
        f"(module, tokenizer), and this is a {type(spec).__name__}"
    )


def _metrics(measuring: Measuring) -> list[Any] | None:
    """Return what is named, or None where a profile chooses; a text may name several, with commas between."""
    named: list[Any] = []
    for entry in measuring.metrics:
        named += [name.strip() for name in entry.split(",") if name.strip()] if isinstance(entry, str) else [entry]
    return named or None


def _asked_task(task: Any, groups: OptionGroups, limit: int | None) -> Task:
    """Return the task with the prompt options and the grader that were given here."""
    if not isinstance(task, Task):
        task = load_task(task, limit=limit, seed=groups.sampling.seed, prompt=groups.prompting)
    else:
        if limit is not None and limit < len(task.problems):
            task = replace(task, problems=task.problems[:limit])
        if groups.prompting is not None:
            task = task.with_prompting(groups.prompting)
    grader = groups.measuring.grader
    if grader is not None:
        task = replace(task, grader=load_grader(grader) if isinstance(grader, str) else grader)
    assert isinstance(task, Task)
    return task


def _varied(task: Task, vary: str | None, num: int) -> tuple[Task, ...]:
    """Return the task as each of `num` models is asked it."""
    if vary is None:
        return (task,) * num
    name, equals, values = vary.partition("=")
    both = [value.strip() for value in values.split(",")]
    if not equals or not name.strip() or len(both) != num or len(set(both)) != len(both):
        raise SettingError(
            f"--vary wants a variable of the chat template with one value for each of the {num} models, such as "
            f"enable_thinking=true,false, and got {vary!r}"
        )
    words = {"true": True, "false": False, "none": None}
    return tuple(
        task.with_prompting(
            replace(
                task.prompting,
                chat_template_kwargs={**task.prompting.chat_template_kwargs, name.strip(): words.get(value.lower(), value)},
            )
        )
        for value in both
    )


def _sampling(chosen: SamplingOptions) -> Sampling:
    temperature = chosen.temperature if chosen.temperature is not None else (0.0 if chosen.samples == 1 else 0.8)
    if temperature == 0 and chosen.samples > 1:
        raise SettingError(
            f"{chosen.samples} samples at temperature 0 would all be the same: leave the temperature out, or raise it above 0"
        )
    return Sampling(chosen.seed, temperature, chosen.top_p, chosen.max_tokens, chosen.splitter, chosen.chain)


def _about_sampling(sampling: Sampling) -> dict[str, Any]:
    return {field.name: getattr(sampling, field.name) for field in fields(sampling)}


def _about_task(task: Task) -> dict[str, Any]:
    return {
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "num_problems": len(task.problems),
        "prompting": task.prompting.given,
    }
