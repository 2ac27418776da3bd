"""The rounds of an audit that ask models: writing, reading, the noise floor, and what is asked beside the task."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from soundness.auditing.setup import Setup
from soundness.chains.imported import ImportedTrace, to_chains
from soundness.chains.sample import sample_chains
from soundness.errors import BrokenModelError
from soundness.metrics.base import Job, MetricGroup
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.progress import Progress
from soundness.records import Chain, Estimate, Probe, Prompt, Reader, Score
from soundness.runs.folder import Run
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.scoring.contract import guarded
from soundness.scoring.facts import Judge
from soundness.scoring.noise_floor import measure_floor
from soundness.scoring.score import Helpers, score_chains
from soundness.tasks.base import Task

__all__ = ["OnScored", "Rounds"]

OnScored = Callable[[str, Sequence[Case], Sequence[MetricGroup]], None]
"""Told (reader, what it read, for which groups)."""


class Rounds:
    """What an audit has asked and heard so far; each method is one round."""

    def __init__(self, setup: Setup, run: Run, on_progress: Progress, on_scored: OnScored | None) -> None:
        self.setup = setup
        self.run = run
        self.on_progress = on_progress
        self.on_scored = on_scored
        self.models = [self._cached(model) for model in setup.models]
        self.helpers = Helpers(
            proposer=self._cached(setup.proposer) if setup.proposer is not None else None,
            judge=Judge(self._cached(setup.judge) if setup.judge is not None else None, setup.documents),
        )
        self.chains: list[list[Chain]] = []
        """What each model wrote, in the order of the models."""
        self.scores: list[Score] = []
        self.readings: list[ReadingRow] = []
        self.cases: list[CaseRow] = []
        self.edits: list[EditRow] = []
        self.own_cases: dict[str, list[Case]] = {}
        """Writer -> its chains as it read them itself."""
        self.floor: dict[tuple[str, str], Estimate] = {}
        self.floor_method = "not measured"
        self.broken: dict[str, str] = {}
        """Tuned model -> why it gives no numbers; the others are audited all the same."""
        self.seconds: dict[str, float] = {}
        """Phase -> time that it took."""

    def write_chains(self) -> None:
        """Have every model write its chains."""
        setup = self.setup
        for name, model, task in zip(setup.names, self.models, setup.tasks, strict=True):
            model.check_identity()
            with self.phase(f"sampling {name}"), self._failing_alone(name):
                self.chains.append([])
                prompts = self._prompts(model, task)
                _check_gives_numbers(model, prompts)
                self.chains[-1] = sample_chains(
                    model,
                    task,
                    samples=setup.samples,
                    seed=setup.sampling.seed,
                    temperature=setup.sampling.temperature,
                    top_p=setup.sampling.top_p,
                    max_tokens=setup.sampling.max_tokens,
                    splitter=setup.sampling.splitter,
                    prompts=prompts,
                    writer=name,
                    on_progress=self._progress("sampling", name),
                )
        self.write_chain_tables()

    def read_chains(self) -> None:
        """Have each model read its own chains, the base read all, and the tuned models read the base's."""
        names = self.setup.names
        rounds = [(i, reading, who) for i in range(len(names)) for reading, who in ((i, Reader.SELF), (0, Reader.BASE))]
        if self.setup.share:
            rounds += [(0, i, Reader.TUNED) for i in range(1, len(names))]
        for writing, reading, who in rounds:
            if names[writing] not in self.broken and names[reading] not in self.broken:
                with self.phase(f"reading {names[writing]} by {names[reading]}"), self._failing_alone(names[reading]):
                    self._read(self.chains[writing], writing, reading, who)

    def read_imported(self, imported: Sequence[ImportedTrace]) -> None:
        """Have the one scorer read chains that other models wrote, writer by writer."""
        chains = to_chains(imported, self.models[0], self.setup.task, splitter=self.setup.sampling.splitter)
        self.chains = [chains]
        for writer in dict.fromkeys(chain.model for chain in chains):
            with self.phase(f"reading {writer}"):
                self._read([chain for chain in chains if chain.model == writer], 0, 0, Reader.SELF, prompts=False)

    def measure_noise_floor(self) -> None:
        """Compare the base with itself."""
        if not self.setup.noise_floor:
            return
        with self.phase("noise floor"):
            base = self.setup.names[0]
            own = [score for score in self.scores if score.writer == base and score.reader in (Reader.SELF, Reader.NOBODY)]
            self.floor, self.floor_method = measure_floor(
                self.models[0],
                self.setup.task,
                self.setup.groups,
                self.chains[0],
                own,
                self.setup.sampling,
                self.setup.samples,
                self.on_progress,
            )

    def ask_beyond(self) -> None:
        """Ask what groups ask beside the audit's own chains: other formats, other tasks, forgetting."""
        setup = self.setup
        shared = setup.task.prompting.template == "shared"
        with self.phase("asking beyond the task"):
            job = Job(
                models={name: model for name, model in zip(setup.names, self.models, strict=True) if name not in self.broken},
                base=setup.names[0],
                task=setup.task,
                chains=self.chains[0],
                max_tokens=setup.sampling.max_tokens,
                seed=setup.sampling.seed,
                splitter=setup.sampling.splitter,
                other_tasks=setup.others,
                render=(lambda _, other: _prompts(self.models[0], other)) if shared else None,
                on_progress=self.on_progress,
            )
            self.scores += self._ask(job)
        if self.broken:  # nothing that a broken model wrote or read enters a table
            self.chains = [[chain for chain in written if chain.model not in self.broken] for written in self.chains]
            self.scores = [row for row in self.scores if self._is_whole(row)]
            self.readings = [row for row in self.readings if self._is_whole(row)]
            self.cases = [row for row in self.cases if self._is_whole(row)]
            self.edits = [row for row in self.edits if self._is_whole(row)]
            self.write_chain_tables()

    @property
    def working(self) -> tuple[str, ...]:
        """The models that gave numbers, the base first."""
        return tuple(name for name in self.setup.names if name not in self.broken)

    @property
    def all_chains(self) -> list[Chain]:
        """Every chain, model by model."""
        return [chain for written in self.chains for chain in written]

    def write_chain_tables(self) -> None:
        """Keep problems and chains in the run's tables."""
        self.run.write_tables(problems=self.setup.task.problems, chains=self.all_chains)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time that passes inside under `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)

    def _cached(self, model: Model) -> CachedModel:
        return CachedModel(model, self.run.store, batch_size=self.setup.batch_size)

    def _read(self, chains: Sequence[Chain], writing: int, reading: int, who: Reader, *, prompts: bool = True) -> None:
        setup, model, task = self.setup, self.models[reading], self.setup.tasks[writing]
        same = model.vocabulary == self.models[writing].vocabulary
        shared = task.prompting.template == "shared"
        # Who reads another's chains is asked as the writer was, in its own template.
        shown = self._prompts(model, task) if prompts and not (same and shared) else None
        scored = score_chains(
            chains,
            task,
            setup.groups,
            model,
            reader=who,
            reader_name=setup.names[reading],
            sampling=setup.sampling,
            same_vocabulary=same,
            prompts=shown,
            helpers=self.helpers,
            on_progress=lambda what, done, total: self.on_progress(f"{what} {setup.names[writing]}", done, total),
        )
        self.scores += scored.scores
        self.readings += scored.readings
        self.cases += scored.case_rows
        self.edits += scored.edit_rows
        if who == Reader.SELF and chains:
            self.own_cases[chains[0].model] = scored.cases
        if self.on_scored is not None:
            self.on_scored(setup.names[reading], scored.cases, setup.groups)

    def _prompts(self, model: Model, task: Task) -> dict[str, Prompt]:
        """Return the prompt of every problem: in the model's own template, or in the base's for all."""
        return _prompts(self.models[0] if task.prompting.template == "shared" else model, task)

    def _progress(self, what: str, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.on_progress(f"{what} {name}", done, total)

    def _ask(self, job: Job) -> list[Score]:
        """Return what the groups ask over the models that give numbers; one that stops giving them is left out from there on."""
        groups = self.setup.groups
        while True:
            try:
                return [score for group in groups for score in guarded(group, "ask", job.task.name, group.ask, job)]
            except BrokenModelError as error:
                broken = (n for n, model in job.models.items() if model.fingerprint == error.fingerprint and n != job.base)
                name = next(broken, None)
                if name is None:
                    raise
                self.broken[name] = str(error)
                job = replace(job, models={n: model for n, model in job.models.items() if n != name})

    @contextmanager
    def _failing_alone(self, name: str) -> Iterator[None]:
        """Note a tuned model that gives no numbers, for the others to go on without it; without the base none can."""
        try:
            yield
        except BrokenModelError as error:
            if name == self.setup.names[0]:
                raise
            self.broken[name] = str(error)

    def _is_whole(self, row: Score | ReadingRow | CaseRow | EditRow) -> bool:
        return row.writer not in self.broken and row.reader_name not in self.broken


def _prompts(model: Model, task: Task) -> dict[str, Prompt]:
    return {problem.id: task.prompt(model, problem) for problem in task.problems}


def _check_gives_numbers(model: CachedModel, prompts: Mapping[str, Prompt]) -> None:
    """Raise BrokenModelError, within a second, where a model gives NaN: before it writes for minutes."""
    ids = next(iter(prompts.values())).ids
    model.read([Probe(ids, ids[-1:])])
