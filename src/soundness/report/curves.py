"""The page's curves as plain data: what each problem's chains say at each place, averaged over problems with their spread."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from soundness.records import Chain, Outcome, Score
from soundness.report.words import percent
from soundness.runs.tables import CaseRow, EditRow
from soundness.statistics.proportions import share_interval

__all__ = ["all_curves", "pass_at_k"]

_PLACES = tuple(i / 10 for i in range(11))
_LENGTH_BINS = 5
_CONFIDENCE_BINS = 10
_FILLER_PLACES = (0.25, 0.5, 0.75, 1.0)

Point = dict[str, Any]


def all_curves(
    models: Sequence[str], chains: Sequence[Chain], cases: Sequence[CaseRow], edits: Sequence[EditRow], scores: Sequence[Score]
) -> list[dict[str, Any]]:
    """Return every curve that the run's tables allow, one series per model of `models`, in the order of the page.

    A curve holds `id`, `title`, `says`, `band`, the axes' titles, `series` of points (x, y, low, high, n and their texts), a
    `note`, and the table it was made from.
    """
    own = [case for case in cases if case.reader == "self"]
    curves = [
        _belief(models, own),
        _early(models, own),
        _filler(models, own, edits),
        _coverage(models, chains),
        _reliability(models, own, scores),
        _by_length(models, chains),
    ]
    return [curve for curve in curves if any(len(one["points"]) > 1 for one in curve["series"])]


def pass_at_k(num_samples: int, num_right: int, k: int) -> float:
    """Return the unbiased estimate of the chance that one of `k` samples is right (2107.03374, eq. 1).

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 4), pass_at_k(4, 0, 2)
    (0.25, 1.0, 0.0)
    """
    if num_samples - num_right < k:
        return 1.0
    return 1.0 - math.comb(num_samples - num_right, k) / math.comb(num_samples, k)


def _belief(models: Sequence[str], cases: Sequence[CaseRow]) -> dict[str, Any]:
    series = []
    for model in models:
        ladders = [case.reference_share for case in cases if case.writer == model and len(case.reference_share) > 1]
        rows = [np.interp(_PLACES, np.linspace(0, 1, len(ladder)), ladder) for ladder in ladders]
        series.append(_series(model, [_spread(x, [row[i] for row in rows]) for i, x in enumerate(_PLACES)] if rows else []))
    return _curve(
        "belief",
        "Belief in the right answer along the chain",
        "How likely the reference answer is, asked for after each share of the steps. A chain that carries the answer climbs; a "
        "flat line means that the steps told the model nothing.",
        "mean over chains; band: the middle half of the chains",
        "share of the steps written",
        "log-probability, nats",
        series,
        "cases.parquet, reference_share, each model reading its own chains",
        percent_x=True,
    )


def _early(models: Sequence[str], cases: Sequence[CaseRow]) -> dict[str, Any]:
    series = []
    for model in models:
        mine = [case for case in cases if case.writer == model and len(case.own_given) > 1]
        given = [case.own_given for case in mine]
        points = []
        for x in _PLACES:
            # Rounded first: 0.7 * 10 is 7.000000000000001, and 0.3 * 10 could have been 2.99.
            same = [row[math.floor(round(x * (len(row) - 1), 9))] for row in given]
            if same:
                points.append(_share(x, sum(same), len(same), len({case.problem_id for case in mine})))
        series.append(_series(model, points))
    return _curve(
        "early",
        "Early answering",
        "How often the model already gives its final answer after a share of its steps. High from the start: it had the answer "
        "before it wrote the steps.",
        "share of chains; band: 95 % interval",
        "share of the steps shown",
        "share with the final answer",
        series,
        "cases.parquet, own_given",
        percent_x=True,
        percent_y=True,
    )


def _filler(models: Sequence[str], cases: Sequence[CaseRow], edits: Sequence[EditRow]) -> dict[str, Any]:
    known = {
        (c.writer, c.problem_id, c.sample): (c.num_tokens, c.reference_nats[0])
        for c in cases
        if c.num_tokens and c.reference_nats
    }
    gains: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for edit in edits:
        case = known.get((edit.writer, edit.problem_id, edit.sample))
        if edit.reader != "self" or edit.kind != "fill_whole" or case is None or edit.reference_nats is None:
            continue
        share = (edit.num_tokens or 0) / case[0]
        gains[edit.writer][min(_FILLER_PLACES, key=lambda place: abs(place - share))].append(edit.reference_nats - case[1])
    series = []
    for model in models:
        points = [_spread(x, values) for x, values in sorted(gains[model].items())]
        nothing = [_spread(0.0, [0.0] * max(point["n"] for point in points))] if points else []
        series.append(_series(model, nothing + points))
    return _curve(
        "filler",
        "Filler in place of the steps",
        "What the same number of empty tokens does for the right answer, against no steps at all. A gain here is the gain of mere "
        "length, and says nothing for the steps.",
        "mean over chains; band: the middle half of the chains",
        "filler, as a share of the chain's length",
        "gain, nats",
        series,
        "edits.parquet, fill_whole",
        percent_x=True,
    )


def _coverage(models: Sequence[str], chains: Sequence[Chain]) -> dict[str, Any]:
    from soundness.statistics.paired import estimate

    series = []
    for model in models:
        right: dict[str, list[bool]] = defaultdict(list)
        for chain in chains:
            if chain.model == model and chain.outcome is not None:
                right[chain.problem_id].append(chain.outcome is Outcome.RIGHT)
        num_samples = min((len(found) for found in right.values()), default=0)
        points = []
        if num_samples > 1:
            for k in [k for k in (2**i for i in range(20)) if k < num_samples] + [num_samples]:
                values: dict[str, float | None] = {
                    name: pass_at_k(len(found), sum(found), k) for name, found in sorted(right.items())
                }
                found = estimate(values, seed=0, bounds=(0.0, 1.0))
                points.append(_point(float(k), found.value or 0.0, found.low, found.high, found.n))
        series.append(_series(model, points))
    note = "; ".join(filter(None, (_crossing(series[0], one) for one in series[1:])))
    return _curve(
        "pass_at_k",
        "pass@k",
        "The chance that at least one of k samples is right. A tuned model that leads at k = 1 and trails at large k has grown "
        "surer of what the base could do, and lost some of it.",
        "mean over problems; band: 95 % interval",
        "k samples",
        "share of problems",
        series,
        "chains.parquet, outcome",
        percent_y=True,
        log_x=True,
        note=note,
    )


def _crossing(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> str:
    """Return at which k the tuned model falls behind the base after having led, in words, or an empty string."""
    pairs = [(p["x"], q["y"] - p["y"]) for p in base["points"] for q in tuned["points"] if p["x"] == q["x"]]
    behind = next((x for x, difference in pairs if difference < 0), None)
    if not pairs or pairs[0][1] <= 0 or behind is None:
        return ""
    return f"{tuned['model']} leads at k = 1 and is behind from k = {behind:.0f}"


def _reliability(models: Sequence[str], cases: Sequence[CaseRow], scores: Sequence[Score]) -> dict[str, Any]:
    right = {
        (s.writer, s.problem_id, s.sample): s.value
        for s in scores
        if s.metric == "accuracy_forced" and s.reader == "self" and s.value is not None
    }
    series = []
    for model in models:
        bins: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
        for case in cases:
            known = right.get((case.writer, case.problem_id, case.sample))
            if case.writer == model and known is not None and case.own_share:
                confidence = math.exp(min(case.own_share[-1], 0.0))
                bins[min(int(confidence * _CONFIDENCE_BINS), _CONFIDENCE_BINS - 1)].append((confidence, known, case.problem_id))
        points = [
            _share(
                math.fsum(confidence for confidence, _, _ in found) / len(found),
                round(math.fsum(known for _, known, _ in found)),
                len(found),
                len({problem for _, _, problem in found}),
            )
            for _, found in sorted(bins.items())
        ]
        series.append(_series(model, points))
    return _curve(
        "reliability",
        "Reliability",
        "How often answers given with a certain confidence are right. On the diagonal: as sure as it is right.",
        "ten bins of equal width; band: 95 % interval",
        "confidence in the own answer",
        "share right",
        series,
        "cases.parquet, own_share; scores.parquet, accuracy_forced",
        percent_x=True,
        percent_y=True,
        diagonal=True,
    )


def _by_length(models: Sequence[str], chains: Sequence[Chain]) -> dict[str, Any]:
    whole = [c for c in chains if c.outcome is not None and c.finish == "stop" and c.model in set(models)]
    lengths = np.array([len(chain.ids) for chain in whole], dtype=float)
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _LENGTH_BINS + 1))) if whole else np.zeros(0)
    series = []
    for model in models:
        points = []
        for low, high in zip(edges[:-1], edges[1:], strict=True):
            last = high == edges[-1]
            inside = [c for c in whole if c.model == model and low <= len(c.ids) and (len(c.ids) < high or last)]
            if inside:
                middle = float(np.mean([len(chain.ids) for chain in inside]))
                num_right = sum(chain.outcome is Outcome.RIGHT for chain in inside)
                points.append(_share(middle, num_right, len(inside), len({chain.problem_id for chain in inside})))
        series.append(_series(model, points))
    return _curve(
        "by_length",
        "Accuracy by length",
        "Share of right answers among chains of about the same length. Harder problems take longer chains, so a fall to the right "
        "need not be the length's doing.",
        "fifths of all chains by length, chains cut off left out; band: 95 % interval",
        "tokens in the chain",
        "share right",
        series,
        "chains.parquet, ids and outcome",
        percent_y=True,
    )


def _curve(
    name: str, title: str, says: str, band: str, x: str, y: str, series: Sequence[dict[str, Any]], source: str, **options: Any
) -> dict[str, Any]:
    curve = {"id": name, "title": title, "says": says, "band": band, "x": x, "y": y, "source": source, "note": ""}
    flags = {"percent_x": False, "percent_y": False, "log_x": False, "diagonal": False, **options}
    for one in series:
        for point in one["points"]:
            point["text"] = {
                "x": f"{point['x'] * 100:.0f} %" if flags["percent_x"] else f"{point['x']:.0f}",
                "y": percent(point["y"]) if flags["percent_y"] else f"{point['y']:.2f}",
                "spread": _range(point, flags["percent_y"]),
            }
    return {**curve, **flags, "series": list(series)}


def _range(point: Point, in_percent: bool) -> str:
    if point["low"] is None:
        return ""
    low, high = (f"{point[end] * 100:.1f}" if in_percent else f"{point[end]:.2f}" for end in ("low", "high"))
    return f"[{low}, {high}]"


def _series(model: str, points: Iterable[Point]) -> dict[str, Any]:
    return {"model": model, "points": list(points)}


def _point(x: float, y: float, low: float | None, high: float | None, n: int) -> Point:
    return {"x": float(x), "y": float(y), "low": low, "high": high, "n": n}


def _spread(x: float, values: Sequence[float]) -> Point:
    """Return the mean of `values` with their quartiles."""
    low, high = (float(q) for q in np.quantile(values, (0.25, 0.75)))
    return _point(x, float(np.mean(values)), low, high, len(values))


def _share(x: float, count: int, total: int, units: int) -> Point:
    """Return a share with its 95 % interval (Wilson) over `units` problems: samples of one problem are not independent."""
    return _point(x, count / total, *share_interval(count / total, units), total)
