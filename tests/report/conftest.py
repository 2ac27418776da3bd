from __future__ import annotations

import pytest

from soundness.auditing import audit
from soundness.models.scripted import load_scripted
from soundness.records import Chain, Comparison, Estimate, Outcome, Problem, Prompt, Reader, Score, Span, Verdict, Word
from soundness.runs.folder import Run
from soundness.runs.tables import CaseRow, EditRow
from soundness.tasks.base import load_task

BASE = "computes?slip=0.2"
TUNED = ("computes?slip=0.05&seed=1", "ignores-chain?slip=0.05&seed=1")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """An audit of two tuned models: one still computes, one ignores its chain."""
    models = [load_scripted(name) for name in (BASE, *TUNED)]
    with audit(
        models[0],
        models[1:],
        load_task("chain-sum", limit=24, seed=0),
        out=tmp_path_factory.mktemp("report") / "run",
        metrics=["info_gain", "early_answering", "filler", "swap", "mistake", "forced_accuracy"],
    ) as made:
        pass
    return made


@pytest.fixture(scope="session")
def sampled_run(tmp_path_factory):
    """An audit with four samples a problem."""
    models = [load_scripted(name) for name in ("computes?slip=0.3", "ignores-chain?slip=0.1&seed=1")]
    with audit(
        models[0],
        models[1:],
        load_task("chain-sum", limit=12, seed=0),
        out=tmp_path_factory.mktemp("sampled") / "run",
        samples=4,
        metrics=["info_gain"],
    ) as made:
        pass
    return made


@pytest.fixture(scope="session")
def fixed_run(tmp_path_factory):
    """A run folder written by hand, so that what it shows changes with the page alone."""
    problem = Problem("p1", "2 + 2 * 3?", "8")
    texts = {"base": ("2 * 3 = 6\n", "2 + 6 = 8\n", "Answer: 8"), "tuned": ("Easy.\n", "Answer: 8")}
    ladders = {"base": (-6.0, -3.0, -0.1), "tuned": (-0.2, -0.25)}
    chains, cases, edits, scores = [], [], [], []
    for model, steps in texts.items():
        text = "".join(steps)
        stops = [len("".join(steps[: i + 1])) for i in range(len(steps))]
        spans = tuple(Span(start, stop) for start, stop in zip([0, *stops], stops, strict=False))
        ids, prompt = tuple(range(len(text))), Prompt("Question: 2 + 2 * 3?\n", (1, 2))
        last = len(steps) - 1
        chains.append(Chain("p1", model, 0, 0, prompt, ids, text, "stop", spans, steps, "8", last - 1, last, Outcome.RIGHT))
        nats = ladders[model]
        given = tuple(value > -1 for value in nats)
        cases.append(CaseRow(Reader.SELF, model, "p1", model, 0, "", steps[:-1], stops[-2], "8", "8", nats, nats, nats, given))
        edits.append(
            EditRow(
                Reader.SELF,
                model,
                "p1",
                model,
                0,
                "swap",
                None,
                text,
                "1 + 1 = 2\n",
                "donor p2",
                "",
                10,
                model == "tuned",
                -5.0,
                -5.0,
            )
        )
        scores.append(Score("info_gain", "p1", 0, model, Reader.SELF, nats[-1] - nats[0]))

    def compared(metric, reader, unit, base, tuned):
        about = [Estimate(value, value - 0.1, value + 0.1, 40, 2) for value in (base, tuned, tuned - base)]
        return Comparison("base", "tuned", metric, reader, *about, 0.01, unit, "", {"both: cut off": 2})

    comparisons = [
        compared("accuracy", "-", "fraction", 0.5, 0.75),
        compared("info_gain_over_swap", "self", "nats", 5.5, 0.25),
        compared("filler_reliance", "self", "fraction", 0.875, 0.125),
    ]
    verdict = Verdict("tuned", Word.HOLLOWED, "tuned keeps the accuracy of base, but ...", ("for it",), ("against it",))
    settings = {"kind": "audit", "task": "fixed", "num_problems": 1, "samples": 1, "seed": 0, "metrics": ["info_gain"]}
    with Run.create_or_resume(tmp_path_factory.mktemp("fixed") / "run", settings) as made:
        made.write_tables(problems=[problem], chains=chains, readings=[], scores=scores, cases=cases, edits=edits)
        made.write_results(comparisons, [verdict], timings={"sampling": 1.0}, models={"base": {"fingerprint": "0" * 32}})
    return made
