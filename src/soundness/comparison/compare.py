"""From scores to comparisons that are more than a mean per problem: numbers over all problems, and who wrote against who reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from soundness.errors import MetricError
from soundness.metrics.base import CorpusMetric, Metric, MetricGroup, Reader, score_rows
from soundness.records import Comparison, Estimate, Score
from soundness.statistics.paired import Bounds, by_problem, comparison, estimate
from soundness.statistics.totals import compare_totals, estimate_total

__all__ = ["compare_corpus", "compare_scores", "corpus_rows", "estimate_corpus", "estimate_scores", "writer_reader"]

LACKING = "nothing to compare within this problem"


def corpus_rows(
    scores: Sequence[Score], corpus: CorpusMetric, writer: str, reader: Reader
) -> tuple[dict[str, list[tuple[float, ...]]], dict[str, str]]:
    """Return the prepared rows of one writer by problem, a row per chain that has every input, and why problems have none."""
    rows, reasons = score_rows(scores, corpus.inputs, writer, reader)
    if corpus.prepare is not None:
        rows = {problem: list(found) for problem, found in corpus.prepare(rows).items()}
    return rows, {problem: reasons.get(problem, LACKING) for problem, found in rows.items() if not found}


def compare_corpus(
    scores: Sequence[Score], corpus: CorpusMetric, base: str, tuned: str, reader: Reader, *, seed: int
) -> Comparison:
    """Return tuned minus base on a number over all problems, with a paired bootstrap and an exchange test over problems."""
    base_rows, why = corpus_rows(scores, corpus, base, reader)
    tuned_rows, why_tuned = corpus_rows(scores, corpus, tuned, reader)
    found = compare_totals(
        base_rows,
        tuned_rows,
        corpus.statistic,
        seed=seed,
        reasons={**why_tuned, **why},
    )
    return Comparison(
        base=base,
        tuned=tuned,
        metric=corpus.metric.name,
        reader=reader,
        base_estimate=found.base,
        tuned_estimate=found.tuned,
        difference=found.difference,
        p=found.p,
        unit=corpus.metric.unit,
        direction=corpus.metric.direction,
        missing=found.missing,
    )


def estimate_corpus(
    scores: Sequence[Score], corpus: CorpusMetric, writer: str, reader: Reader, *, seed: int
) -> tuple[Estimate, dict[str, str]]:
    """Return one model's number over all problems with its interval, and why problems do not enter."""
    rows, why = corpus_rows(scores, corpus, writer, reader)
    return estimate_total(rows, corpus.statistic, seed=seed), why


def writer_reader(
    scores: Sequence[Score], base: str, tuned: Sequence[str], groups: Sequence[MetricGroup], *, seed: int
) -> list[dict[str, object]]:
    """Return, as JSON values, the table X[reader, writer] of each tuned model and of each metric that both read on both chains.

    All cells and effects are means over the problems that have all four:
    writing = X[base, tuned] - X[base, base], using = X[tuned, base] - X[base, base], interaction = what is left of
    X[tuned, tuned] - X[base, base].
    """
    grouped: dict[tuple[str, str, Reader, str], list[Score]] = {}
    for score in scores:
        reader_name = score.reader_name if score.reader == Reader.TUNED else ""
        grouped.setdefault((score.writer, score.metric, score.reader, reader_name), []).append(score)
    rows: list[dict[str, object]] = []
    for name in tuned:
        for metric in (metric for group in groups if Reader.TUNED in group.readers for metric in group.metrics):
            places = {
                "base_base": (base, metric.name, Reader.SELF, ""),
                "base_tuned": (name, metric.name, Reader.BASE, ""),
                "tuned_base": (base, metric.name, Reader.TUNED, name),
                "tuned_tuned": (name, metric.name, Reader.SELF, ""),
            }
            if any(place not in grouped for place in places.values()):
                continue
            cells = {key: by_problem(grouped[place])[0] for key, place in places.items()}
            rows.append({"tuned": name, "metric": metric.name, "unit": metric.unit, **_effects(cells, metric.bounds, seed)})
    return rows


def _bounds_of_sum(bounds: Bounds, weights: Iterable[float]) -> Bounds:
    """Return the bounds of a weighted sum of values between `bounds`."""
    low, high = bounds
    if low is None or high is None:
        return (None, None)
    weights = list(weights)
    up, down = sum(w for w in weights if w > 0), -sum(w for w in weights if w < 0)
    return (up * low - down * high, up * high - down * low)


def _effects(cells: Mapping[str, Mapping[str, float | None]], bounds: Bounds, seed: int) -> dict[str, object]:
    full: dict[str, dict[str, float]] = {}
    for problem in sorted(set.intersection(*(set(cell) for cell in cells.values()))):
        four = {key: cell[problem] for key, cell in cells.items()}
        known = {key: value for key, value in four.items() if value is not None}
        if len(known) == len(cells):
            full[problem] = known
    terms = {
        **{key: {key: 1.0} for key in cells},
        "writing": {"base_tuned": 1.0, "base_base": -1.0},
        "using": {"tuned_base": 1.0, "base_base": -1.0},
        "interaction": {"tuned_tuned": 1.0, "base_tuned": -1.0, "tuned_base": -1.0, "base_base": 1.0},
    }
    found: dict[str, object] = {}
    for term, weights in terms.items():
        values = {problem: sum(weight * four[key] for key, weight in weights.items()) for problem, four in full.items()}
        found[term] = asdict(estimate(values, seed=seed, bounds=_bounds_of_sum(bounds, weights.values())))
    return found


def compare_scores(
    scores: Sequence[Score], base: str, tuned: Sequence[str], groups: Sequence[MetricGroup], *, seed: int
) -> list[Comparison]:
    """Return one comparison per tuned model, metric and reader, paired by problem.

    Under reader `base` the base's own chains are those it read itself; under `tuned` both sides read the base's chains, the base and
    the tuned model, so that the difference is one of reading alone. A metric that no chain of either model allowed is still
    there, with what kept it from being scored. Raises `MetricError` where nothing at all could be scored.
    """
    if not any(one.value is not None for one in scores):
        reasons = sorted({one.reason for one in scores})[:3]
        raise MetricError(f"nothing could be scored ({'; '.join(reasons) or 'there are no chains'}); look at chains.parquet")
    grouped: dict[tuple[str, str, Reader, str], list[Score]] = {}
    for one in scores:
        name = one.reader_name if one.reader == Reader.TUNED else ""
        grouped.setdefault((one.writer, one.metric, one.reader, name), []).append(one)
    found = []
    for name in tuned:
        for group in groups:
            for reader in group.readers:
                for metric in group.metrics:
                    places = [(base, metric.name, reader, ""), (name, metric.name, reader, "")]
                    if reader == Reader.TUNED:
                        places = [(base, metric.name, Reader.SELF, ""), (base, metric.name, reader, name)]
                    if places[1] not in grouped:  # nobody was asked to read for it
                        continue
                    pair = [grouped.get(place, []) for place in places]
                    found.append(
                        comparison(
                            base,
                            name,
                            metric.name,
                            reader,
                            pair[0],
                            pair[1],
                            metric.unit,
                            metric.direction,
                            seed=seed,
                            bounds=metric.bounds,
                        )
                    )
                found += [compare_corpus(scores, metric, base, name, reader, seed=seed) for metric in group.corpus]
    return found


def estimate_scores(scores: Sequence[Score], groups: Sequence[MetricGroup], *, seed: int) -> list[dict[str, object]]:
    """Return one row per writer, metric and reader: the estimate over problems and why others are missing."""
    rows: list[dict[str, object]] = []

    def row(writer: str, metric: Metric, reader: Reader, found: Estimate, reasons: Mapping[str, str]) -> dict[str, object]:
        missing = {reason: list(reasons.values()).count(reason) for reason in sorted(set(reasons.values()))}
        about = {"writer": writer, "metric": metric.name, "reader": reader, "unit": metric.unit}
        return {**about, **asdict(found), "missing": missing}

    for writer in dict.fromkeys(one.writer for one in scores):
        for metric in (metric for group in groups for metric in group.metrics):
            mine = [one for one in scores if one.writer == writer and one.metric == metric.name]
            for reader in dict.fromkeys(one.reader for one in mine):
                values, reasons = by_problem(one for one in mine if one.reader == reader)
                rows.append(row(writer, metric, reader, estimate(values, seed=seed, bounds=metric.bounds), reasons))
        for group in groups:
            for corpus in group.corpus:
                about, why = estimate_corpus(scores, corpus, writer, group.readers[0], seed=seed)
                rows.append(row(writer, corpus.metric, group.readers[0], about, why))
    return rows
