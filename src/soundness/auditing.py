"""The audit: base against tuned on the same problems, from sampling to verdict.

problems -> chains (each model writes) -> readings (each model reads its own chains, the base reads all, all read the base's)
         -> scores (one per chain and metric) -> comparisons (paired by problem) -> verdicts
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from soundness.chains.imported import load_traces, to_chains, trace_task
from soundness.chains.sample import check_sampling, sample_chains
from soundness.comparison.compare import compare_corpus, estimate_corpus, writer_reader
from soundness.comparison.verdict import broken_verdict
from soundness.comparison.verdict import judge as verdict_on
from soundness.errors import BrokenModelError, MetricError, SettingError
from soundness.metrics import GROUPS, SHARED_CHAINS
from soundness.metrics.base import Job, Measured, Metric, MetricGroup, Need, Reader
from soundness.metrics.case import Case
from soundness.metrics.choosing import choose
from soundness.metrics.operators import OPERATOR_PAIRS, disagreements
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.progress import Progress, silent
from soundness.records import Chain, Comparison, Estimate, Probe, Prompt, Score
from soundness.runs.folder import Run
from soundness.runs.settings import GROWING
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.scoring.contract import guarded
from soundness.scoring.facts import Judge, knows_exactly
from soundness.scoring.noise_floor import measure_floor
from soundness.scoring.score import Helpers, Sampling, score_chains
from soundness.statistics.corrections import adjust
from soundness.statistics.noise import floor_rows
from soundness.statistics.paired import by_problem, comparison, estimate
from soundness.tasks.base import Task, load_task
from soundness.tasks.panel import PanelTask, load_panel
from soundness.tasks.retrieval import Documents

__all__ = ["audit", "compare_all", "score"]

OnScored = Callable[[str, Sequence[Case], Sequence[MetricGroup]], None]
"""Told (reader, what it read, for which groups)."""

Row = TypeVar("Row", Score, ReadingRow, CaseRow, EditRow)

JUDGEMENTS_FILE = "judgements.jsonl"
WRITER_READER_FILE = "writer_reader.json"


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
    metrics: Sequence[str | MetricGroup] | None = None,
    profile: str = "standard",
    panel: str | Path | Sequence[PanelTask] | None = None,
    judge: str | Model | None = None,
    documents: str | Path | Documents | None = None,
    proposer: str | Model | None = None,
    splitter: str = "auto",
    batch_size: int = 8,
    dtype: str | None = None,
    device: str | None = None,
    reader: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    noise_floor: bool = True,
    on_progress: Progress | None = None,
    on_scored: OnScored | None = None,
) -> Run:
    """Return the run that compares each of `tuned` with `base` on `task`; everything is kept in the folder `out`.

    Models and task are specifications or objects. Temperature defaults to greedy for one sample and to 0.8 for several. With
    `template` "own" each model is asked in its own chat template, with "shared" all in the base's. `metrics` holds metric groups,
    names of groups or metrics, and references such as `my_file.py:MyGroup`; without it `profile` (quick, standard, full) chooses.
    In all but quick the tuned models read the base's chains too, so that writing and using can be told apart
    (`writer_reader.json`). `panel` is a TOML file of other tasks, `judge` a model that judges the facts in the steps by the
    problem's own facts and by a folder of `documents`, `proposer` a model that says steps in other words where no rule does, and
    writes mistakes into them. With `noise_floor` the base is also held against itself (`soundness.scoring.noise_floor` says how).
    A folder that holds a run with the same settings is resumed: what is stored is not computed again. Raises a `SoundnessError`
    for whatever the user can mend.
    """
    others = load_panel(panel, seed=seed) if isinstance(panel, (str, Path)) else tuple(panel or ())
    groups = choose(metrics, profile, samples=samples, other_tasks=bool(others))
    for group in groups:
        if Need.OTHER_TASKS in group.needs and not others:
            raise SettingError(f"the metric {group.name} needs other tasks: give them with --panel PANEL.toml")
    library = Documents.load(documents) if isinstance(documents, (str, Path)) else documents
    if library is not None and judge is None:
        raise SettingError("--documents are for a judge to look into: give one with --judge MODEL")
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
    judging, proposing = (load_model(m, **options, **allowed) if isinstance(m, str) else m for m in (judge, proposer))  # type: ignore[arg-type]
    names = _names(models)
    share = profile in SHARED_CHAINS and any(Reader.TUNED in group.readers for group in groups)
    settings = {
        "kind": "audit",
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "num_problems": len(task.problems),
        "models": dict(zip(names, (model.fingerprint for model in models), strict=True)),
        "base": names[0],
        "tuned": names[1:],
        "samples": samples,
        **asdict(sampling),
        "template": template,
        "metrics": sorted(group.name for group in groups),
        "readers": ["base", "self", *(["tuned"] if share else [])],
        "panel": {one.name: one.task.fingerprint for one in others},
        "judge": judging.fingerprint if judging is not None else None,
        "documents": library.fingerprint if library is not None else None,
        "proposer": proposing.fingerprint if proposing is not None else None,
        "batch_size": batch_size,
        "reader": reader,
        "noise_floor": noise_floor,
    }
    told = on_progress or silent
    clock = _Clock()
    with Run.create_or_resume(out, settings, growing=(*GROWING, "readers"), first_problems=_first_problems(task)) as run:
        if run.finished and not _own(groups):  # the results are there, of these settings and this code
            return run
        # What a folder already measures stays measured: its metrics, samples and readers grow and never shrink.
        samples, groups, share = run.settings["samples"], _kept(run, groups), "tuned" in run.settings["readers"]
        cached = [CachedModel(model, run.store, batch_size=batch_size) for model in models]
        helpers = Helpers(
            proposer=CachedModel(proposing, run.store, batch_size=batch_size) if proposing is not None else None,
            judge=Judge(CachedModel(judging, run.store, batch_size=batch_size) if judging is not None else None, library),
        )
        chains: list[list[Chain]] = []
        scores: list[Score] = []
        readings: list[ReadingRow] = []
        cases: list[CaseRow] = []
        edits: list[EditRow] = []
        own_cases: dict[str, list[Case]] = {}
        shared = _prompts(models[0], task) if template == "shared" else None
        broken: dict[str, str] = {}  # tuned model -> why it gives no numbers; the others are audited all the same
        for name, model in zip(names, cached, strict=True):
            with clock.phase(f"sampling {name}"), _failing_alone(name, names[0], broken):
                chains.append([])
                _check_gives_numbers(model, task)
                chains[-1] = _sample(model, task, name, samples, sampling, shared, told)
        run.write_tables(problems=task.problems, chains=[chain for written in chains for chain in written])
        rounds = [(i, reading, who) for i in range(len(names)) for reading, who in ((i, Reader.SELF), (0, Reader.BASE))]
        if share:  # every tuned model reads the base's chains
            rounds += [(0, i, Reader.TUNED) for i in range(1, len(names))]
        for writing, reading, who in rounds:
            name, reader_ = names[writing], cached[reading]
            if name in broken or names[reading] in broken:
                continue
            with clock.phase(f"reading {name} by {names[reading]}"), _failing_alone(names[reading], names[0], broken):
                same = reader_.vocabulary == models[writing].vocabulary
                found = score_chains(
                    chains[writing],
                    task,
                    groups,
                    reader_,
                    reader=who,
                    reader_name=names[reading],
                    sampling=sampling,
                    same_vocabulary=same,
                    prompts=None if same and template == "shared" else _prompts(reader_, task),
                    helpers=helpers,
                    on_progress=lambda what, done, total, name=name: told(f"{what} {name}", done, total),  # type: ignore[misc]
                )
                scores += found.scores
                readings += found.readings
                cases += found.case_rows
                edits += found.edit_rows
                if who == Reader.SELF:
                    own_cases[name] = found.cases
                if on_scored is not None:
                    on_scored(names[reading], found.cases, groups)
        floor: dict[tuple[str, str], Estimate] = {}
        how = "not measured"
        if noise_floor:
            with clock.phase("noise floor"):
                mine = [one for one in scores if one.writer == names[0] and one.reader in (Reader.SELF, Reader.NOBODY)]
                floor, how = measure_floor(cached[0], task, groups, chains[0], mine, sampling, samples, told)
        with clock.phase("asking beyond the task"):
            job = Job(
                models={name: model for name, model in zip(names, cached, strict=True) if name not in broken},
                base=names[0],
                task=task,
                chains=chains[0],
                max_tokens=sampling.max_tokens,
                seed=sampling.seed,
                splitter=sampling.splitter,
                other_tasks=others,
                render=(lambda _, other: _prompts(models[0], other)) if shared else None,
                on_progress=told,
            )
            scores += _ask_all(groups, job, broken)
        if broken:  # nothing that a broken model wrote or read enters a table
            chains = [[chain for chain in written if chain.model not in broken] for written in chains]
            scores, readings, cases, edits = (_without(broken, rows) for rows in (scores, readings, cases, edits))
            run.write_tables(problems=task.problems, chains=[chain for written in chains for chain in written])
        sound_names = [name for name in names if name not in broken]
        with clock.phase("comparing"):
            comparisons = adjust(compare_all(scores, names[0], sound_names[1:], groups, seed=seed))
            verdicts = [
                broken_verdict(name, broken[name])
                if name in broken
                else verdict_on(name, comparisons, floor=floor, operators=OPERATOR_PAIRS)
                for name in names[1:]
            ]
            run.write_tables(readings=readings, scores=scores, cases=cases, edits=edits)
            measured = Measured(
                models=tuple(sound_names),
                scores=scores,
                chains=[chain for written in chains for chain in written],
                problems=task.by_id,
                seed=seed,
                other_tasks=tuple(other.name for other in others),
            )
            tables = _tables(measured, groups)
            if "writer_reader" in tables:
                run.write_file(WRITER_READER_FILE, json.dumps(tables["writer_reader"], indent=2, sort_keys=True) + "\n")
            if any(case.judgements for mine in own_cases.values() for case in mine):
                run.write_file(JUDGEMENTS_FILE, "".join(f"{line}\n" for line in _judgements(own_cases)))
        run.write_results(
            comparisons,
            verdicts,
            timings=clock.seconds,
            models={name: _about(model) for name, model in zip(names, models, strict=True)},
            seeds={"seed": seed},
            more={
                "noise_floor": {"how": how, "estimates": floor_rows(floor)},
                "tables": tables,
                "disagreements": [asdict(one) for one in disagreements(comparisons)],
            },
        )
    return run


def score(
    traces: str | Path,
    *,
    scorer: str | Model,
    out: str | Path,
    limit: int | None = None,
    seed: int = 0,
    metrics: Sequence[str | MetricGroup] | None = None,
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
    groups = choose(metrics, samples=1)
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
        "metrics": sorted(group.name for group in groups),
        "samples": 1,
        **asdict(sampling),
        "batch_size": batch_size,
        "reader": reader,
    }
    told = on_progress or silent
    clock = _Clock()
    with Run.create_or_resume(out, settings, first_problems=_first_problems(task)) as run:
        if run.finished and not _own(groups):
            return run
        groups = _kept(run, groups)
        chains = to_chains(imported, model, task, splitter=splitter)
        cached = CachedModel(model, run.store, batch_size=batch_size)
        scores: list[Score] = []
        readings: list[ReadingRow] = []
        cases: list[CaseRow] = []
        edits: list[EditRow] = []
        for writer in dict.fromkeys(chain.model for chain in chains):
            with clock.phase(f"reading {writer}"):
                found = score_chains(
                    [chain for chain in chains if chain.model == writer],
                    task,
                    groups,
                    cached,
                    reader="self",
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
            more={"estimates": estimates(scores, groups, seed=seed)},
        )
    return run


def compare_all(
    scores: Sequence[Score], base: str, tuned: Sequence[str], groups: Sequence[MetricGroup], *, seed: int
) -> list[Comparison]:
    """Return one comparison per tuned model, metric and reader, paired by problem.

    Under reader `base` the base's own chains are those it read itself; under `tuned` both sides read the base's chains, the base and
    the tuned model, so that the difference is one of reading alone. A metric that no chain of either model allowed is still
    there, with what kept it from being scored. Raises `MetricError` where nothing at all could be scored.
    """
    if not any(one.value is not None for one in scores):
        reasons = sorted({one.reason for one in scores})[:3]
        raise MetricError(f"nothing could be scored ({'; '.join(reasons) or 'there are no chains'}); look at chains.parquet")
    grouped: dict[tuple[str, str, Reader, str], list[Score]] = {}
    for one in scores:
        name = one.reader_name if one.reader == Reader.TUNED else ""
        grouped.setdefault((one.writer, one.metric, one.reader, name), []).append(one)
    found = []
    for name in tuned:
        for group in groups:
            for reader in group.readers:
                for metric in group.metrics:
                    places = [(base, metric.name, reader, ""), (name, metric.name, reader, "")]
                    if reader == Reader.TUNED:
                        places = [(base, metric.name, Reader.SELF, ""), (base, metric.name, reader, name)]
                    if places[1] not in grouped:  # nobody was asked to read for it
                        continue
                    pair = [grouped.get(place, []) for place in places]
                    found.append(
                        comparison(
                            base,
                            name,
                            metric.name,
                            reader,
                            pair[0],
                            pair[1],
                            metric.unit,
                            metric.direction,
                            seed=seed,
                            bounds=metric.bounds,
                        )
                    )
                found += [compare_corpus(scores, metric, base, name, reader, seed=seed) for metric in group.corpus]
    return found


def estimates(scores: Sequence[Score], groups: Sequence[MetricGroup], *, seed: int) -> list[dict[str, object]]:
    """Return one row per writer, metric and reader: the estimate over problems and why others are missing."""
    rows: list[dict[str, object]] = []

    def row(writer: str, metric: Metric, reader: Reader, found: Estimate, reasons: Mapping[str, str]) -> dict[str, object]:
        missing = {reason: list(reasons.values()).count(reason) for reason in sorted(set(reasons.values()))}
        about = {"writer": writer, "metric": metric.name, "reader": reader, "unit": metric.unit}
        return {**about, **asdict(found), "missing": missing}

    for writer in dict.fromkeys(one.writer for one in scores):
        for metric in (metric for group in groups for metric in group.metrics):
            mine = [one for one in scores if one.writer == writer and one.metric == metric.name]
            for reader in dict.fromkeys(one.reader for one in mine):
                values, reasons = by_problem(one for one in mine if one.reader == reader)
                rows.append(row(writer, metric, reader, estimate(values, seed=seed, bounds=metric.bounds), reasons))
        for group in groups:
            for corpus in group.corpus:
                about, why = estimate_corpus(scores, corpus, writer, group.readers[0], seed=seed)
                rows.append(row(writer, corpus.metric, group.readers[0], about, why))
    return rows


def _first_problems(task: Task) -> Callable[[int], str]:
    """Return what gives the fingerprint of the task's first n problems: a folder that holds those may be given more."""
    return lambda n: replace(task, problems=task.problems[:n]).fingerprint


def _own(groups: Sequence[MetricGroup]) -> bool:
    """Return whether some groups are a user's own, whose code may have changed since they last ran."""
    return any(GROUPS.get(group.name) is not group for group in groups)


def _kept(run: Run, groups: Sequence[MetricGroup]) -> list[MetricGroup]:
    """Return the groups that a run measures by its settings, those of earlier commands included.

    Raises MetricError for a user's own group that an earlier command named and this one does not.
    """
    known = {**GROUPS, **{group.name: group for group in groups}}
    if lacking := next((name for name in run.settings["metrics"] if name not in known), None):
        raise MetricError(
            f"{run.path} measures {lacking!r} too, a metric group of your own: name it again, as in --metrics my_file.py:MyGroup"
        )
    return [group for name, group in known.items() if name in run.settings["metrics"]]


@contextmanager
def _failing_alone(name: str, base: str, broken: dict[str, str]) -> Iterator[None]:
    """Note a tuned model that gives no numbers, for the others to go on without it; without the base none can."""
    try:
        yield
    except BrokenModelError as error:
        if name == base:
            raise
        broken[name] = str(error)


def _check_gives_numbers(model: CachedModel, task: Task) -> None:
    """Raise BrokenModelError, within a second, where a model gives NaN: before it writes for minutes."""
    ids = model.render(task.message(task.problems[0])).ids
    model.read([Probe(ids, ids[-1:])])


def _ask_all(groups: Sequence[MetricGroup], job: Job, broken: dict[str, str]) -> list[Score]:
    """Return what `ask_beyond` does, over the models that give numbers."""
    while True:
        try:
            return ask_beyond(groups, job)
        except BrokenModelError as error:
            name = next(
                (n for n, model in job.models.items() if model.fingerprint == error.fingerprint and n != job.base), None
            )
            if name is None:
                raise
            broken[name] = str(error)
            job = replace(job, models={n: model for n, model in job.models.items() if n != name})


def _without(broken: Mapping[str, str], rows: list[Row]) -> list[Row]:
    """Return the rows that no broken model wrote or read."""
    return [row for row in rows if row.writer not in broken and row.reader_name not in broken]


def ask_beyond(groups: Sequence[MetricGroup], job: Job) -> list[Score]:
    """Return the scores of what `groups` ask beside the audit's own chains."""
    return [score for group in groups for score in guarded(group, "ask", job.task.name, group.ask, job)]


def _tables(measured: Measured, groups: Sequence[MetricGroup]) -> dict[str, Any]:
    """Return, as JSON values, what is a curve or a table rather than a number."""
    tables: dict[str, Any] = {}
    base, *tuned = measured.models
    if rows := writer_reader(measured.scores, base, tuned, groups, seed=measured.seed):
        tables["writer_reader"] = rows
    for group in groups:
        tables.update(group.curve(measured) or {})
    return tables


def _judgements(cases: Mapping[str, Sequence[Case]]) -> list[str]:
    """Return one JSON line per judged step, with the judge's own words."""
    lines = []
    for name, mine in cases.items():
        for case in mine:
            exact = knows_exactly(case.problem) is not None
            for one in case.judgements:
                row = {
                    "writer": name,
                    "problem_id": case.problem.id,
                    "sample": case.chain.sample,
                    "step": one.step,
                    "text": case.body.chain.step_texts[one.step],
                    "word": one.word,
                    "by": "world" if exact else "judge",
                    "raw": one.raw,
                    "evidence": list(one.evidence),
                }
                lines.append(json.dumps(row, sort_keys=True))
    return lines


def _sample(
    model: CachedModel,
    task: Task,
    name: str,
    samples: int,
    sampling: Sampling,
    prompts: dict[str, Prompt] | None,
    told: Progress,
) -> list[Chain]:
    return sample_chains(
        model,
        task,
        samples=samples,
        seed=sampling.seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        splitter=sampling.splitter,
        prompts=prompts,
        writer=name,
        on_progress=lambda done, total: told(f"sampling {name}", done, total),
    )


def _prompts(model: Model, task: Task) -> dict[str, Prompt]:
    return {problem.id: task.prompt(model, problem) for problem in task.problems}


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
