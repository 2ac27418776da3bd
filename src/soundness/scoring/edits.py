"""The edits of many chains: what they are made of is gathered, what has to be written anew is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from soundness.chains.body import Body, body_of
from soundness.chains.sample import make_chain
from soundness.interventions import NoEdit
from soundness.interventions.base import CorruptedStep, EditKind, Supplies, Supply
from soundness.interventions.exchange import EXCHANGES
from soundness.interventions.name_mistake import pools_of
from soundness.interventions.plan import edit_body, kinds_of
from soundness.interventions.proposer import RULES, StepToCorrupt, ask_mistakes, ask_rewrites, meaning_change
from soundness.interventions.swap import donors
from soundness.interventions.written_mistake import steps_to_corrupt
from soundness.metrics.base import MetricGroup
from soundness.metrics.case import Case
from soundness.models.cached import CachedModel
from soundness.records import Edit, Generation, Reader
from soundness.scoring.exchanges import exchange_cases
from soundness.scoring.helpers import Helpers, Sampling

__all__ = ["edit_cases"]

# Of a proposer's second wording, which has to differ from its first.
_REWRITE_TEMPERATURE = 0.7

Place = tuple[str, int]
"""Problem id and sample."""


def edit_cases(
    cases: list[Case],
    groups: Sequence[MetricGroup],
    model: CachedModel,
    sampling: Sampling,
    helpers: Helpers,
    told: Callable[[str, int, int], None],
    *,
    own_ids: bool,
) -> list[Case]:
    """Return the cases with the edits that the groups look at; with `own_ids` the generated ids mean the same to `model`."""
    names = [kind for group in groups for kind in group.edits]
    if exchanges := [kind for kind in EXCHANGES if kind in names]:
        cases = exchange_cases(cases, exchanges, model, sampling, own_ids=own_ids)
    kinds = kinds_of(names)
    if not helpers.rewrites or any(case.reader != Reader.SELF for case in cases):
        kinds = [kind for kind in kinds if not kind.regenerate]
    if not kinds:
        return cases
    needed = frozenset[Supply]().union(*(kind.supplies for kind in kinds))
    fit = [case for case in cases if not case.skip_reason]
    answers = {case.problem.id: case.problem.answer for case in cases}
    bodies = [case.body.chain for case in fit]
    donor = donors(bodies, seed=sampling.seed, answers=answers) if Supply.DONOR in needed else {}
    words = [token for body in bodies for token in body.ids] if Supply.WORDS in needed else []
    rewrites = _rewrites(fit, helpers.proposer, sampling) if Supply.REWRITES in needed else {}
    mistakes = None
    if helpers.proposer is not None and Supply.MISTAKES in needed:
        mistakes = _mistakes(fit, helpers.proposer, sampling)
    edited = []
    for case in cases:
        place = (case.chain.problem_id, case.chain.sample)
        if case.skip_reason:
            skipped = {kind.name: (NoEdit(kind.name, case.skip_reason),) for kind in kinds}
            edited.append(replace(case, edits={**case.edits, **skipped}))
            continue
        supplies = Supplies(
            case.body.pieces,
            model.encode,
            model.decode,
            sampling.seed,
            pools_of(case.problem),
            donor.get(place),
            words,
            rewrites.get(place, {}),
            mistakes.get(place, {}) if mistakes is not None else None,
        )
        edited.append(replace(case, edits={**case.edits, **edit_body(case.body.chain, kinds, supplies)}))
    return _write_on(edited, [kind for kind in kinds if kind.regenerate], model, sampling, told)


def _rewrites(
    cases: Sequence[Case], proposer: CachedModel | None, sampling: Sampling
) -> dict[Place, dict[str, list[str | None]]]:
    """Return, by problem and sample, each step in other words by two operators, None where nothing acceptable was found.

    Rules come first; a proposer says what no rule does, its second wording drawn at a temperature. It sees steps alone.
    """
    proposed: dict[str, dict[str, str | None]] = {}
    if proposer is not None:
        for operator, temperature in (("sentence", 0.0), ("words", _REWRITE_TEMPERATURE)):
            unruled = [text for case in cases for text in case.body.chain.step_texts if RULES[operator](text) is None]
            proposed[operator] = ask_rewrites(unruled, proposer, temperature=temperature, seed=sampling.seed)
    rewrites: dict[Place, dict[str, list[str | None]]] = {}
    for case in cases:
        body = case.body.chain
        by_operator: dict[str, list[str | None]] = {}
        for operator, rule in RULES.items():
            by_operator[operator] = []
            for text in body.step_texts:
                new = rule(text) or proposed.get(operator, {}).get(text)
                kept = new if new is not None and not meaning_change(text, new, body.answer, case.problem) else None
                by_operator[operator].append(kept)
        rewrites[body.problem_id, body.sample] = by_operator
    return rewrites


def _mistakes(cases: Sequence[Case], proposer: CachedModel, sampling: Sampling) -> Mapping[Place, dict[int, CorruptedStep]]:
    """Return, by problem and sample, what the proposer made of the few steps that it was to corrupt."""
    asked = [
        (case, step) for case in cases for step in steps_to_corrupt(case.body.chain, case.problem.choices, seed=sampling.seed)
    ]
    wanted = []
    for case, step in asked:
        texts, problem = case.body.chain.step_texts, case.problem
        wanted.append(StepToCorrupt(problem.question, "".join(texts[:step]), texts[step], case.chain.answer, problem.choices))
    mistakes: dict[Place, dict[int, CorruptedStep]] = {}
    for (case, step), corrupted in zip(asked, ask_mistakes(wanted, proposer), strict=True):
        mistakes.setdefault((case.chain.problem_id, case.chain.sample), {})[step] = corrupted
    return mistakes


def _write_on(
    cases: list[Case],
    kinds: Sequence[EditKind],
    model: CachedModel,
    sampling: Sampling,
    told: Callable[[str, int, int], None],
) -> list[Case]:
    """Return the cases with the rest behind each beginning of `kinds` written anew by the model, all of them in one call."""
    wanted = [
        (i, kind.name, j, edit)
        for kind in kinds
        for i, case in enumerate(cases)
        for j, edit in enumerate(case.edits[kind.name])
        if isinstance(edit, Edit)
    ]
    made: dict[tuple[int, str, int], Edit | NoEdit] = {}
    if sampling.temperature == 0:
        # Greedy decoding from a chain's own beginning is that chain.
        own = [(i, name, j, e) for i, name, j, e in wanted if e.ids == cases[i].body.chain.ids[: len(e.ids)]]
        made = {(i, name, j): replace(edit, ids=cases[i].body.chain.ids) for i, name, j, edit in own}
        wanted = [place for place in wanted if place[:3] not in made]
    heads = [(*cases[i].body.head, *edit.ids) for i, _, _, edit in wanted]
    tails: dict[int, Generation] = {}
    for stop in dict.fromkeys(cases[i].chain.prompt.stop for i, *_ in wanted):
        places = [place for place, (i, *_) in enumerate(wanted) if cases[i].chain.prompt.stop == stop]
        generations = model.generate(
            [(*cases[wanted[place][0]].prompt_ids, *heads[place]) for place in places],
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            keys=[_draw_key(cases[i], sampling.seed, name, edit) for i, name, _, edit in (wanted[place] for place in places)],
            until=stop,
            on_progress=lambda done, total: told("rewriting", done, total),
        )
        tails.update(zip(places, generations, strict=True))
    for place, (i, name, j, edit) in enumerate(wanted):
        case, head, tail = cases[i], heads[place], tails[place]
        if tail.finish == "length":
            made[i, name, j] = NoEdit(name, "the rewritten chain was cut off")
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
        made[i, name, j] = replace(edit, ids=body.chain.ids, after=edit.after + model.decode(tail.ids))
    written = []
    for i, case in enumerate(cases):
        new = {kind.name: tuple(made.get((i, kind.name, j), e) for j, e in enumerate(case.edits[kind.name])) for kind in kinds}
        written.append(replace(case, edits={**case.edits, **new}))
    return written


def _draw_key(case: Case, seed: int, kind: str, edit: Edit) -> str:
    """Return the key of one draw: it depends on seed, problem, sample, kind and step alone."""
    return f"{seed}/{case.problem.id}/{case.chain.sample}/{kind}/{edit.step}"
