"""From scores to what a run folder says: comparisons, verdicts, tables, and the estimates of a scoring."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from soundness.auditing.rounds import Rounds
from soundness.comparison.compare import compare_scores, estimate_scores, writer_reader
from soundness.comparison.disagreements import disagreements
from soundness.comparison.verdict import broken_verdict, decide_verdict
from soundness.metrics.base import Measured
from soundness.metrics.case import Case
from soundness.models.base import Model
from soundness.records import Comparison, Verdict
from soundness.scoring.facts import knows_exactly
from soundness.statistics.corrections import adjust
from soundness.statistics.noise import floor_rows

__all__ = ["JUDGEMENTS_FILE", "WRITER_READER_FILE", "compare_models", "estimate_writers"]

JUDGEMENTS_FILE = "judgements.jsonl"
WRITER_READER_FILE = "writer_reader.json"


def compare_models(rounds: Rounds) -> None:
    """Compare the tuned models with the base, decide the verdicts, and write all of it into the run folder."""
    setup, run = rounds.setup, rounds.run
    base, *tuned = rounds.working
    with rounds.phase("comparing"):
        comparisons = adjust(compare_scores(rounds.scores, base, tuned, setup.groups, seed=setup.sampling.seed))
        verdicts = _verdicts(rounds, comparisons)
        tables = _tables(rounds)
        run.write_tables(readings=rounds.readings, scores=rounds.scores, cases=rounds.cases, edits=rounds.edits)
        if "writer_reader" in tables:
            run.write_file(WRITER_READER_FILE, json.dumps(tables["writer_reader"], indent=2, sort_keys=True) + "\n")
        if judgements := _judgements(rounds.own_cases):
            run.write_file(JUDGEMENTS_FILE, "".join(f"{line}\n" for line in judgements))
    run.write_results(
        comparisons,
        verdicts,
        timings=rounds.seconds,
        models=_about_models(rounds),
        seeds={"seed": setup.sampling.seed},
        more={
            "noise_floor": {"how": rounds.floor_method, "estimates": floor_rows(rounds.floor)},
            "tables": tables,
            "disagreements": [asdict(disagreement) for disagreement in disagreements(comparisons)],
        },
    )


def estimate_writers(rounds: Rounds) -> None:
    """Estimate every metric of every writer, and write all of it into the run folder."""
    setup, run = rounds.setup, rounds.run
    run.write_tables(
        problems=setup.task.problems,
        chains=rounds.all_chains,
        readings=rounds.readings,
        scores=rounds.scores,
        cases=rounds.cases,
        edits=rounds.edits,
    )
    run.write_results(
        [],
        [],
        timings=rounds.seconds,
        models=_about_models(rounds),
        seeds={"seed": setup.sampling.seed},
        more={"estimates": estimate_scores(rounds.scores, setup.groups, seed=setup.sampling.seed)},
    )


def _verdicts(rounds: Rounds, comparisons: Sequence[Comparison]) -> list[Verdict]:
    setup = rounds.setup
    notes = disagreements(comparisons)
    verdicts = []
    for place, name in enumerate(setup.names[1:], start=1):
        if name in rounds.broken:
            verdicts.append(broken_verdict(name, rounds.broken[name]))
            continue
        same = setup.models[0].fingerprint == setup.models[place].fingerprint and setup.tasks[0] == setup.tasks[place]
        verdicts.append(
            decide_verdict(
                setup.names[0],
                name,
                rounds.scores,
                same_model="their weights, tokenizers and settings are equal" if same else "",
                notes=[f"two operators disagree: {note.how}" for note in notes if note.tuned == name],
                seed=setup.sampling.seed,
            )
        )
    return verdicts


def _tables(rounds: Rounds) -> dict[str, Any]:
    """Return, as JSON values, what is a curve or a table rather than a number."""
    setup = rounds.setup
    base, *tuned = rounds.working
    measured = Measured(
        models=rounds.working,
        scores=rounds.scores,
        chains=rounds.all_chains,
        problems=setup.task.by_id,
        seed=setup.sampling.seed,
        other_tasks=tuple(other.name for other in setup.others),
    )
    tables: dict[str, Any] = {}
    if rows := writer_reader(rounds.scores, base, tuned, setup.groups, seed=setup.sampling.seed):
        tables["writer_reader"] = rows
    for group in setup.groups:
        tables.update(group.curve(measured) or {})
    return tables


def _judgements(cases: Mapping[str, Sequence[Case]]) -> list[str]:
    """Return one JSON line per judged step, with the judge's own words."""
    lines = []
    for name, own in cases.items():
        for case in own:
            exact = knows_exactly(case.problem) is not None
            for judgement in case.judgements:
                row = {
                    "writer": name,
                    "problem_id": case.problem.id,
                    "sample": case.chain.sample,
                    "step": judgement.step,
                    "text": case.body.chain.step_texts[judgement.step],
                    "word": judgement.word,
                    "by": "world" if exact else "judge",
                    "raw": judgement.raw,
                    "evidence": list(judgement.evidence),
                }
                lines.append(json.dumps(row, sort_keys=True))
    return lines


def _about_models(rounds: Rounds) -> dict[str, Mapping[str, object]]:
    return {name: _about(model) for name, model in zip(rounds.setup.names, rounds.setup.models, strict=True)}


def _about(model: Model) -> dict[str, object]:
    about: dict[str, object] = {"fingerprint": model.fingerprint, "vocabulary": model.vocabulary}
    for name in ("dtype", "device", "notes"):
        if getattr(model, name, None):
            value = getattr(model, name)
            about[name] = list(value) if name == "notes" else str(value)
    return about
