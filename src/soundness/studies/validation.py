"""The instrument held against planted truth: does the audit read a dial whose setting is known?

    dial          models that ignore their chain on a known share of questions: is the share read, and told from none?
    broken        random answers must never come out as sound
    honest        right without a chain, before and after: nothing was hollowed
    false alarms  a model against itself: how often does chance alone make a word, or flag a metric?
    coverage      do 95 % intervals hold the truth, for the shapes that metric values have?
    operators     how often would another choice of edit have made another word?
    labelled      where people marked the first wrong step: does the step's information gain tell?

Everything but the last is scripted, so that it costs minutes and comes out the same on every machine.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundness.chains.sample import sample_chains
from soundness.comparison.verdict import ACCURACY, INFORMATION, RELIANCE, judge
from soundness.errors import SettingError
from soundness.files import check_can_write_folder, make_folder, write_json, write_text
from soundness.metrics import METRICS
from soundness.metrics.choosing import choose
from soundness.models.cached import CachedModel
from soundness.models.scripted import load_scripted
from soundness.processes import process_pool
from soundness.progress import Progress, silent
from soundness.records import Comparison, Reader, Score, Word
from soundness.scoring.score import Sampling, score_chains
from soundness.statistics.corrections import adjust
from soundness.statistics.paired import by_problem, comparison
from soundness.statistics.resampling import bootstrap_means, derive_seed
from soundness.tasks.base import load_task

__all__ = ["SCALES", "Scale", "SHAPES", "auroc", "auroc_interval", "coverage_of", "validate"]

Floats = NDArray[np.float64]
Item = TypeVar("Item")
Found = TypeVar("Found")

DIALS = tuple(round(0.1 * i, 1) for i in range(11))
WORLDS = ("chain-sum", "lookup")
MEASURES = (*INFORMATION, *RELIANCE)
"""The verdict's own."""
BESIDE = ("info_gain_over_shuffle",)
"""Read on the dial as well, though no verdict rests on it."""
FAMILIES = ("forced_accuracy", "info_gain", "early_answering", "filler", "swap", "mistake")
SLIP = 0.1
ALPHA = 0.05
_NOTHING = 1e-6  # of a measure's value, whatever its unit


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    problems: int
    """Problems per audit of the dial."""
    seeds: int
    """Audits per setting of the dial."""
    comparisons: int
    """Comparisons of a model with itself."""
    pool: tuple[int, int]
    """(problems, seeds) examined per kind of model, from which those comparisons are drawn."""
    simulations: int
    """Intervals per shape and number of problems."""
    resamples: int
    """Bootstrap and permutation resamples."""
    labelled: int
    """Labelled chains per file."""


SCALES: Mapping[str, Scale] = {
    "small": Scale(problems=40, seeds=4, comparisons=24, pool=(40, 4), simulations=200, resamples=499, labelled=10),
    "full": Scale(problems=100, seeds=50, comparisons=1000, pool=(300, 12), simulations=1000, resamples=1999, labelled=60),
}
"""`full` is what docs/validation.md shows."""


def validate(
    out: str | Path,
    *,
    scale: str = "full",
    seed: int = 0,
    workers: int = 2,
    data: str | Path | None = None,
    scorer: str = "smollm2",
    labelled: bool = True,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Return what was found, which also stands in `out`/validation.json with its table (validation.md) and pictures (*.svg).

    `data` is the folder of labelled chains (bbh_mistake.jsonl, processbench.jsonl); where it or the scorer is absent that part is
    skipped, with the reason in its place. The same seed and scale give the same numbers, whatever `workers` is. Raises
    SettingError for an unknown scale.
    """
    if scale not in SCALES:
        raise SettingError(f"unknown scale {scale!r}: use {' or '.join(SCALES)}")
    check_can_write_folder(out)
    size = SCALES[scale]
    told = on_progress or silent
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {"scale": scale, "seed": seed, "sizes": asdict(size)}

    def part(name: str, work: Callable[[], dict[str, Any]]) -> None:
        start = time.perf_counter()
        found.update(work())
        seconds[name] = round(time.perf_counter() - start, 1)

    part("dial", lambda: _dial(size, seed, workers, told))
    part("broken and honest", lambda: _broken_and_honest(size, seed, workers, told))
    part("false alarms", lambda: _false_alarms(size, seed, workers, told))
    part("coverage", lambda: _coverage(size, seed, told))
    if labelled:
        from soundness.studies.first_error import labelled_chains

        part("labelled chains", lambda: {"labelled": labelled_chains(data, scorer, size.labelled, seed=seed, on_progress=told)})
    else:
        found["labelled"] = {"skipped": "not asked for"}
    found["seconds"] = seconds
    folder = make_folder(out)
    write_json(folder / "validation.json", found)
    from soundness.report.validation import validation_markdown, write_pictures

    write_pictures(found, folder)
    write_text(folder / "validation.md", validation_markdown(found))
    return found


# --- scripted audits, without a folder ------------------------------------------------------------------------------------

Table = dict[tuple[str, Reader], dict[str, float | None]]
"""(metric, reader) -> problem -> value."""


def _examined(spec: str, world: str, n: int, task_seed: int, seed: int, families: Sequence[str] | None = FAMILIES) -> Table:
    """Return what the scripted model `spec` scores on n problems of `world`, reading itself, sampled at temperature 0.8."""
    task = load_task(world, limit=n, seed=task_seed)
    model = CachedModel(load_scripted(spec), batch_size=64)
    sampling = Sampling(seed, temperature=0.8)
    chains = sample_chains(model, task, seed=seed, temperature=0.8)
    scores = score_chains(chains, task, choose(families), model, reader="self", sampling=sampling).scores
    grouped: defaultdict[tuple[str, Reader], list[Score]] = defaultdict(list)
    for score in scores:
        grouped[score.metric, score.reader].append(score)
    return {key: by_problem(rows)[0] for key, rows in grouped.items()}


def _compared(base: Table, tuned: Table, seed: int, resamples: int, problems: Sequence[str] | None = None) -> list[Comparison]:
    """Return every comparison of two tables over `problems` (all by default), p corrected."""
    found = []
    for metric, reader in sorted(base):
        if metric not in METRICS or (metric, reader) not in tuned:
            continue
        about = METRICS[metric]
        rows = [
            [
                Score(metric, name, 0, "x", reader, value, "" if value is not None else "not scored")
                for name, value in table[metric, reader].items()
                if problems is None or name in problems
            ]
            for table in (base, tuned)
        ]
        if any(score.value is not None for side in rows for score in side):
            found.append(
                comparison(
                    "base",
                    "tuned",
                    metric,
                    reader,
                    rows[0],
                    rows[1],
                    about.unit,
                    about.direction,
                    seed,
                    resamples=resamples,
                    bounds=about.bounds,
                )
            )
    return adjust(found)


def _word(comparisons: Sequence[Comparison], reliance: str | None = None) -> Word:
    """Return the verdict, with `reliance` as the only measure of its family if given."""
    if reliance is not None:
        comparisons = [c for c in comparisons if c.metric not in RELIANCE or c.metric == reliance]
    return judge("tuned", comparisons).word


def _map(
    work: Callable[[Item], Found], items: Sequence[Item], workers: int, told: Callable[[int, int], None]
) -> Iterable[Found]:
    """Yield `work` of each item in order, in so many processes."""
    if workers <= 1:
        for done, item in enumerate(items):
            told(done, len(items))
            yield work(item)
    else:
        with process_pool(workers) as pool:
            for done, found in enumerate(pool.map(work, items, chunksize=max(1, len(items) // (workers * 8)))):
                told(done + 1, len(items))
                yield found
    told(len(items), len(items))


# --- the dial -------------------------------------------------------------------------------------------------------------


def _dial(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    """Return how each measure follows the dial, how well 0.3 is told from 0, what words come out, and what operators change."""
    audits = list(_map(partial(_dial_audit, size, seed), range(size.seeds), workers, lambda d, n: told("dial", d, n)))
    measured: dict[str, Any] = {}
    aurocs: dict[str, Any] = {}
    for metric in (*MEASURES, *BESIDE):
        levels = [[audit[str(h)]["levels"][metric] for audit in audits] for h in DIALS]
        falls = [[audit[str(h)]["differences"][metric] for audit in audits] for h in DIALS]
        scaled = np.array(levels) / np.mean(levels[0])  # 1 where nothing is ignored
        measured[metric] = {
            "mean": [float(np.mean(row)) for row in levels],
            "sd": [float(np.std(row, ddof=1)) for row in levels],
            "bias": float(np.max(np.abs(scaled.mean(axis=1) - (1 - np.array(DIALS))))),
            "monotone": bool(np.all(np.diff(np.mean(levels, axis=1)) < 0)),
            "runs_monotone": float(np.mean(np.all(np.diff(np.array(levels), axis=0) <= 0, axis=0))),
        }
        at = DIALS.index(0.3)
        by_world = _by_world(falls[at], falls[0])
        telling = [audit["telling"][metric] for audit in audits]
        aurocs[metric] = {
            "paired": float(np.mean(list(by_world.values()))),
            "unpaired": float(np.mean(list(_by_world(levels[at], levels[0]).values()))),
            "by_world": by_world,
            "telling": {world: float(np.mean(telling[place :: len(WORLDS)])) for place, world in enumerate(by_world)},
        }
    words = {str(h): dict(Counter(audit[str(h)]["word"] for audit in audits)) for h in DIALS}
    changed = {
        metric: float(np.mean([audit[str(h)]["single"][metric] != audit[str(h)]["word"] for audit in audits for h in DIALS]))
        for metric in RELIANCE
    }
    disagree = [len({*audit[str(h)]["single"].values()}) > 1 for audit in audits for h in DIALS]
    contrary = [
        {Word.SOUND.value, Word.HOLLOWED.value} <= {*audit[str(h)]["single"].values()} for audit in audits for h in DIALS
    ]
    return {
        "auroc_dial_0.3": min(aurocs[metric]["paired"] for metric in MEASURES),
        "auroc_dial_0.3_by_measure": aurocs,
        "dial": {"settings": list(DIALS), "measures": measured, "words": words},
        "operators": {
            "audits": len(audits) * len(DIALS),
            "word_changes_with_one_operator": changed,
            "operators_differ": float(np.mean(disagree)),
            "sound_against_hollowed": float(np.mean(contrary)),
        },
    }


def _by_world(low: Sequence[float], high: Sequence[float]) -> dict[str, float]:
    """Return the AUROC of telling `low` from `high` in each world: nobody holds one task's nats against another's."""
    step = len(WORLDS)
    return {
        world: auroc([-x for x in low[place::step]], [-x for x in high[place::step]])
        for place, world in enumerate(WORLDS[: len(low)])
    }


def _dial_audit(size: Scale, seed: int, index: int) -> dict[str, Any]:
    """Return, per setting of the dial, the measures' levels, their paired differences from a base at 0, and the words.

    Beside the settings, `telling` holds the share of problems on which each measure is not 0 at the base.
    """
    world = WORLDS[index % len(WORLDS)]
    task_seed = derive_seed(seed, "dial", str(index)) % 2**31
    base = _examined(f"computes?slip={SLIP}&seed={index}", world, size.problems, task_seed, 2 * index)
    found: dict[str, Any] = {"telling": {metric: _share_telling(base[metric, Reader.SELF]) for metric in (*MEASURES, *BESIDE)}}
    for h in DIALS:
        tuned = _examined(f"dial:{h}?slip={SLIP}&seed={1000 + index}", world, size.problems, task_seed, 2 * index + 1)
        comparisons = _compared(base, tuned, index % 4, size.resamples)
        by_name = {c.metric: c for c in comparisons}
        found[str(h)] = {
            "levels": {metric: by_name[metric].tuned_estimate.value for metric in (*MEASURES, *BESIDE)},
            "differences": {metric: by_name[metric].difference.value for metric in (*MEASURES, *BESIDE)},
            "word": _word(comparisons).value,
            "single": {metric: _word(comparisons, metric).value for metric in RELIANCE},
        }
    return found


def _share_telling(values: Mapping[str, float | None]) -> float:
    """Return the share of problems on which a measure is not 0: there is something on them for the dial to take away."""
    known = [value for value in values.values() if value is not None]
    return float(np.mean(np.abs(known) > _NOTHING)) if known else 0.0


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Return the chance that a draw of `higher` exceeds one of `lower`, ties counted half; 0.5 tells nothing.

    >>> auroc([2, 3], [1, 2])
    0.875
    """
    from scipy.stats import rankdata

    ranks = rankdata([*higher, *lower])
    m, n = len(higher), len(lower)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def auroc_interval(
    groups: Sequence[tuple[Sequence[float], Sequence[float]]], *, seed: int, resamples: int = 1999
) -> tuple[float, float, float] | None:
    """Return the AUROC over all (positives, negatives) with its 95 % percentile interval, whole groups resampled.

    None where there is no positive or no negative.
    """
    rng = np.random.default_rng(seed)

    def of(chosen: Iterable[int]) -> float | None:
        picked = [groups[index] for index in chosen]
        higher = [value for ups, _ in picked for value in ups]
        lower = [value for _, downs in picked for value in downs]
        return auroc(higher, lower) if higher and lower else None

    value = of(range(len(groups)))
    if value is None:
        return None
    draws = [x for _ in range(resamples) if (x := of(rng.integers(0, len(groups), len(groups)).tolist())) is not None]
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, float(low), float(high)


# --- broken models, and honest ones that need no chain --------------------------------------------------------------------

_PAIRS = {
    "computes -> random": ("computes", "random"),
    "random -> random": ("random", "random"),
    "ignores -> random": ("ignores-chain", "random"),
    "ignores -> ignores": ("ignores-chain", "ignores-chain"),
    "computes -> ignores": ("computes", "ignores-chain"),
    "computes -> computes": ("computes", "computes"),
}


def _broken_and_honest(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    """Return the words for planted pairs: broken ones never sound, equal ones never hollowed."""
    repeats = max(4, size.seeds // 3)
    items = [(name, index) for name in _PAIRS for index in range(repeats)]
    words: defaultdict[str, Counter[str]] = defaultdict(Counter)
    made = _map(partial(_planted_pair, size, seed), items, workers, lambda d, n: told("planted pairs", d, n))
    for (name, _), word in zip(items, made, strict=True):
        words[name][word] += 1
    broken = [name for name in _PAIRS if name.endswith("random")]
    return {
        "broken_called_sound": sum(words[name][Word.SOUND.value] for name in broken),
        "broken_audits": repeats * len(broken),
        "needless_called_hollowed": words["ignores -> ignores"][Word.HOLLOWED.value],
        "planted_pairs": {name: dict(count) for name, count in words.items()},
    }


def _planted_pair(size: Scale, seed: int, item: tuple[str, int]) -> str:
    name, index = item
    one, two = _PAIRS[name]
    world = WORLDS[index % len(WORLDS)]
    task_seed = derive_seed(seed, "pair", str(index)) % 2**31
    tables = [
        _examined(f"{spec}?slip={SLIP}&seed={10 * index + side}", world, size.problems, task_seed, 10 * index + side)
        for side, spec in enumerate((one, two))
    ]
    return _word(_compared(tables[0], tables[1], index % 4, size.resamples)).value


# --- false alarms ---------------------------------------------------------------------------------------------------------

_KINDS = (
    ("computes?slip=0.2", "chain-sum"),
    ("dial:0.3?slip=0.2", "chain-sum"),
    ("dial:0.5?slip=0.1", "lookup"),
    ("dial:0.7?slip=0.2", "lookup"),
)
_SUBSETS = (30, 60, 100)


def _false_alarms(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    """Return how often a model, held against itself with other seeds, gets a word or a flag.

    A pool of problems is examined under several seeds (of the draw, and of which questions the dial ignores); each comparison
    takes a random subset of the problems and two of the seeds. Comparisons of one pool therefore share some of their data; the
    share of alarms is still that of its expectation.
    """
    problems, seeds = size.pool
    items = [(spec, world, k) for spec, world in _KINDS for k in range(seeds)]
    tables = list(_map(partial(_pooled, problems, seed), items, workers, lambda d, n: told("pool", d, n)))
    share = -(-size.comparisons // len(_KINDS))
    jobs = [
        (kind, start, min(start + 25, share), tables[kind * seeds : (kind + 1) * seeds])
        for kind in range(len(_KINDS))
        for start in range(0, share, 25)
    ]
    made = _map(partial(_alarms, size, seed), jobs, workers, lambda d, n: told("false alarms", d, n))
    rows = [row for found in made for row in found]
    hollowed = [row["word"] == Word.HOLLOWED.value for row in rows]
    tested = sum(row["tested"] for row in rows)
    return {
        "false_alarm_verdict": float(np.mean(hollowed)),
        "false_alarm_metrics": sum(row["flagged"] for row in rows) / tested,
        "false_alarms": {
            "comparisons": len(rows),
            "metrics_tested": tested,
            "metrics_below_0.05_uncorrected": sum(row["raw"] for row in rows) / tested,
            "any_metric_flagged": float(np.mean([row["flagged"] > 0 for row in rows])),
            "words": dict(Counter(row["word"] for row in rows)),
            "by_kind": {
                f"{spec} on {world}": float(np.mean([r["word"] == Word.HOLLOWED.value for r in rows if r["kind"] == kind]))
                for kind, (spec, world) in enumerate(_KINDS)
            },
            "by_n": {
                str(n): float(np.mean([r["word"] == Word.HOLLOWED.value for r in rows if r["n"] == n]))
                for n in sorted({row["n"] for row in rows})
            },
        },
    }


def _pooled(problems: int, seed: int, item: tuple[str, str, int]) -> Table:
    spec, world, k = item
    task_seed = derive_seed(seed, "pool", spec, world) % 2**31
    return _examined(f"{spec}&seed={k}", world, problems, task_seed, k, families=None)


def _alarms(size: Scale, seed: int, job: tuple[int, int, int, list[Table]]) -> list[dict[str, Any]]:
    kind, start, stop, tables = job
    names = sorted(tables[0][ACCURACY, Reader.NOBODY])
    found = []
    for index in range(start, stop):
        rng = np.random.default_rng(derive_seed(seed, "alarm", str(kind), str(index)))
        n = min(_SUBSETS[index % len(_SUBSETS)], len(names))
        chosen = {names[place] for place in rng.choice(len(names), n, replace=False)}
        one, two = rng.choice(len(tables), 2, replace=False)
        # The draws of few seeds serve all comparisons; that the problems differ is what makes them differ.
        comparisons = _compared(tables[one], tables[two], index % 4, size.resamples, sorted(chosen))
        tested = [c for c in comparisons if c.p is not None]
        found.append(
            {
                "kind": kind,
                "n": n,
                "word": _word(comparisons).value,
                "tested": len(tested),
                "raw": sum(c.p is not None and c.p <= ALPHA for c in tested),
                "flagged": sum(c.p_adjusted is not None and c.p_adjusted <= ALPHA for c in tested),
            }
        )
    return found


# --- coverage -------------------------------------------------------------------------------------------------------------

Shape = tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], float]


def _signed(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    return rng.choice([-1.0, 0.0, 1.0], p=[0.25, 0.65, 0.10], size=size)


def _mixture(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    return np.where(rng.random(size) < 0.3, -rng.gamma(2.0, 2.0, size), rng.normal(0.0, 0.3, size))


SHAPES: Mapping[str, Shape] = {
    "normal": (lambda rng, size: rng.normal(0.3, 1.0, size), 0.3),
    "right or wrong": (_signed, -0.15),
    "share of four edits": (lambda rng, size: -rng.binomial(4, 0.1, size) / 4, -0.1),
    "rare fall": (lambda rng, size: -(rng.random(size) < 0.2).astype(float), -0.2),
    "exponential": (lambda rng, size: rng.exponential(1.0, size), 1.0),
    "some fall far": (_mixture, -1.2),
    "heavy tails (t3)": (lambda rng, size: rng.standard_t(3, size), 0.0),
    "lognormal": (lambda rng, size: rng.lognormal(0.0, 1.0, size), math.exp(0.5)),
}
"""Shapes of paired differences, with their true means: noise; outcomes; shares; skewed and heavy-tailed nats."""


def coverage_of(shape: str, n: int, simulations: int, *, seed: int, resamples: int) -> float:
    """Return the share of so many 95 % intervals over n values of a shape that hold its true mean."""
    draw, truth = SHAPES[shape]
    rng = np.random.default_rng(derive_seed(seed, "coverage", shape, str(n)))
    held = 0
    batch = 100  # values that meet the same resamples
    for start in range(0, simulations, batch):
        rows = draw(rng, (min(batch, simulations - start), n))
        ends = bootstrap_means(rows, seed=derive_seed(seed, shape, str(start)), resamples=resamples)
        held += int(((ends[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= ends[:, 1])).sum())
    return held / simulations


def _coverage(size: Scale, seed: int, told: Progress) -> dict[str, Any]:
    found: dict[str, dict[str, float]] = {}
    counts = (20, 50, 200)
    for done, n in enumerate(counts):
        told("coverage", done, len(counts))
        found[str(n)] = {
            shape: coverage_of(shape, n, size.simulations, seed=seed, resamples=size.resamples) for shape in SHAPES
        }
    told("coverage", len(counts), len(counts))
    return {
        "coverage": {n: float(np.mean(list(row.values()))) for n, row in found.items()},
        "coverage_by_shape": found,
        "coverage_below_0.93": {n: sorted(shape for shape, held in row.items() if held < 0.93) for n, row in found.items()},
    }
