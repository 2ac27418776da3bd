"""All that the report shows, as plain data: nothing on the page is computed anywhere else.

`build_view(open_run("runs/med"))` is JSON through and through: texts as they are printed, and beside them the numbers they were
rounded from, each of which stands in a table or JSON file of the run folder.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from soundness.comparison.labels import ACCURACY, DECIDING, LABELS, OVER_SWAP
from soundness.comparison.thresholds import THRESHOLDS
from soundness.errors import RunError
from soundness.metrics import GROUPS, METRICS
from soundness.records import Comparison, Estimate, Reader, Verdict, Word
from soundness.report.curves import all_curves
from soundness.report.flips import GAIN_LOST_NATS, GAIN_LOST_SHARE, TAGS, problem_views
from soundness.report.terminal import figure
from soundness.report.words import estimate_cell, percent
from soundness.runs.folder import Run

__all__ = ["build_view"]

VIEW_VERSION = 1

_NOT_APPLICABLE = {"both: not a choice problem", "not a choice problem"}

_QUADRANTS = {
    (True, True): "sound",
    (True, False): "hollowed",
    (False, False): "lost",
    (False, True): "recovered",
}

_READERS = {
    Reader.SELF: "each model reads its own chains",
    Reader.BASE: "the base reads both models' chains",
    Reader.TUNED: "both models read the base's chains",
    Reader.NOBODY: "no reader needed",
}
_OTHERS = {Reader.BASE: "base reads", Reader.TUNED: "tuned model reads"}

_SETTING_WORDS = {
    "task": "task",
    "num_problems": "problems",
    "samples": "chains per problem",
    "temperature": "temperature",
    "top_p": "nucleus mass",
    "max_tokens": "longest chain, tokens",
    "template": "chat template",
    "splitter": "steps cut by",
    "seed": "seed",
    "reader": "reader",
    "batch_size": "batch size",
    "task_fingerprint": "task fingerprint",
}


def build_view(run: Run) -> dict[str, Any]:
    """Return the page of `run` as JSON values.

    Raises `RunError` where the run is not finished or its tables are missing.
    """
    if not run.finished:
        raise RunError(f"{run.path} is not finished: run the same soundness command again, which goes on where it stopped")
    settings, document = run.settings, run.document
    kind = settings.get("kind", "audit")
    problems, chains, cases, edits, scores = run.problems(), run.chains(), run.cases(), run.edits(), run.scores()
    comparisons, verdicts = run.comparisons, run.verdicts
    base = run.base
    tuned = [verdict.tuned for verdict in verdicts]
    models = [base, *tuned] if base is not None else list(dict.fromkeys(chain.model for chain in chains))
    split = [_split_point(verdict, comparisons) for verdict in verdicts]
    return {
        "version": VIEW_VERSION,
        "kind": kind,
        "name": run.path.resolve().name,
        "task": str(settings.get("task", "")),
        "num_problems": len(problems),
        "num_chains": len(chains),
        "base": base,
        "tuned": tuned,
        "models": models,
        "title": _title(base, tuned, models, kind),
        "changes": run.changes(),
        "verdicts": [_verdict(verdict, [c for c in comparisons if c.tuned == verdict.tuned]) for verdict in verdicts],
        "split": {"points": split, "quadrants": ["sound", "hollowed", "lost", "recovered"]},
        "measure_groups": [_measure_group(name, comparisons) for name in tuned],
        "estimates": [_estimate_row(row) for row in document.get("estimates", [])],
        "curves": all_curves(models, chains, cases, edits, scores),
        "tags": dict(TAGS),
        "problems": problem_views(problems, models, base, chains, cases, edits, scores),
        "measured": _measured(run, models),
    }


def _title(base: str | None, tuned: Sequence[str], models: Sequence[str], kind: str) -> str:
    if kind == "score" or base is None:
        return "Chains of " + ", ".join(models)
    return f"{', '.join(tuned)} against {base}"


def _verdict(verdict: Verdict, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return one verdict: word, sentence, the figures behind it, what speaks for and against it, what is missing."""
    main = ((ACCURACY, "-"), ("following", "self"), ("over_none", "self"))
    shown = [c for metric, reader in main for c in comparisons if _is(c, metric, reader)]
    return {
        "tuned": verdict.tuned,
        "word": verdict.word.value,
        "slug": _slug(verdict.word),
        "sentence": verdict.sentence,
        "figures": [_measure(c) for c in shown],
        "evidence_for": list(verdict.evidence_for),
        "evidence_against": list(verdict.evidence_against),
        "not_measured": _not_measured(comparisons),
    }


def _slug(word: Word) -> str:
    """Return the word as a class of the style sheet: its first part, "lost" for "lost, and hollowed"."""
    return word.name.lower().partition("_")[0]


def _not_measured(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return why problems could not be scored: reason, how many, in which metrics; the most frequent first."""
    why: dict[tuple[str, int], list[str]] = defaultdict(list)
    for one in comparisons:
        for reason, count in one.missing.items():
            if reason not in _NOT_APPLICABLE and _label(one.metric) not in why[reason, count]:
                why[reason, count].append(_label(one.metric))
    rows = sorted(
        ((reason, count, names) for (reason, count), names in why.items() if names), key=lambda row: (-row[1], row[0])
    )
    return [
        {
            "reason": reason,
            "count": count,
            "metrics": names,
            "text": f"{count} {'problem' if count == 1 else 'problems'}: {reason}",
        }
        for reason, count, names in rows
    ]


def _split_point(verdict: Verdict, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return where a tuned model lies: change of accuracy against change of reasoning, or why it cannot be placed.

    Reasoning is the information gain over another problem's chain, its change and interval divided by the base's gain.
    """
    mine = [c for c in comparisons if c.tuned == verdict.tuned]
    accuracy = next((c for c in mine if _is(c, ACCURACY, "-")), None)
    gain = next((c for c in mine if _is(c, OVER_SWAP, "self")), None)
    found: dict[str, Any] = {"tuned": verdict.tuned, "word": verdict.word.value, "slug": _slug(verdict.word)}
    if accuracy is None or accuracy.difference.value is None:
        return {**found, "missing": "accuracy could not be compared"}
    if gain is None or gain.difference.value is None:
        return {**found, "missing": "information gain over swapped chains could not be compared"}
    scale = gain.base_estimate.value
    if scale is None or scale <= 0 or (gain.base_estimate.low or 0.0) <= 0:
        return {**found, "missing": "the base's own chains carry no measurable information, so there is no share to speak of"}
    change = gain.difference
    value, low, high = (None if end is None else end / scale for end in (change.value, change.low, change.high))
    relative = Estimate(value, low, high, change.n, change.n_missing)
    cell = estimate_cell(relative, "fraction", signed=True)
    cell["text"] = percent(relative.value, signed=True)
    return {
        **found,
        "missing": "",
        "accuracy": estimate_cell(accuracy.difference, accuracy.unit, signed=True),
        "reasoning": cell,
        "quadrant": _QUADRANTS[accuracy.difference.value >= 0, (change.value or 0.0) >= 0],
    }


def _worth_showing(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [c for c in comparisons if c.difference.value is not None or not set(c.missing) <= _NOT_APPLICABLE]


def _measure_group(tuned: str, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Return the table of one tuned model: first what counts for the verdict, then all else, each sorted by evidence."""
    rows = [_measure(c) for c in sorted(_worth_showing(comparisons), key=_evidence) if c.tuned == tuned]
    return {"tuned": tuned, "first": [row for row in rows if row["counts"]], "rest": [row for row in rows if not row["counts"]]}


def _evidence(comparison: Comparison) -> tuple[Any, ...]:
    """Sort key: the clearest difference first, what could not be compared last."""
    difference = comparison.difference
    if difference.value is None:
        return (2, 1.0, 0.0, comparison.tuned, comparison.metric, comparison.reader)
    width = (difference.high or 0.0) - (difference.low or 0.0)
    strength = abs(difference.value) / width if width > 0 else 0.0
    return (
        0 if _direction(comparison) in ("rose", "fell") else 1,
        _p(comparison) if _p(comparison) is not None else 1.0,
        -strength,
        comparison.tuned,
        comparison.metric,
        comparison.reader,
    )


def _p(comparison: Comparison) -> float | None:
    adjusted: float | None = getattr(comparison, "p_adjusted", None)
    return comparison.p if adjusted is None else adjusted


def _direction(comparison: Comparison) -> str:
    """Return what the interval of the difference says."""
    difference = comparison.difference
    if difference.value is None:
        return "not compared"
    if difference.low is None or difference.high is None:
        return "no interval"
    return "rose" if difference.low > 0 else "fell" if difference.high < 0 else "no clear change"


def _measure(comparison: Comparison) -> dict[str, Any]:
    """Return one comparison as a row of the table, with its meaning."""
    adjusted = getattr(comparison, "p_adjusted", None)
    return {
        "tuned": comparison.tuned,
        "metric": comparison.metric,
        "reader": comparison.reader,
        "label": _label(comparison.metric),
        "unit": comparison.unit,
        "base": estimate_cell(comparison.base_estimate, comparison.unit),
        "tuned_value": estimate_cell(comparison.tuned_estimate, comparison.unit),
        "difference": estimate_cell(comparison.difference, comparison.unit, signed=True),
        "p": comparison.p,
        "p_text": figure(comparison.p),
        "p_adjusted": adjusted,
        "p_adjusted_text": figure(adjusted),
        "direction": _direction(comparison),
        "missing": [f"{count}: {reason}" for reason, count in sorted(comparison.missing.items(), key=lambda i: (-i[1], i[0]))],
        "counts": (comparison.metric, comparison.reader) in DECIDING,
        **_meaning(comparison.metric, comparison.reader),
    }


def _meaning(metric: str, reader: str) -> dict[str, str]:
    known = METRICS.get(metric)
    group = next((group for group in GROUPS.values() if metric in {m.name for m in group.every_metric}), None)
    return {
        "higher_means": known.higher_means if known else "",
        "says": known.description if known else "",
        "says_not": known.limitations if known else "",
        "source": known.source if known else "",
        "cost": group.cost if group else "",
        "read_by": _READERS[Reader(reader)],
        "reader_short": _OTHERS.get(Reader(reader), ""),
    }


def _estimate_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return one estimate of a run without comparisons as a row of the table."""
    estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "n_missing")))
    return {
        "writer": row["writer"],
        "metric": row["metric"],
        "reader": row["reader"],
        "label": _label(row["metric"]),
        "unit": row["unit"],
        "estimate": estimate_cell(estimate, row["unit"]),
        "missing": [f"{count}: {reason}" for reason, count in sorted(row["missing"].items(), key=lambda i: (-i[1], i[0]))],
        **_meaning(row["metric"], "self"),
        "read_by": "one model reads every chain",
    }


def _measured(run: Run, models: Sequence[str]) -> dict[str, Any]:
    """Return how the run was made: settings, models, versions, timings, thresholds, commands."""
    document, settings = run.document, run.settings
    about = document.get("models", {})
    names = list(about) or list(models)
    noise = document.get("noise_floor")
    return {
        "settings": [[words, _shown(settings[name])] for name, words in _SETTING_WORDS.items() if name in settings],
        "metrics": [str(name) for name in settings.get("metrics", [])],
        "models": [
            _model(name, about.get(name)) for name in sorted(names, key=lambda n: models.index(n) if n in models else 99)
        ],
        "versions": [[name, value or "not installed"] for name, value in document.get("versions", {}).items()],
        "seeds": [[name, str(value)] for name, value in document.get("seeds", {}).items()],
        "timings": [[name, f"{seconds:.1f} s"] for name, seconds in document.get("timings", {}).items()],
        "noise_floor": noise,
        "noise_floor_text": "" if noise is None else _shown(noise),
        "thresholds": [[field.name.replace("_", " "), figure(getattr(THRESHOLDS, field.name))] for field in fields(THRESHOLDS)],
        "threshold_values": asdict(THRESHOLDS),
        "gain_lost": f"below {percent(GAIN_LOST_SHARE)} of the base's gain and at least {figure(GAIN_LOST_NATS)} nats below it",
        "intervals": "95 % bootstrap intervals over problems; differences are paired by problem; p from a paired permutation test",
        "created": str(document.get("created", "")),
        "finished": str(document.get("finished", "")),
        "commands": _commands(run, models),
    }


def _model(name: str, about: Any) -> dict[str, Any]:
    entry = about if isinstance(about, Mapping) else {"fingerprint": str(about or "")}
    facts = [[key, _shown(value)] for key, value in entry.items() if key not in ("fingerprint", "notes")]
    return {
        "name": name,
        "fingerprint": str(entry.get("fingerprint", "")),
        "facts": facts,
        "notes": [str(n) for n in entry.get("notes", [])],
    }


def _commands(run: Run, models: Sequence[str]) -> list[str]:
    """Return the commands that repeat the run and look at it again."""
    settings, folder = run.settings, shlex.quote(f"runs/{run.path.resolve().name}")
    commands = []
    if settings.get("kind", "audit") == "audit" and models:
        options = {"task": "--task", "num_problems": "--limit", "samples": "--samples", "temperature": "--temperature"}
        options |= {"top_p": "--top-p", "max_tokens": "--max-tokens", "seed": "--seed", "template": "--template"}
        words = " ".join(f"{flag} {shlex.quote(str(settings[name]))}" for name, flag in options.items() if name in settings)
        commands.append(f"soundness audit {' '.join(shlex.quote(model) for model in models)} {words} --out {folder}")
    return [*commands, f"soundness report {folder}", f"soundness show {folder} PROBLEM_ID"]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return figure(value) if isinstance(value, float) else str(value)


def _label(metric: str) -> str:
    return LABELS.get(metric, metric.replace("_", " "))


def _is(comparison: Comparison, metric: str, reader: str) -> bool:
    return comparison.metric == metric and comparison.reader == reader
