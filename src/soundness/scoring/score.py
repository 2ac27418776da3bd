"""From chains to scores: what one reader makes of the chains that one writer wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from soundness.chains.body import body_of
from soundness.metrics.base import NO_ANSWER, MetricGroup, Need, Read, Value
from soundness.metrics.belief import Belief
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.probes.forest import build
from soundness.records import LETTERS, AskedAnswer, Chain, Generation, Probe, Problem, Prompt, Reader, Reading, Score
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.scoring.contract import checked, guarded, seen_by
from soundness.scoring.edits import edit_cases
from soundness.scoring.facts import judge_cases
from soundness.scoring.helpers import Helpers, Sampling
from soundness.scoring.reading import CaseRead
from soundness.scoring.rows import case_row, edit_rows, settled
from soundness.tasks.base import Task

__all__ = ["Helpers", "Sampling", "ScoredChains", "belief_in", "group_tokens", "score_chains"]

# An answer to a direct question; one that is not closed by then is not readable.
_ANSWER_TOKENS = 48


@dataclass(frozen=True, slots=True)
class ScoredChains:
    """Everything that came out of it."""

    scores: list[Score]
    """One per chain and metric, and one per problem and metric over its samples."""
    readings: list[ReadingRow]
    """What the reader believed, probe by probe."""
    cases: list[Case]
    """The chains as the reader saw them."""
    case_rows: list[CaseRow] = field(default_factory=list)
    """The same as rows of a table."""
    edit_rows: list[EditRow] = field(default_factory=list)
    """Every edit and what it did."""


def score_chains(
    chains: Sequence[Chain],
    task: Task,
    groups: Sequence[MetricGroup],
    model: CachedModel,
    *,
    reader: Reader | Literal["self", "base", "tuned"],
    sampling: Sampling,
    reader_name: str | None = None,
    same_vocabulary: bool = True,
    prompts: Mapping[str, Prompt] | None = None,
    helpers: Helpers | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> ScoredChains:
    """Return what `model` makes of `chains` (all of one writer): a score per chain and metric, and every reading behind them.

    `reader` is `self` where the model wrote the chains, `base` where the base reads another's and `tuned` where a tuned model reads
    the base's; groups that do not ask for that reader are passed over. `reader_name` is the model's name in the run, by default the
    writer's for `self` and else its own. Without `same_vocabulary` the writer's ids mean
    nothing to the model and its text is encoded anew. `prompts` are what the model is shown, by problem id; by default what the
    writer was shown. Raises `MetricError` where a user's own group fails or breaks the contract.
    """
    reader = Reader(reader)
    groups = [
        group for group in groups if reader in group.readers or (reader == Reader.SELF and Reader.NOBODY in group.readers)
    ]
    if not groups or not chains:
        return ScoredChains([], [], [])
    told = on_progress or (lambda phase, done, total: None)
    if reader_name is None:
        reader_name = chains[0].model if reader == Reader.SELF else model.name
    cases = _cases(
        chains, task, groups, model, (reader, reader_name), sampling, same_vocabulary, prompts, helpers or Helpers(), told
    )
    cases, answers = _ask(cases, groups, task, model, told)
    made = ScoredChains([], [], cases)
    # A chain of K steps has prefixes of K lengths, which together take K squared: those of a few chains are held at a time.
    for start in range(0, len(cases), model.groups_at_once):
        some = cases[start : start + model.groups_at_once]
        listed = [list(_probes(case, groups)) for case in some]
        readings = model.read_groups([[probe for _, probe in group] for group in listed])
        for case, group in zip(some, listed, strict=True):
            seen = settled(case, readings)
            read = CaseRead(seen, readings, answers)
            made.scores.extend(_scores(seen, groups, read))
            made.readings.extend(_row(case, name, probe, readings[probe]) for name, probe in group)
            made.case_rows.append(case_row(seen, read, readings))
            made.edit_rows.extend(edit_rows(seen, readings))
        told("reading", start + len(some), len(cases))
    made.scores.extend(_over_samples(cases, groups))
    return made


def _cases(
    chains: Sequence[Chain],
    task: Task,
    groups: Sequence[MetricGroup],
    model: CachedModel,
    who: tuple[Reader, str],
    sampling: Sampling,
    same_vocabulary: bool,
    prompts: Mapping[str, Prompt] | None,
    helpers: Helpers,
    told: Callable[[str, int, int], None],
) -> list[Case]:
    """Return one case per chain, in order: body, prompts, facts and edits in the reader's vocabulary."""
    problems = [task.by_id[chain.problem_id] for chain in chains]
    shown = [
        prompts[chain.problem_id] if prompts is not None else (chain.prompt if same_vocabulary else task.prompt(model, problem))
        for chain, problem in zip(chains, problems, strict=True)
    ]
    bodies = [
        body_of(chain, problem, model, own_ids=same_vocabulary, prompt=prompt, channel=sampling.channel, cue=task.cue)
        for chain, problem, prompt in zip(chains, problems, shown, strict=True)
    ]
    cases = [
        Case(
            problem=problem,
            chain=chain,
            reader=who[0],
            reader_name=who[1],
            body=body,
            prompt_ids=prompt.ids,
            cue_ids=body.cue,
            gold=belief_in(problem, problem.answer if problem.answer is not None else chain.answer, task, model),
            own=belief_in(problem, LETTERS[0], task, model) if problem.choices else None,
            stated=belief_in(problem, chain.answer, task, model),
        )
        for chain, problem, body, prompt in zip(chains, problems, bodies, shown, strict=True)
    ]
    if any(Need.FACTS in group.needs for group in groups):
        judged = judge_cases(cases, helpers.judge, on_progress=lambda d, n: told("judging", d, n))
        cases = [replace(case, judgements=found) for case, found in zip(cases, judged, strict=True)]
    return edit_cases(cases, groups, model, sampling, helpers, told, own_ids=same_vocabulary)


def belief_in(problem: Problem, answer: str | None, task: Task, model: Model) -> Belief | None:
    """Return `answer` as something to look for, or None where there is no answer."""
    if answer is None:
        return None
    # Data sets write whole numbers as decimals ("51.0"); nobody answers that way, so its likelihood would say nothing.
    ids = tuple(model.encode(task.continuation(re.sub(r"^(-?\d+)\.0+$", r"\1", answer.strip()), problem)))
    if problem.choices is None:
        return Belief(ids)
    rivals = tuple(tuple(model.encode(task.continuation(letter, problem))) for letter in LETTERS[: len(problem.choices)])
    return Belief(ids, rivals)


Answers = Mapping[tuple[int, ...], AskedAnswer]
"""Prefix -> the open answer given right after it."""


def _asked(case: Case, groups: Sequence[MetricGroup]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (role, prefix) for every question about `case`, each prefix under the first name it was asked by."""
    needs = frozenset[Need]().union(*(group.needs for group in groups))
    seen: set[tuple[int, ...]] = set()

    def wanted() -> Iterator[tuple[str, tuple[int, ...]]]:
        if Need.OWN_ANSWER in needs and not case.cut_off:
            yield "asked after all steps", case.after(case.body.chain.ids)
        if Need.DIRECT_ANSWER in needs:
            yield "asked before any step", case.after(())
        yield from _asked_by_groups(case, groups)

    for role, prefix in wanted():
        if prefix not in seen:
            seen.add(prefix)
            yield role, prefix


def _asked_by_groups(case: Case, groups: Sequence[MetricGroup]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (role, prefix) for every question that a group lists itself."""
    for group in groups:
        yield from guarded(group, "asks", case.problem.id, group.asks, seen_by(group, case))


def _ask(
    cases: list[Case], groups: Sequence[MetricGroup], task: Task, model: CachedModel, told: Callable[[str, int, int], None]
) -> tuple[list[Case], Answers]:
    """Return the cases with the reader's own answers, and every answer that was asked for; all questions go in one call.

    A problem with choices is asked what groups ask, for a letter comes in many dresses; all else is read: the likeliest choice.
    """
    prefixes = [
        prefix
        for case in cases
        for _, prefix in (_asked(case, groups) if case.problem.choices is None else _asked_by_groups(case, groups))
    ]
    given = model.generate(
        prefixes, max_tokens=_ANSWER_TOKENS, until=task.asked_until, on_progress=lambda d, n: told("asking", d, n)
    )
    answers = {prefix: _answer(made, task, model) for prefix, made in zip(prefixes, given, strict=True)}
    if not any(Need.OWN_ANSWER in group.needs for group in groups):
        return cases, answers
    settled_cases = []
    for case in cases:
        if case.problem.choices is None:
            own = None if case.cut_off else answers[case.after(case.body.chain.ids)]
            case = replace(case, own=Belief(own.ids) if own is not None and own.value is not None else None)
        settled_cases.append(case)
    return settled_cases, answers


def _answer(generation: Generation, task: Task, model: Model) -> AskedAnswer:
    """Return what a generation after the cue answers; nothing where it is empty or was never closed."""
    text = model.decode(generation.ids)
    answer = task.read_asked(text) if generation.finish == "stop" else None
    return AskedAnswer(text, answer, generation.finish, NO_ANSWER if answer is None else "", generation.ids)


def _probes(case: Case, groups: Sequence[MetricGroup]) -> Iterator[tuple[str, Probe]]:
    """Yield each distinct probe of `case` once, under the first name it was asked by."""
    seen: set[Probe] = set()

    def wanted() -> Iterator[tuple[str, Probe]]:
        for group in groups:
            yield from guarded(group, "probes", case.problem.id, group.probes, seen_by(group, case))
        if case.problem.choices is not None and case.own is not None:
            for role, prefix in _asked(case, groups):
                yield from ((role, probe) for probe in case.own.probes(prefix))

    for role, probe in wanted():
        if probe not in seen:
            seen.add(probe)
            yield role, probe


def _scores(case: Case, groups: Sequence[MetricGroup], read: Read) -> Iterator[Score]:
    for group in groups:
        for value in checked(
            group, guarded(group, "values", case.problem.id, group.values, seen_by(group, case), read), case.problem.id
        ):
            yield _score(group, case, value)


def _score(group: MetricGroup, case: Case, value: Value) -> Score:
    chain, nobody = case.chain, group.readers == (Reader.NOBODY,)
    return Score(
        value.metric,
        chain.problem_id,
        chain.sample,
        chain.model,
        Reader.NOBODY if nobody else case.reader,
        value.number,
        value.reason,
        "" if nobody else case.reader_name,
    )


def _row(case: Case, name: str, probe: Probe, reading: Reading) -> ReadingRow:
    return ReadingRow(
        reader=case.reader,
        reader_name=case.reader_name,
        problem_id=case.chain.problem_id,
        writer=case.chain.model,
        sample=case.chain.sample,
        role=name,
        prefix_length=len(probe.prefix),
        continuation=probe.continuation,
        reading=reading,
    )


def _over_samples(cases: Sequence[Case], groups: Sequence[MetricGroup]) -> Iterator[Score]:
    """Yield one score per problem and metric of the groups that look at all samples of a problem at once."""
    by_problem: dict[str, list[Case]] = {}
    for case in cases:
        by_problem.setdefault(case.problem.id, []).append(case)
    for group in groups:
        for problem, samples in by_problem.items():
            for value in checked(
                group,
                guarded(group, "per_problem", problem, group.per_problem, [seen_by(group, case) for case in samples]),
                problem,
            ):
                yield _score(group, samples[0], value)


def group_tokens(cases: Sequence[Case], groups: Sequence[MetricGroup]) -> dict[str, int]:
    """Return how many tokens the probes of each group would take to read by themselves; shared prefixes count in each.

    Groups that read nothing are left out.
    """
    tokens = {}
    for group in groups:
        if (cases[0].reader if cases else Reader.SELF) not in group.readers:
            continue
        probes = list(dict.fromkeys(probe for case in cases for _, probe in group.probes(case) if probe.prefix))
        if probes:
            tokens[group.name] = build(probes).num_tokens
    return tokens
