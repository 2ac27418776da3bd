"""What a reader made of each chain, as rows of two tables: the chain's steps with the belief after each, and every edit's effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from soundness.interventions import NoEdit
from soundness.metrics.belief import Belief
from soundness.metrics.case import Case
from soundness.records import Probe, Reading
from soundness.runs.tables import CaseRow, EditRow
from soundness.scoring.reading import CaseRead

__all__ = ["case_row", "edit_rows", "settled"]

Readings = Mapping[Probe, Reading]


def settled(case: Case, readings: Readings) -> Case:
    """Return `case` with the own answer of a choice problem set to the choice most likely after the whole body, if that was read."""
    if case.problem.choices is None or case.own is None:
        return case
    prefix = case.after(case.body.chain.ids)
    if not _known(case.own, prefix, readings):
        return case
    return replace(case, own=replace(case.own, ids=case.own.rivals[case.own.likeliest(prefix, readings.__getitem__)]))


def case_row(case: Case, read: CaseRead, readings: Readings) -> CaseRow:
    """Return the row of `case`; a ladder that was not read is empty."""
    stops = [case.after_steps(i) for i in range(case.body.num_steps + 1)]

    def ladder(belief: Belief | None, value: Callable[[Belief, Sequence[int]], float]) -> tuple[float, ...]:
        if belief is None or case.skip_reason or not all(_known(belief, prefix, readings) for prefix in stops):
            return ()
        return tuple(value(belief, prefix) for prefix in stops)

    return CaseRow(
        reader=case.reader,
        reader_name=case.reader_name,
        problem_id=case.chain.problem_id,
        writer=case.chain.model,
        sample=case.chain.sample,
        skip_reason=case.skip_reason,
        steps=case.body.chain.step_texts,
        num_tokens=len(case.body.chain.ids),
        asked_with=None if case.cut_off else _given(read, case.after(case.body.chain.ids)),
        asked_without=_given(read, case.after(())),
        reference_nats=ladder(case.gold, lambda belief, prefix: belief.nats(prefix, read)),
        reference_share=ladder(case.gold, lambda belief, prefix: belief.share(prefix, read)),
        own_share=ladder(case.own, lambda belief, prefix: belief.share(prefix, read)),
        own_given=tuple(bool(given) for given in ladder(case.own, lambda belief, prefix: belief.given(prefix, read))),
    )


def edit_rows(case: Case, readings: Readings) -> Iterator[EditRow]:
    """Yield one row per edit of `case`, and one per kind of edit that its chain did not allow."""
    read = readings.__getitem__
    for kind, edits in sorted(case.edits.items()):
        for edit in edits:
            row = EditRow(
                reader=case.reader,
                reader_name=case.reader_name,
                problem_id=case.chain.problem_id,
                writer=case.chain.model,
                sample=case.chain.sample,
                kind=kind,
            )
            if isinstance(edit, NoEdit):
                yield replace(row, reason=edit.reason)
                continue
            prefix = case.after(edit.ids)
            own = case.own if case.own is not None and _known(case.own, prefix, readings) else None
            gold = case.gold if case.gold is not None and _known(case.gold, prefix, readings) else None
            yield replace(
                row,
                step=edit.step,
                before=edit.before,
                after=edit.after,
                note=edit.note,
                num_tokens=len(edit.ids),
                kept=own.given(prefix, read) if own is not None else None,
                own_share=own.share(prefix, read) if own is not None else None,
                reference_nats=gold.nats(prefix, read) if gold is not None else None,
            )


def _known(belief: Belief, prefix: Sequence[int], readings: Readings) -> bool:
    """Return whether all that tells of `belief` after `prefix` was read."""
    return all(probe in readings for probe in belief.probes(prefix))


def _given(read: CaseRead, prefix: tuple[int, ...]) -> str | None:
    """Return the open answer given after `prefix`, or None where there is none or nobody asked."""
    answer = read.answers.get(prefix)
    return None if answer is None else answer.value
