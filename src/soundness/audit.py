"""The audit: base against tuned on the same problems, from sampling to verdict.

problems -> chains (each model writes) -> readings (each model reads its own chains, the base reads all)
         -> scores (one per chain and metric) -> comparisons (paired by problem) -> verdicts
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from soundness.chains.imported import load_traces, to_chains, trace_task
from soundness.chains.sample import check_sampling, sample_chains
from soundness.errors import MetricError, SettingError
from soundness.examination import Sampling, examine
from soundness.metrics import METRICS, choose
from soundness.metrics.base import Family
from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.records import Chain, Comparison, Prompt, Score
from soundness.report.verdict import judge
from soundness.runs.folder import Run
from soundness.runs.recorded import Recorded
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.statistics.paired import by_problem, comparison, derive_seed, estimate
from soundness.tasks.base import Task, load_task

__all__ = ["audit", "compare_all", "score"]

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""


def audit(
    base: str | Model,
    tuned: Sequence[str | Model] | str,
    task: str | Task,
    *,
    out: str | Path,
    limit: int | None = None,
    samples: int = 1,
    seed: int = 0,
    temperature: float | None = None,
    top_p: float = 1.0,
    max_tokens: int = 512,
    template: str = "own",
    metrics: Sequence[str] | None = None,
    splitter: str = "auto",
    batch_size: int = 8,
    dtype: str | None = None,
    device: str | None = None,
    reader: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    on_progress: Progress | None = None,
) -> Run:
    """Return the run that compares each of `tuned` with `base` on `task`; everything is kept in the folder `out`.

    Models and task are specifications or objects. Temperature defaults to greedy for one sample and to 0.8 for several. With
    `template` "own" each model is asked in its own chat template, with "shared" all in the base's. `metrics` are names of
    families or metrics (all by default). A folder that holds a run with the same settings is resumed: what is stored is not
    computed again. Raises a `SoundnessError` for whatever the user can mend.
    """
    families = choose(metrics)
    temperature = temperature if temperature is not None else (0.0 if samples == 1 else 0.8)
    sampling = Sampling(seed, temperature, top_p, max_tokens, splitter)
    check_sampling(samples, temperature, top_p, max_tokens, splitter, batch_size)
    if template not in ("own", "shared"):
        raise SettingError(f"template is {template!r}; use 'own' (each model's) or 'shared' (the base's for all)")
    task = load_task(task, limit=limit, seed=seed) if isinstance(task, str) else task
    specs = [base, *([tuned] if isinstance(tuned, str) else tuned)]
    options = {"dtype": dtype, "device": device, "reader": reader}
    allowed = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
    models = [load_model(spec, **options, **allowed) if isinstance(spec, str) else spec for spec in specs]  # type: ignore[arg-type]
    names = _names(models)
    settings = {
        "kind": "audit",
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "num_problems": len(task.problems),
        "models": dict(zip(names, (model.fingerprint for model in models), strict=True)),
        "samples": samples,
        **asdict(sampling),
        "template": template,
        "metrics": sorted(family.name for family in families),
        "batch_size": batch_size,
        "reader": reader,
    }
    told = on_progress or (lambda what, done, total: None)
    clock = _Clock()
    with Run.create_or_resume(out, settings) as run:
        scribes = [Recorded(model, run.store, batch_size) for model in models]
        chains: list[list[Chain]] = []
        scores: list[Score] = []
        readings: list[ReadingRow] = []
        cases: list[CaseRow] = []
        edits: list[EditRow] = []
        shared = _prompts(models[0], task) if template == "shared" else None
        for name, scribe in zip(names, scribes, strict=True):
            with clock.phase(f"sampling {name}"):
                chains.append(_sample(scribe, task, name, samples, sampling, shared, told))
        run.write_tables(problems=task.problems, chains=[chain for written in chains for chain in written])
        for name, scribe, written in zip(names, scribes, chains, strict=True):
            for role, reader_ in (("self", scribe), ("base", scribes[0])):
                with clock.phase(f"examining {name} by {role}"):
                    same = reader_.model.vocabulary == scribe.model.vocabulary
                    found = examine(
                        written,
                        task,
                        families,
                        reader_,
                        role=role,
                        sampling=sampling,
                        same_vocabulary=same,
                        prompts=None if same and template == "shared" else _prompts(reader_.model, task),
                        on_progress=lambda what, done, total, name=name: told(f"{what} {name}", done, total),  # type: ignore[misc]
                    )
                scores += found.scores
                readings += found.readings
                cases += found.case_rows
                edits += found.edit_rows
        with clock.phase("comparing"):
            comparisons = compare_all(scores, names[0], names[1:], families, seed=seed)
            verdicts = [judge(name, [c for c in comparisons if c.tuned == name]) for name in names[1:]]
            run.write_tables(readings=readings, scores=scores, cases=cases, edits=edits)
        run.write_results(
            comparisons,
            verdicts,
            timings=clock.seconds,
            models={name: _about(model) for name, model in zip(names, models, strict=True)},
            seeds={"seed": seed},
        )
    return run


def score(
    traces: str | Path,
    *,
    scorer: str | Model,
    out: str | Path,
    limit: int | None = None,
    seed: int = 0,
    metrics: Sequence[str] | None = None,
    splitter: str = "auto",
    max_tokens: int = 512,
    batch_size: int = 8,
    dtype: str | None = None,
    device: str | None = None,
    reader: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    on_progress: Progress | None = None,
) -> Run:
    """Return the run in which `scorer` reads the chains that other models wrote, from the JSON Lines file `traces`.

    Every writer in the file gets its estimates (`run.estimates`); the scorer is a fixed yardstick, so reliance is the scorer's
    reliance on the chain, and no verdict is given. A chain of a problem without reference answer is read towards its own.
    """
    families = choose(metrics)
    sampling = Sampling(seed, 0.0, 1.0, max_tokens, splitter)
    imported = load_traces(traces, limit)
    task = trace_task(imported, Path(traces).stem)
    model = (
        load_model(
            scorer, dtype=dtype, device=device, reader=reader, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
        )
        if isinstance(scorer, str)
        else scorer
    )
    settings = {
        "kind": "score",
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "num_problems": len(task.problems),
        "models": {model.name: model.fingerprint},
        "metrics": sorted(family.name for family in families),
        "samples": 1,
        **asdict(sampling),
        "batch_size": batch_size,
        "reader": reader,
    }
    told = on_progress or (lambda what, done, total: None)
    clock = _Clock()
    with Run.create_or_resume(out, settings) as run:
        chains = to_chains(imported, model, task, splitter=splitter)
        scribe = Recorded(model, run.store, batch_size)
        scores: list[Score] = []
        readings: list[ReadingRow] = []
        cases: list[CaseRow] = []
        edits: list[EditRow] = []
        for writer in dict.fromkeys(chain.model for chain in chains):
            with clock.phase(f"examining {writer}"):
                found = examine(
                    [chain for chain in chains if chain.model == writer],
                    task,
                    families,
                    scribe,
                    role="self",
                    sampling=sampling,
                    on_progress=lambda what, done, total, writer=writer: told(f"{what} {writer}", done, total),  # type: ignore[misc]
                )
            scores += found.scores
            readings += found.readings
            cases += found.case_rows
            edits += found.edit_rows
        run.write_tables(problems=task.problems, chains=chains, readings=readings, scores=scores, cases=cases, edits=edits)
        run.write_results(
            [],
            [],
            timings=clock.seconds,
            models={model.name: _about(model)},
            seeds={"seed": seed},
            more={"estimates": estimates(scores, families, seed=seed)},
        )
    return run


def compare_all(
    scores: Sequence[Score], base: str, tuned: Sequence[str], families: Sequence[Family], *, seed: int
) -> list[Comparison]:
    """Return one comparison per tuned model, metric and scorer, paired by problem.

    Under scorer `base` the base's own chains are those it read itself. A metric that no chain of either model allowed is still
    there, with what kept it from being scored. Raises `MetricError` where nothing at all could be scored.
    """
    if not any(one.value is not None for one in scores):
        reasons = sorted({one.reason for one in scores})[:3]
        raise MetricError(f"nothing could be scored ({'; '.join(reasons) or 'there are no chains'}); look at chains.parquet")
    grouped: dict[tuple[str, str, str], list[Score]] = {}
    for one in scores:
        grouped.setdefault((one.writer, one.metric, one.scorer), []).append(one)
    found = []
    for name in tuned:
        for family in families:
            for metric in family.metrics:
                for scorer in family.scorers:
                    pair = [grouped.get((writer, metric.name, scorer), []) for writer in (base, name)]
                    found.append(
                        comparison(base, name, metric.name, scorer, pair[0], pair[1], metric.unit, metric.higher_is, seed=seed)
                    )
    return found


def estimates(scores: Sequence[Score], families: Sequence[Family], *, seed: int) -> list[dict[str, object]]:
    """Return one row per writer, metric and scorer: the estimate over problems and why others are missing."""
    rows: list[dict[str, object]] = []
    for writer in dict.fromkeys(one.writer for one in scores):
        for metric in (metric for family in families for metric in family.metrics):
            mine = [one for one in scores if one.writer == writer and one.metric == metric.name]
            for scorer in dict.fromkeys(one.scorer for one in mine):
                values, reasons = by_problem(one for one in mine if one.scorer == scorer)
                found = estimate(values, seed=derive_seed(seed, metric.name, scorer))
                missing = {reason: list(reasons.values()).count(reason) for reason in sorted(set(reasons.values()))}
                row = {"writer": writer, "metric": metric.name, "scorer": scorer, "unit": METRICS[metric.name].unit}
                rows.append({**row, **asdict(found), "missing": missing})
    return rows


def _sample(
    scribe: Recorded,
    task: Task,
    name: str,
    samples: int,
    sampling: Sampling,
    prompts: dict[str, Prompt] | None,
    told: Progress,
) -> list[Chain]:
    return sample_chains(
        scribe.model,
        task,
        samples=samples,
        seed=sampling.seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        splitter=sampling.splitter,
        batch_size=scribe.batch_size,
        generate=scribe.generate,
        prompts=prompts,
        writer=name,
        on_progress=lambda done, total: told(f"sampling {name}", done, total),
    )


def _prompts(model: Model, task: Task) -> dict[str, Prompt]:
    return {problem.id: model.render(task.message(problem)) for problem in task.problems}


def _names(models: Sequence[Model]) -> list[str]:
    """Return the models' names, told apart where two are alike."""
    names: list[str] = []
    for model in models:
        same = sum(name == model.name or name.startswith(f"{model.name} #") for name in names)
        names.append(f"{model.name} #{same + 1}" if same else model.name)
    return names


def _about(model: Model) -> dict[str, object]:
    about: dict[str, object] = {"fingerprint": model.fingerprint, "vocabulary": model.vocabulary}
    for name in ("dtype", "device", "notes"):
        if getattr(model, name, None):
            value = getattr(model, name)
            about[name] = list(value) if name == "notes" else str(value)
    return about


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)
