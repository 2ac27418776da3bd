"""From chains to scores: what one reader makes of the chains that one writer wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from soundness.chains.body import Body, body_of
from soundness.chains.sample import make_chain
from soundness.interventions import NoEdit
from soundness.interventions.entity import pools_of
from soundness.interventions.plan import REGENERATED, Supplies, edit_body, steps_to_spoil
from soundness.interventions.proposer import RULES, Mistaken, Unspoiled, ask_mistakes, ask_rewrites, same_meaning
from soundness.interventions.swap import donors
from soundness.metrics.base import NO_ANSWER, MetricGroup, Need, Read, Value
from soundness.metrics.belief import Belief
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.probes.forest import build
from soundness.records import LETTERS, AskedAnswer, Chain, Edit, Generation, Probe, Problem, Prompt, Reader, Reading, Score
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.scoring.contract import checked, guarded
from soundness.scoring.facts import Judge, judge_cases
from soundness.scoring.reading import CaseRead
from soundness.scoring.rows import case_row, edit_rows, settled
from soundness.tasks.base import Task

__all__ = ["Helpers", "Sampling", "ScoredChains", "belief_in", "group_tokens", "score_chains"]

# An answer to a direct question; one that is not closed by then is not readable.
_ANSWER_TOKENS = 24

_REWRITE_TEMPERATURE = 0.7  # of a proposer's second wording, which has to differ from its first


@dataclass(frozen=True, slots=True)
class Sampling:
    """How chains are written."""

    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    splitter: str = "auto"
    channel: str = "auto"
    """Which part of a chain is measured: `thinking`, `visible`, `both`, or what is thought if it holds anything (`auto`)."""


@dataclass(frozen=True, slots=True)
class Helpers:
    """Models beside those compared."""

    proposer: CachedModel | None = None
    """Says steps in other words where no rule does, and writes mistakes."""
    judge: Judge | None = None
    """Judges whether steps state true facts."""
    rewrites: bool = True
    """Whether the writer writes on from its edited chains; without, what needs that is missing."""


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
    listed = [list(_probes(case, groups)) for case in cases]
    readings = model.read_groups(
        [[probe for _, probe in group] for group in listed], on_progress=lambda d, n: told("reading", d, n)
    )
    seen = [settled(case, readings) for case in cases]
    scores = [score for case in seen for score in _scores(case, groups, CaseRead(case, readings, answers))]
    scores += _over_samples(cases, groups)
    rows = [
        _row(case, name, probe, readings[probe]) for case, group in zip(cases, listed, strict=True) for name, probe in group
    ]
    return ScoredChains(
        scores,
        rows,
        cases,
        [case_row(case, CaseRead(case, readings, answers), readings) for case in seen],
        [row for case in seen for row in edit_rows(case, readings)],
    )


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
    return _edit(cases, groups, model, sampling, helpers, told)


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
        for group in groups:
            yield from guarded(group, "asks", case.problem.id, group.asks, case)

    for role, prefix in wanted():
        if prefix not in seen:
            seen.add(prefix)
            yield role, prefix


def _ask(
    cases: list[Case], groups: Sequence[MetricGroup], task: Task, model: CachedModel, told: Callable[[str, int, int], None]
) -> tuple[list[Case], Answers]:
    """Return the cases with the reader's own answers, and every open answer; all questions go in one call.

    A problem with choices is not asked: its answer is the likeliest choice, read with the probes.
    """
    prefixes = [prefix for case in cases if case.problem.choices is None for _, prefix in _asked(case, groups)]
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


def _edit(
    cases: list[Case],
    groups: Sequence[MetricGroup],
    model: CachedModel,
    sampling: Sampling,
    helpers: Helpers,
    told: Callable[[str, int, int], None],
) -> list[Case]:
    """Return the cases with the edits that the groups look at."""
    kinds = sorted({kind for group in groups for kind in group.edits})
    if not helpers.rewrites or any(case.reader != Reader.SELF for case in cases):
        kinds = [kind for kind in kinds if kind not in REGENERATED]
    if not kinds:
        return cases
    fit = [case for case in cases if not case.skip_reason]
    answers = {case.problem.id: case.problem.answer for case in cases}
    donor = donors([case.body.chain for case in fit], seed=sampling.seed, answers=answers)
    words = [token for case in fit for token in case.body.chain.ids] if {"random_text", "step_random"} & {*kinds} else []
    paraphrased = any(kind.startswith("paraphrase") for kind in kinds)
    rewrites = _rewrites(fit, helpers.proposer, sampling) if paraphrased else {}
    mistakes: Mapping[tuple[str, int], dict[int, Mistaken]] | None = None
    if helpers.proposer is not None and "mistake_written" in kinds:
        mistakes = _mistakes(fit, helpers.proposer, sampling)
    edited = []
    for case in cases:
        body = case.body.chain
        place = (body.problem_id, body.sample)
        spoilt = mistakes.get(place, {}) if mistakes is not None else None
        supplies = Supplies(pools_of(case.problem), words, rewrites.get(place, {}), spoilt)
        swapped = donor.get((body.problem_id, body.sample))
        made = (
            {kind: (NoEdit(kind, case.skip_reason),) for kind in kinds}
            if case.skip_reason
            else edit_body(
                body, case.body.pieces, swapped, model.encode, model.decode, seed=sampling.seed, kinds=kinds, supplies=supplies
            )
        )
        edited.append(replace(case, edits=made))
    for kind in REGENERATED:
        if kind in kinds:
            edited = _regenerate(edited, kind, model, sampling, told)
    return edited


def _rewrites(
    cases: Sequence[Case], proposer: CachedModel | None, sampling: Sampling
) -> dict[tuple[str, int], dict[str, list[str | None]]]:
    """Return, by problem and sample, each step in other words by two operators, None where nothing acceptable was found.

    Rules come first; a proposer says what no rule does, its second wording drawn at a temperature. It sees steps alone.
    """
    proposed: dict[str, dict[str, str | None]] = {}
    if proposer is not None:
        for operator, temperature in (("sentence", 0.0), ("words", _REWRITE_TEMPERATURE)):
            unruled = [text for case in cases for text in case.body.chain.step_texts if RULES[operator](text) is None]
            proposed[operator] = ask_rewrites(unruled, proposer, temperature=temperature, seed=sampling.seed)
    found: dict[tuple[str, int], dict[str, list[str | None]]] = {}
    for case in cases:
        body = case.body.chain
        by_operator: dict[str, list[str | None]] = {}
        for operator, rule in RULES.items():
            by_operator[operator] = []
            for text in body.step_texts:
                new = rule(text) or proposed.get(operator, {}).get(text)
                kept = new if new is not None and not same_meaning(text, new, body.answer, case.problem) else None
                by_operator[operator].append(kept)
        found[body.problem_id, body.sample] = by_operator
    return found


def _mistakes(cases: Sequence[Case], proposer: CachedModel, sampling: Sampling) -> dict[tuple[str, int], dict[int, Mistaken]]:
    """Return, by problem and sample, what the proposer made of the few steps that it was to spoil."""
    asked = [
        (case, step) for case in cases for step in steps_to_spoil(case.body.chain, case.problem.choices, seed=sampling.seed)
    ]
    wanted = []
    for case, step in asked:
        texts, problem = case.body.chain.step_texts, case.problem
        wanted.append(Unspoiled(problem.question, "".join(texts[:step]), texts[step], case.chain.answer, problem.choices))
    made = ask_mistakes(wanted, proposer)
    found: dict[tuple[str, int], dict[int, Mistaken]] = {}
    for (case, step), mistaken in zip(asked, made, strict=True):
        found.setdefault((case.chain.problem_id, case.chain.sample), {})[step] = mistaken
    return found


def _regenerate(
    cases: list[Case], kind: str, model: CachedModel, sampling: Sampling, told: Callable[[str, int, int], None]
) -> list[Case]:
    """Return the cases with the tails behind their edits of `kind` written anew by the model."""
    if "intact" in kind and sampling.temperature == 0:
        # Greedy decoding from a chain's own beginning is that chain.
        return [
            replace(
                case,
                edits={
                    **case.edits,
                    kind: tuple(replace(e, ids=case.body.chain.ids) if isinstance(e, Edit) else e for e in case.edits[kind]),
                },
            )
            for case in cases
        ]
    wanted = [(i, j, e) for i, case in enumerate(cases) for j, e in enumerate(case.edits[kind]) if isinstance(e, Edit)]
    heads = [(*cases[i].body.head, *edit.ids) for i, _, edit in wanted]
    tails = model.generate(
        [(*cases[i].prompt_ids, *head) for (i, _, _), head in zip(wanted, heads, strict=True)],
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        keys=[f"{sampling.seed}/{cases[i].problem.id}/{cases[i].chain.sample}/{kind}/{edit.step}" for i, _, edit in wanted],
        on_progress=lambda d, n: told("rewriting", d, n),
    )
    made: dict[tuple[int, int], Edit | NoEdit] = {}
    for (i, j, edit), head, tail in zip(wanted, heads, tails, strict=True):
        case = cases[i]
        if tail.finish == "length":
            made[i, j] = NoEdit(kind, "the rewritten chain was cut off")
            continue
        whole = make_chain(
            model,
            case.problem,
            case.chain.prompt,
            Generation((*head, *tail.ids), "stop"),
            writer=case.chain.model,
            sample=case.chain.sample,
            seed=sampling.seed,
            splitter=sampling.splitter,
        )
        body: Body = body_of(whole, case.problem, model, channel=sampling.channel)
        made[i, j] = replace(edit, ids=body.chain.ids, after=edit.after + model.decode(tail.ids))
    return [
        replace(case, edits={**case.edits, kind: tuple(made.get((i, j), e) for j, e in enumerate(case.edits[kind]))})
        for i, case in enumerate(cases)
    ]


def _probes(case: Case, groups: Sequence[MetricGroup]) -> Iterator[tuple[str, Probe]]:
    """Yield each distinct probe of `case` once, under the first name it was asked by."""
    seen: set[Probe] = set()

    def wanted() -> Iterator[tuple[str, Probe]]:
        for group in groups:
            yield from guarded(group, "probes", case.problem.id, group.probes, case)
        if case.problem.choices is not None and case.own is not None:
            for role, prefix in _asked(case, groups):
                yield from ((role, probe) for probe in case.own.probes(prefix))

    for role, probe in wanted():
        if probe not in seen:
            seen.add(probe)
            yield role, probe


def _scores(case: Case, groups: Sequence[MetricGroup], read: Read) -> Iterator[Score]:
    for group in groups:
        for value in checked(group, guarded(group, "values", case.problem.id, group.values, case, read), case.problem.id):
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
            for value in checked(group, guarded(group, "per_problem", problem, group.per_problem, samples), problem):
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
