from __future__ import annotations

import numpy as np
import pytest

from soundness.comparison.compare import compare_corpus, corpus_rows, writer_reader
from soundness.metrics import GROUPS
from soundness.metrics.base import CorpusMetric, Metric
from soundness.records import Reader, Score

METRIC = Metric(name="gap", unit="fraction", direction="up", description="Gap.")


def gap(columns, weights):
    return (weights @ (columns[0] - columns[1])) / weights.sum(axis=1)


CORPUS = CorpusMetric(METRIC, ("one", "two"), gap)


def scores(writer: str, metric: str, reader: str, found: list[float | None]) -> list[Score]:
    kind, _, name = reader.partition(":")
    why = ["" if value is not None else "cut off" for value in found]
    return [Score(metric, f"p{i}", 0, writer, Reader(kind), v, why[i], name) for i, v in enumerate(found)]


def test_rows_need_every_input() -> None:
    table = [
        *scores("b", "one", "self", [1.0, None, 0.5]),
        *scores("b", "two", "-", [0.5, 0.5, 0.5]),
        *scores("b", "one", "base", [9.0]),
    ]
    rows, why = corpus_rows(table, CORPUS, "b", "self")
    assert rows == {"p0": [(1.0, 0.5)], "p1": [], "p2": [(0.5, 0.5)]} and why == {"p1": "cut off"}
    found = compare_corpus(
        [*table, *scores("t", "one", "self", [0.5] * 3), *scores("t", "two", "-", [0.5] * 3)], CORPUS, "b", "t", "self", seed=0
    )
    assert found.difference.value == pytest.approx(-0.25) and found.missing == {"cut off": 1}
    assert (found.metric, found.unit, found.direction) == ("gap", "fraction", "up")


def test_writing_using_and_interaction_add_up() -> None:
    rng = np.random.default_rng(0)
    cells = {place: rng.normal(size=12) for place in (("b", "self"), ("t", "base"), ("b", "tuned:t"), ("t", "self"))}
    table = [s for (writer, reader), values in cells.items() for s in scores(writer, "info_gain", reader, values.tolist())]
    table += scores("b", "info_gain", "base", cells["b", "self"].tolist())
    table[0] = Score("info_gain", "p0", 0, "b", "self", None, "cut off")
    (row,) = writer_reader(table, "b", ["t"], [GROUPS["info_gain"]], seed=0)
    mean = {place: values[1:].mean() for place, values in cells.items()}  # the first problem lacks a cell
    assert row["writing"]["value"] == pytest.approx(mean["t", "base"] - mean["b", "self"])
    assert row["using"]["value"] == pytest.approx(mean["b", "tuned:t"] - mean["b", "self"])
    whole = row["tuned_tuned"]["value"] - row["base_base"]["value"]
    assert row["writing"]["value"] + row["using"]["value"] + row["interaction"]["value"] == pytest.approx(whole)
    assert {row[key]["n"] for key in ("base_base", "interaction", "using")} == {11}


def test_a_table_needs_all_four_cells() -> None:
    assert writer_reader(scores("b", "info_gain", "self", [1.0]), "b", ["t"], [GROUPS["info_gain"]], seed=0) == []
