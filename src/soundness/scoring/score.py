"""From chains to scores: what one scorer makes of the chains that one writer wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from soundness.chains.body import Body, body_of
from soundness.chains.sample import make_chain
from soundness.interventions import NoEdit
from soundness.interventions.entity import pools_of
from soundness.interventions.plan import REGENERATED, Supplies, edit_body, steps_to_spoil
from soundness.interventions.proposer import RULES, Mistaken, Unspoiled, ask_mistakes, ask_rewrites, same_meaning
from soundness.interventions.swap import donors
from soundness.metrics.base import Family, OverSamples
from soundness.metrics.belief import Belief
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.probes.forest import build
from soundness.records import LETTERS, Chain, Edit, Generation, Probe, Problem, Prompt, Reading, Score
from soundness.runs.tables import CaseRow, EditRow, ReadingRow
from soundness.scoring.facts import Judge, judge_cases
from soundness.scoring.rows import case_row, edit_rows, settled
from soundness.tasks.base import Task

__all__ = ["Examination", "Helpers", "Sampling", "examine", "family_tokens"]

# An answer to a direct question; one that is not closed by then is not readable.
_ANSWER_TOKENS = 24

_EDITS_OF = {
    "info_gain": ("swap", "shuffle"),
    "filler": ("fill_tail", "fill_whole"),
    "swap": ("swap",),
    "mistake": ("mistake_splice", "mistake_regenerate"),
    "mistake_forms": (
        "mistake_splice",
        "mistake_operand",
        "step_random",
        "mistake_regenerate",
        "intact_regenerate",
        "mistake_written",
        "mistake_written_regenerate",
        "intact_written_regenerate",
    ),
    "filler_forms": ("fill_tail", "fill_tail_underscores", "fill_whole"),
    "controls": ("random_text", "shuffle"),
    "paraphrase": ("paraphrase_tail", "paraphrase_tail_words", "paraphrase_regenerate", "paraphrase_intact_regenerate"),
    "necessity": ("perturb", "paraphrase_step"),
    "redundancy": ("drop",),
}
"""Which edits each family reads."""

_OWN_ANSWER_OF = {
    "early_answering",
    "filler",
    "swap",
    "mistake",
    "forced_accuracy",
    "mistake_forms",
    "filler_forms",
    "controls",
    "paraphrase",
    "necessity",
    "redundancy",
}
"""Families that need the answer that the scorer gives when asked."""

_WRITERS_ONLY = {"mistake_regenerated"}
"""Metrics for which the writer has to write on, so that no other model can read them."""

_REWRITE_TEMPERATURE = 0.7  # of a proposer's second wording, which has to differ from its first


@dataclass(frozen=True, slots=True)
class Sampling:
    """How chains are written."""

    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    splitter: str = "auto"


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
class Examination:
    """Everything that came out of it."""

    scores: list[Score]
    readings: list[ReadingRow]
    cases: list[Case]
    case_rows: list[CaseRow] = field(default_factory=list)
    edit_rows: list[EditRow] = field(default_factory=list)


def examine(
    chains: Sequence[Chain],
    task: Task,
    families: Sequence[Family],
    scorer: CachedModel,
    *,
    role: str,
    sampling: Sampling,
    same_vocabulary: bool = True,
    prompts: Mapping[str, Prompt] | None = None,
    helpers: Helpers | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Examination:
    """Return what `scorer` makes of `chains` (all of one writer): a score per chain and metric, and every reading behind them.

    `role` is `self` where the scorer wrote the chains, `base` where the base reads another's and `tuned:NAME` where the
    tuned model NAME reads the base's; families that do not ask for that role are passed over. Without `same_vocabulary`
    the writer's ids mean nothing to the scorer and its text is encoded anew. `prompts` are what the scorer is shown, by
    problem id; by default what the writer was shown.
    """
    kind = role.partition(":")[0]
    families = [family for family in families if kind in family.scorers or (role == "self" and "-" in family.scorers)]
    if not families or not chains:
        return Examination([], [], [])
    told = on_progress or (lambda phase, done, total: None)
    cases = _cases(chains, task, families, scorer, role, sampling, same_vocabulary, prompts, helpers or Helpers(), told)
    asked = [list(_probes(case, families)) for case in cases]
    readings = scorer.read_groups(
        [[probe for _, probe in group] for group in asked], on_progress=lambda d, n: told("reading", d, n)
    )
    scores = [score for case in cases for score in _scores(case, families, role, readings)]
    scores += _over_samples(cases, families)
    rows = [_row(case, name, probe, readings[probe]) for case, group in zip(cases, asked, strict=True) for name, probe in group]
    seen = [settled(case, readings) for case in cases]
    return Examination(
        scores,
        rows,
        cases,
        [case_row(case, readings) for case in seen],
        [row for case in seen for row in edit_rows(case, readings)],
    )


def _cases(
    chains: Sequence[Chain],
    task: Task,
    families: Sequence[Family],
    scorer: CachedModel,
    role: str,
    sampling: Sampling,
    same_vocabulary: bool,
    prompts: Mapping[str, Prompt] | None,
    helpers: Helpers,
    told: Callable[[str, int, int], None],
) -> list[Case]:
    """Return one case per chain, in order: body, prompts, answers and edits in the scorer's vocabulary."""
    problems = [task.by_id[chain.problem_id] for chain in chains]
    bodies = [
        body_of(chain, problem, scorer, own_ids=same_vocabulary, splitter=sampling.splitter)
        for chain, problem in zip(chains, problems, strict=True)
    ]
    shown = [
        prompts[chain.problem_id].ids
        if prompts is not None
        else (chain.prompt.ids if same_vocabulary else scorer.render(task.message(problem)).ids)
        for chain, problem in zip(chains, problems, strict=True)
    ]
    cue = tuple(scorer.encode(task.cue))
    cases = [
        Case(
            problem=problem,
            chain=chain,
            scorer=role,
            body=body,
            prompt_ids=prompt,
            cue_ids=cue,
            gold=_belief(problem, problem.answer if problem.answer is not None else chain.answer, task, scorer),
            own=_belief(problem, LETTERS[0], task, scorer) if problem.choices else None,
            stated=_belief(problem, chain.answer, task, scorer),
        )
        for chain, problem, body, prompt in zip(chains, problems, bodies, shown, strict=True)
    ]
    if any(family.name in _OWN_ANSWER_OF for family in families):
        cases = _ask(cases, task, scorer, told, without=any(family.name == "forced_accuracy" for family in families))
    if any(family.name == "knowledge" for family in families):
        judged = judge_cases(cases, helpers.judge, on_progress=lambda d, n: told("judging", d, n))
        cases = [replace(case, judgements=found) for case, found in zip(cases, judged, strict=True)]
    return _edit(cases, families, scorer, sampling, helpers, told)


def _belief(problem: Problem, answer: str | None, task: Task, model: Model) -> Belief | None:
    """Return `answer` as something to look for, or None where there is no answer."""
    if answer is None:
        return None
    # Data sets write whole numbers as decimals ("51.0"); nobody answers that way, so its likelihood would say nothing.
    ids = tuple(model.encode(task.continuation(re.sub(r"^(-?\d+)\.0+$", r"\1", answer.strip()), problem)))
    if problem.choices is None:
        return Belief(ids)
    rivals = tuple(tuple(model.encode(task.continuation(letter, problem))) for letter in LETTERS[: len(problem.choices)])
    return Belief(ids, rivals)


def _ask(
    cases: list[Case], task: Task, scorer: CachedModel, told: Callable[[str, int, int], None], *, without: bool
) -> list[Case]:
    """Return the cases with the open answers that the scorer gives when the cue asks, after the body and, if asked, without it."""
    open_cases = [index for index, case in enumerate(cases) if case.problem.choices is None]
    asked = [(index, "with") for index in open_cases if not case_is_cut(cases[index])]
    if without:
        asked += [(index, "without") for index in open_cases]
    prefixes = [cases[i].after(cases[i].body.chain.ids if which == "with" else ()) for i, which in asked]
    given = scorer.generate(
        prefixes, max_tokens=_ANSWER_TOKENS, until=task.terminator, on_progress=lambda d, n: told("asking", d, n)
    )
    forced: dict[int, dict[str, str | None]] = {index: {} for index in open_cases}
    own: dict[int, Belief] = {}
    for (index, which), generation in zip(asked, given, strict=True):
        answer = _answer(generation, task, scorer)
        forced[index][which] = answer
        if which == "with" and answer is not None:
            own[index] = Belief(generation.ids)
    return [replace(c, forced=forced[i], own=own.get(i)) if i in forced else c for i, c in enumerate(cases)]


def case_is_cut(case: Case) -> bool:
    """Return whether the chain ended at the token limit."""
    return case.chain.finish == "length"


def _answer(generation: Generation, task: Task, model: Model) -> str | None:
    """Return the answer that a generation after the cue gives, or None where it is empty or never closed."""
    text = model.decode(generation.ids)
    answer = (text.split(task.terminator)[0] if task.terminator else text).strip()
    return answer if answer and generation.finish == "stop" else None


def _edit(
    cases: list[Case],
    families: Sequence[Family],
    scorer: CachedModel,
    sampling: Sampling,
    helpers: Helpers,
    told: Callable[[str, int, int], None],
) -> list[Case]:
    """Return the cases with the edits that the families read."""
    kinds = sorted({kind for family in families for kind in _EDITS_OF.get(family.name, ())})
    if not helpers.rewrites or any(case.scorer != "self" for case in cases):
        kinds = [kind for kind in kinds if kind not in REGENERATED]
    if not kinds:
        return cases
    fit = [case for case in cases if not case.unfit]
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
            {kind: (NoEdit(kind, case.unfit),) for kind in kinds}
            if case.unfit
            else edit_body(
                body,
                case.body.pieces,
                swapped,
                scorer.encode,
                scorer.decode,
                seed=sampling.seed,
                kinds=kinds,
                supplies=supplies,
            )
        )
        edited.append(replace(case, edits=made))
    for kind in REGENERATED:
        if kind in kinds:
            edited = _regenerate(edited, kind, scorer, sampling, told)
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
    cases: list[Case], kind: str, scorer: CachedModel, sampling: Sampling, told: Callable[[str, int, int], None]
) -> list[Case]:
    """Return the cases with the tails behind their edits of `kind` written anew by the scorer."""
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
    tails = scorer.generate(
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
            scorer,
            case.problem,
            case.chain.prompt,
            Generation((*head, *tail.ids), "stop"),
            writer=case.chain.model,
            sample=case.chain.sample,
            seed=sampling.seed,
            splitter=sampling.splitter,
        )
        body: Body = body_of(whole, case.problem, scorer, splitter=sampling.splitter)
        made[i, j] = replace(edit, ids=body.chain.ids, after=edit.after + scorer.decode(tail.ids))
    return [
        replace(case, edits={**case.edits, kind: tuple(made.get((i, j), e) for j, e in enumerate(case.edits[kind]))})
        for i, case in enumerate(cases)
    ]


def _probes(case: Case, families: Sequence[Family]) -> Iterator[tuple[str, Probe]]:
    """Yield each distinct probe of `case` once, under the first name it was asked by."""
    seen: set[Probe] = set()
    for family in families:
        for role, probe in family.probes(case):
            if probe not in seen:
                seen.add(probe)
                yield role, probe


def _scores(case: Case, families: Sequence[Family], role: str, readings: Mapping[Probe, Reading]) -> Iterator[Score]:
    read = readings.__getitem__
    case = settled(case, readings)
    for family in families:
        for value in family.values(case, read):
            if role != "self" and value.metric in _WRITERS_ONLY:
                continue
            scorer = "-" if family.scorers == ("-",) else role
            chain = case.chain
            yield Score(value.metric, chain.problem_id, chain.sample, chain.model, scorer, value.number, value.reason)


def _row(case: Case, name: str, probe: Probe, reading: Reading) -> ReadingRow:
    return ReadingRow(
        scorer=case.scorer,
        problem_id=case.chain.problem_id,
        writer=case.chain.model,
        sample=case.chain.sample,
        role=name,
        prefix_length=len(probe.prefix),
        continuation=probe.continuation,
        reading=reading,
    )


def _over_samples(cases: Sequence[Case], families: Sequence[Family]) -> Iterator[Score]:
    """Yield one score per problem and metric of the families that look at all samples of a problem at once."""
    of_problem: dict[str, list[Case]] = {}
    for case in cases:
        of_problem.setdefault(case.problem.id, []).append(case)
    for family in families:
        if isinstance(family, OverSamples):
            for group in of_problem.values():
                chain = group[0].chain
                scorer = "-" if family.scorers == ("-",) else group[0].scorer
                for value in family.of_problem(group):
                    yield Score(value.metric, chain.problem_id, chain.sample, chain.model, scorer, value.number, value.reason)


def family_tokens(cases: Sequence[Case], families: Sequence[Family]) -> dict[str, int]:
    """Return how many tokens the probes of each family would take to read by themselves; shared prefixes count in each.

    Families that read nothing are left out.
    """
    found = {}
    for family in families:
        kind = cases[0].scorer.partition(":")[0] if cases else "self"
        if kind not in family.scorers:
            continue
        probes = list(dict.fromkeys(probe for case in cases for _, probe in family.probes(case) if probe.prefix))
        if probes:
            found[family.name] = build(probes).num_tokens
    return found
