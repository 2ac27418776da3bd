"""The instrument held against planted truth that it was not fitted to.

    grid        behaviour x dress x confidence x base, combined at random: how many words are false, how many are given?
    pairs       the kinds of pair on which a rule of log-probabilities and fixed cues failed
    curves      models that ignore their steps on a share h of the questions: which words come out, by h and n, and what does a
                harmless change of dress do to equal models?
    dial        does each measure fall in line with h?
    network     a real network with scaled logits: does it get the words of itself?
    coverage    do 95 % intervals hold the truth, for the shapes that metric values have?
    labelled    where people marked the first wrong step: which number of the step tells?

Everything but the last two is scripted, so that it costs minutes and comes out the same on every machine.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from soundness.chains.sample import sample_chains
from soundness.comparison.labels import INFORMATION, RELIANCE
from soundness.comparison.verdict import decide_verdict
from soundness.errors import SettingError
from soundness.files import check_can_write_folder, make_folder, write_json, write_text
from soundness.metrics.choosing import choose
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.planted import Plant
from soundness.models.scripted import load_scripted
from soundness.processes import process_pool
from soundness.progress import Progress, silent
from soundness.records import Score
from soundness.scoring.score import Sampling, score_chains
from soundness.statistics.paired import by_problem
from soundness.statistics.resampling import bootstrap_means, derive_seed
from soundness.studies.grid import judge_cell, summary
from soundness.studies.planted_truth import OPERATORS, PAIRS, WORLD, judge_pair, measure
from soundness.tasks.base import load_task

__all__ = ["ARMS", "SCALES", "SHAPES", "Scale", "coverage_of", "validate"]

Floats = NDArray[np.float64]
Item = TypeVar("Item")
Found = TypeVar("Found")

DIALS = (0.0, 0.25, 0.5, 0.75, 1.0)
DIAL_WORLDS = ("chain-sum", "lookup")
MEASURES = ("following", "gain", "over_none", "mistake_effect", *INFORMATION, *RELIANCE)
"""Read on the dial: those that decide, then those that describe."""
DIAL_GROUPS = ("following", "gain", "wrong_numbers", "info_gain", "early_answering", "filler", "swap", "mistake")
SLIP = 0.1
TEMPERATURE = 0.8
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5)
"""Settings of the dial in the operating curve."""

_BASE = Plant(slip=SLIP, seed=100)
_HALF = replace(_BASE, source="dial", h=0.5)

ARMS: Mapping[str, tuple[Plant, Plant]] = {
    **{f"h = {h:g}": (_BASE, Plant("dial", h=h, slip=SLIP)) for h in SHARES},
    "less sure (eps .05)": (_BASE, Plant(slip=SLIP, eps=0.05)),
    "restates, full stop": (_BASE, Plant(slip=SLIP, restates=True, form="stop")),
    "two steps a line, less sure": (_BASE, Plant(slip=SLIP, join="merged", eps=0.1)),
    "one sentence, boxed": (_BASE, Plant(slip=SLIP, join="sentence", closing="boxed")),
    "checks every step, full stop": (_BASE, Plant(slip=SLIP, checks=True, form="stop")),
    "in German words, thinking first": (_BASE, Plant(slip=SLIP, step="german", closing="german", opening="thinking")),
    "base cut off where wrong": (
        replace(_BASE, slip=0.2, cut=1.0, cut_where="wrong"),
        Plant(slip=0.2),
    ),
    "no steps on 30 %": (_BASE, Plant(slip=SLIP, silent=0.3)),
    "h = 0.3 and sharper": (_BASE, Plant("dial", h=0.3, slip=SLIP, eps=0.001)),
    "half reliant, tuned the same": (_HALF, Plant("dial", h=0.5, slip=SLIP)),
    "half reliant, tuned a quarter": (_HALF, Plant("dial", h=0.75, slip=SLIP)),
}
"""Arm of the operating curve -> (base, tuned); fresh samples and other questions for every audit."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything."""

    cells: int
    """Audits of the grid."""
    problems: int
    """Problems per audit of the grid."""
    counts: tuple[int, ...]
    """Numbers of problems in the curves."""
    pool: tuple[int, int]
    """(problems, seeds) measured per arm, from which the audits of the curves are drawn."""
    draws: int
    """Audits per arm and number of problems."""
    dials: int
    """Audits per setting of the dial and world."""
    simulations: int
    """Intervals per shape and number of problems."""
    resamples: int
    """Bootstrap resamples."""
    labelled: int
    """Labelled chains per file."""
    arms: tuple[str, ...]
    """Which arms of the curves."""


SCALES: Mapping[str, Scale] = {
    "small": Scale(
        cells=8,
        problems=30,
        counts=(30,),
        pool=(36, 1),
        draws=8,
        dials=1,
        simulations=100,
        resamples=399,
        labelled=10,
        arms=("h = 0", "h = 0.5", "restates, full stop", "two steps a line, less sure"),
    ),
    "full": Scale(
        cells=124,
        problems=60,
        counts=(50, 100, 200),
        pool=(200, 3),
        draws=50,
        dials=2,
        simulations=1000,
        resamples=1999,
        labelled=60,
        arms=tuple(ARMS),
    ),
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
    SettingError for an unknown scale, or where `out` cannot be a folder.
    """
    if scale not in SCALES:
        raise SettingError(f"unknown scale {scale!r}: use {' or '.join(SCALES)}")
    check_can_write_folder(Path(out))
    size = SCALES[scale]
    told = on_progress or silent
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {"scale": scale, "seed": seed, "sizes": asdict(size)}

    def part(name: str, work: Callable[[], dict[str, Any]]) -> None:
        start = time.perf_counter()
        found.update(work())
        seconds[name] = round(time.perf_counter() - start, 1)

    part("grid", lambda: {"grid": _grid(size, seed, workers, told)})
    part("pairs", lambda: {"pairs": _pairs(seed, workers, told) if scale == "full" else {}})
    part("curves", lambda: {"curves": _curves(size, seed, workers, told)})
    part("dial", lambda: {"dial": _dial(size, seed, workers, told)})
    part("network", lambda: {"network": _network(seed) if scale == "full" else {}})
    part("coverage", lambda: _coverage(size, seed, told))
    if labelled:
        from soundness.studies.first_error import labelled_chains

        part("labelled chains", lambda: {"labelled": labelled_chains(data, scorer, size.labelled, seed=seed, on_progress=told)})
    else:
        found["labelled"] = {"skipped": "not asked for"}
    found["seconds"] = seconds
    folder = make_folder(Path(out))
    write_json(folder / "validation.json", found)
    from soundness.report.validation import validation_markdown, write_pictures

    write_pictures(found, folder)
    write_text(folder / "validation.md", validation_markdown(found))
    return found


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


# --- grid and pairs ---------------------------------------------------------------------------------------------------


def _grid(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    work = partial(judge_cell, seed, size.problems)
    return summary(list(_map(work, range(size.cells), workers, lambda d, n: told("grid", d, n))))


def _pairs(seed: int, workers: int, told: Progress) -> dict[str, Any]:
    made = _map(partial(_one_pair, seed), list(PAIRS), workers, lambda d, n: told("pairs", d, n))
    return {
        name: {"word": word, "allowed": sorted(w.value for w in PAIRS[name].allowed)}
        for name, word in zip(PAIRS, made, strict=True)
    }


def _one_pair(seed: int, name: str) -> str:
    pair = PAIRS[name]
    return judge_pair(pair.base, pair.tuned, n=pair.n, seed=seed).word.value


# --- operating curves -------------------------------------------------------------------------------------------------


def _curves(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    """Return the share of every word by arm and number of problems.

    Each arm is measured on a pool of problems under several seeds, of the samples and of which questions are ignored; an audit takes
    a random subset of the problems and one seed of either side. Audits of an arm share some of their data, so that a share is less
    certain than its number of draws says.
    """
    sides = [(arm, which, k) for arm in size.arms for which in ("base", "tuned") for k in range(size.pool[1])]
    # Bases that several arms share are measured once.
    distinct = {(ARMS[arm][which == "tuned"], which, k): (arm, which, k) for arm, which, k in sides}
    pools = dict(
        zip(
            distinct,
            _map(partial(_pool, size, seed), list(distinct.values()), workers, lambda d, n: told("curves", d, n)),
            strict=True,
        )
    )
    seeds = range(size.pool[1])
    jobs = []
    for arm in size.arms:
        base, tuned = ARMS[arm]
        of_base, of_tuned = [pools[base, "base", k] for k in seeds], [pools[tuned, "tuned", k] for k in seeds]
        jobs += [(arm, n, of_base, of_tuned) for n in size.counts]
    words = _map(partial(_draw, size, seed), jobs, workers, lambda d, n: told("words of the curves", d, n))
    table: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (arm, n, _, _), counts in zip(jobs, words, strict=True):
        table[arm][str(n)] = {word: count / size.draws for word, count in sorted(counts.items())}
    return dict(table)


def _pool(size: Scale, seed: int, item: tuple[str, str, int]) -> list[Score]:
    arm, which, k = item
    base, tuned = ARMS[arm]
    task = load_task(f"{WORLD}:operators={OPERATORS}", limit=size.pool[0], seed=derive_seed(seed, "curves") % 2**31)
    plant = replace(base if which == "base" else tuned, seed=1000 * (which == "tuned") + k)
    reader = base.model("base")
    model = reader if which == "base" and k == 0 else plant.model(which)
    return measure(model, which, task, reader, seed=derive_seed(seed, arm, which, str(k)) % 2**31, temperature=TEMPERATURE)


def _draw(size: Scale, seed: int, job: tuple[str, int, list[list[Score]], list[list[Score]]]) -> Counter[str]:
    arm, n, bases, tuneds = job
    names = sorted({score.problem_id for score in bases[0]})
    words: Counter[str] = Counter()
    for draw in range(size.draws):
        rng = np.random.default_rng(derive_seed(seed, arm, str(n), str(draw)))
        chosen = {names[place] for place in rng.choice(len(names), n, replace=False)}
        pair = [*bases[rng.integers(len(bases))], *tuneds[rng.integers(len(tuneds))]]
        scores = [score for score in pair if score.problem_id in chosen]
        words[decide_verdict("base", "tuned", scores, seed=draw).word.value] += 1
    return words


# --- the dial ---------------------------------------------------------------------------------------------------------


def _dial(size: Scale, seed: int, workers: int, told: Progress) -> dict[str, Any]:
    """Return the mean of each measure by setting and world, and its largest distance from the line that falls with h."""
    items = [(world, h, k) for world in DIAL_WORLDS for h in DIALS for k in range(size.dials)]
    rows = list(_map(partial(_dial_means, size, seed), items, workers, lambda d, n: told("dial", d, n)))
    found: dict[str, Any] = {"settings": list(DIALS), "measures": {}}
    for metric in MEASURES:
        about: dict[str, Any] = {}
        for world in DIAL_WORLDS:
            values = [
                [
                    row[metric]
                    for (w, dial, _), row in zip(items, rows, strict=True)
                    if (w, dial) == (world, h) and metric in row
                ]
                for h in DIALS
            ]
            if not all(values):
                continue  # a world without numbers has no wrong ones
            means = [math.fsum(row) / len(row) for row in values]
            line = [means[0] * (1 - h) for h in DIALS]
            off = max(abs(mean - on) for mean, on in zip(means, line, strict=True)) / abs(means[0]) if means[0] else None
            about[world] = {"mean": means, "bias": off}
        found["measures"][metric] = about
    return found


def _dial_means(size: Scale, seed: int, item: tuple[str, float, int]) -> dict[str, float]:
    world, h, k = item
    task = load_task(world, limit=size.problems, seed=derive_seed(seed, "dial", world, str(k)) % 2**31)
    model = CachedModel(load_scripted(f"dial:{h}?slip={SLIP}&seed={k}"), batch_size=64)
    chains = sample_chains(model, task, seed=k, temperature=TEMPERATURE, batch_size=64)
    scores = score_chains(
        chains, task, choose(list(DIAL_GROUPS)), model, reader="self", sampling=Sampling(k, TEMPERATURE)
    ).scores
    means = {}
    for metric in MEASURES:
        values = [v for v in by_problem(s for s in scores if s.metric == metric)[0].values() if v is not None]
        if values:
            means[metric] = math.fsum(values) / len(values)
    return means


# --- a real network ---------------------------------------------------------------------------------------------------

FACTORS = (0.5, 0.85, 2.0)
_ORGANISMS = ("sound", "shortcut")
_NETWORK_PROBLEMS = 40


def _network(seed: int) -> dict[str, Any]:
    """Return, per shipped organism, the word that it gets and the words of the same network with scaled logits."""
    from soundness.models.load import load_model

    task = load_task("organism:domain", limit=_NETWORK_PROBLEMS, seed=derive_seed(seed, "network") % 2**31)
    base = load_model("organism:base")
    before = measure(base, "base", task, base, seed=seed, temperature=0.0)
    found: dict[str, Any] = {}
    for name in _ORGANISMS:
        words = {}
        for factor in (1.0, *FACTORS):
            model = _scaled(load_model(f"organism:{name}"), factor)
            scores = before + measure(model, "tuned", task, base, seed=seed, temperature=0.0)
            words[f"{factor:g}"] = decide_verdict("base", "tuned", scores, seed=seed).word.value
        found[name] = words
    return found


def _scaled(model: Model, factor: float) -> Model:
    """Return a network whose logits are `factor` times what they were: its last norm is linear in its weights."""
    module: Any = model.module  # type: ignore[attr-defined]
    module.model.norm.weight.data.mul_(factor)
    return model


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
