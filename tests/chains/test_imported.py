from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.chains.imported import ImportedTrace, load_traces, to_chains, trace_task
from soundness.chains.steps import step_texts
from soundness.errors import TaskError
from soundness.records import Outcome, Problem, Prompt

DATA = Path(__file__).parents[3] / "shared" / "data"
ROW = {"id": "1:gpt", "question": "2 + 2 * 3?", "answer": "8", "trace": "2 * 3 = 6\n2 + 6 = 8\nAnswer: 8", "model": "gpt"}


def written(path: Path, *rows: object) -> Path:
    file = path / "traces.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return file


def without(*names: str, **changes: object) -> dict[str, object]:
    return {name: value for name, value in (ROW | changes).items() if name not in names}


def chains_of(model, *rows, tmp_path, **settings):
    traces = load_traces(written(tmp_path, *rows))
    return to_chains(traces, model, trace_task(traces, "t"), **settings)


def test_a_trace_becomes_a_chain_in_the_scorers_vocabulary(model, tmp_path):
    [trace] = load_traces(written(tmp_path, ROW))
    assert trace == ImportedTrace(
        Problem("1:gpt", "2 + 2 * 3?", "8", meta={"model": "gpt"}), "2 * 3 = 6\n2 + 6 = 8\nAnswer: 8", "gpt"
    )
    task = trace_task([trace], "t")
    [chain] = to_chains([trace], model, task)
    assert chain.prompt == model.render(task.message(trace.problem))
    assert model.decode(chain.ids) == chain.text == ROW["trace"]
    assert len(chain.steps) == 3
    assert "".join(chain.step_texts) == chain.text
    assert (chain.model, chain.answer, chain.outcome) == ("gpt", "8", Outcome.RIGHT)
    assert (chain.answer_step, chain.conclusion) == (1, 2)


def test_given_steps_are_joined_by_newlines_and_kept_as_spans(model, tmp_path):
    steps = ["First:\n- 2 * 3 = 6\n- fine", " ", "Then 2 + 6 = 8. So é."]
    [chain] = chains_of(model, without("trace", steps=steps), tmp_path=tmp_path, splitter="sentences")
    assert chain.text == f"{steps[0]}\n{steps[2]}"
    assert step_texts(model.pieces(chain.ids), chain.steps) == (f"{steps[0]}\n", steps[2])


def test_steps_beside_a_trace_are_its_own_where_they_cut_it_and_references_otherwise(tmp_path):
    cutting = without(steps=["2 * 3 = 6", "2 + 6 = 8\nAnswer: 8"])
    other = without(steps=["add", "multiply"], id="2")
    partial = without(steps=["2 * 3 = 6", "2 + 6 = 8"], id="3")
    leaping = without(steps=["2 * 3 = 6", "Answer: 8"], id="4")
    first, second, third, fourth = load_traces(written(tmp_path, cutting, other, partial, leaping))
    assert first.steps == ("2 * 3 = 6\n", "2 + 6 = 8\nAnswer: 8")
    assert second.steps is None and second.problem.steps == ("add", "multiply")
    assert third.steps is fourth.steps is None


class ChunkModel:
    """Several characters a token, wherever they fall; a lossy one adds brackets."""

    def __init__(self, size: int, lossy: bool) -> None:
        self.size, self.lossy, self.known = size, lossy, []

    def encode(self, text):
        chunks = [text[start : start + self.size] for start in range(0, len(text), self.size)]
        self.known += chunks
        return range(len(self.known) - len(chunks), len(self.known))

    def pieces(self, ids):
        return [f"[{self.known[token]}]" if self.lossy else self.known[token] for token in ids]

    def render(self, message):
        return Prompt(message, (0,))


@given(st.lists(st.text(min_size=1, max_size=8).filter(str.strip), max_size=5), st.integers(1, 20), st.booleans())
def test_no_given_step_is_lost_whatever_the_tokens(steps, size, lossy):
    closed = tuple(f"{step}\n" for step in steps[:-1]) + tuple(steps[-1:])
    trace = ImportedTrace(Problem("1", "?", "8"), "".join(closed), "m", steps=closed)
    model = ChunkModel(size, lossy)
    [chain] = to_chains([trace], model, trace_task([trace], "t"))
    assert len(chain.steps) == len(steps)
    assert [step.start for step in chain.steps] == [0, *(step.stop for step in chain.steps)][: len(steps)]
    assert sum(step.stop - step.start for step in chain.steps) == len(chain.ids)
    assert "".join(chain.step_texts) == chain.text == trace.text
    bare = ImportedTrace(trace.problem, trace.text, "m")
    [split] = to_chains([bare], model, trace_task([bare], "t"), splitter="lines")
    assert "".join(split.step_texts) == trace.text
    assert len(split.steps) == len(split.step_texts)


def test_predicted_wins_over_the_text(model, tmp_path):
    rows = [
        without(predicted="9"),
        without(id="2", predicted=8.0),
        without(id="3", predicted=None),
        without(id="4", choices=["six", "eight"], answer="B", predicted="(b)"),
        without(id="5", choices=["six", "eight"], answer="B", predicted="seven"),
        without("answer", id="6", predicted="8"),
        without("answer", id="7"),
    ]
    chains = chains_of(model, *rows, tmp_path=tmp_path)
    assert [chain.answer for chain in chains] == ["9", "8.0", "8", "B", None, "8", "8"]
    right, wrong = Outcome.RIGHT, Outcome.WRONG
    assert [chain.outcome for chain in chains] == [wrong, right, right, right, Outcome.UNREADABLE, None, None]
    assert [chain.answer_step for chain in chains] == [None, 1, 1, 1, None, 1, 1]


def test_a_cut_trace_is_cut_off(model, tmp_path):
    rows = [without(trace="2 * 3", finish="max_tokens"), without(id="2", trace="2 * 3", finish="length", predicted="8")]
    chains = chains_of(model, *rows, tmp_path=tmp_path)
    assert [chain.finish for chain in chains] == ["length", "length"]
    assert [chain.outcome for chain in chains] == [Outcome.CUT_OFF, Outcome.RIGHT]


def test_empty_traces_stay_and_count(model, tmp_path):
    chains = chains_of(model, without(trace=""), without("trace", id="2", steps=[]), tmp_path=tmp_path)
    assert [(chain.ids, chain.steps, chain.text) for chain in chains] == [((), (), "")] * 2


def test_ids_default_to_line_numbers_and_writers_to_imported(tmp_path):
    file = written(tmp_path, without("id"), "", without("id", "model"))
    assert [(trace.problem.id, trace.model) for trace in load_traces(file)] == [("1", "gpt"), ("3", "imported")]
    assert len(load_traces(file, 1)) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([ROW, without("trace", id="2")], "line 2, field trace: it is missing, and so is steps"),
        ([without("trace", tace="x")], "did you mean 'tace'"),
        ([without(trace=5)], "line 1, field trace: text was wanted, found int"),
        ([without("trace", steps="one")], "line 1, field steps"),
        ([without(question=" ")], "line 1, field question: it is empty"),
        ([without("question")], "line 1, field question"),
        ([ROW, "", ROW], "line 3, field id: '1:gpt' is the id of line 1 too; .* '1:gpt:gpt'"),
        ([without(finish="tired")], "line 1, field finish: .* found 'tired'"),
        ([without(predicted=True)], "line 1, field predicted"),
        ([without(model=["a"])], "line 1, field model"),
        ([without(choices=["a", "b"])], "line 1, field answer"),
        (["{"], "line 1: malformed JSON"),
        (["[1]"], "row 0: an object"),
        ([], "has no rows"),
    ],
)
def test_bad_rows_are_named_by_file_line_and_field(tmp_path, rows, words):
    with pytest.raises(TaskError, match=words) as caught:
        load_traces(written(tmp_path, *rows))
    assert "traces.jsonl" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TaskError, match="nowhere.jsonl"):
        load_traces(tmp_path / "nowhere.jsonl")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data sets are not in {DATA}")
@pytest.mark.parametrize(
    ("name", "rows", "writers", "given"),
    [
        ("medqa_chains_gpt35_gpt4", 600, 2, False),
        ("gsm8k_gpt3_chains", 200, 1, True),
        ("processbench", 400, 12, True),
        ("bbh_mistake", 300, 1, True),
    ],
)
def test_published_chains_load_and_grade_as_published(model, name, rows, writers, given):
    traces = load_traces(DATA / f"{name}.jsonl")
    assert len(traces) == rows
    assert len({trace.model for trace in traces}) == writers
    chains = to_chains(traces, model, trace_task(traces, name))
    for trace, chain in zip(traces, chains, strict=True):
        texts = step_texts(model.pieces(chain.ids), chain.steps)
        assert "".join(texts) == trace.text
        if given:
            assert [text.removesuffix("\n") for text in texts] == list(trace.problem.steps)
        correct = trace.problem.meta.get("correct")
        if correct is not None:
            assert (chain.outcome is Outcome.RIGHT) == correct, trace.problem.id
        if name == "processbench":
            assert chain.outcome is None
    # Published without an answer, with a blank one, or with several letters at once: not wrong but unreadable.
    unreadable = [chain for chain in chains if chain.outcome is Outcome.UNREADABLE]
    assert len(unreadable) == {"medqa_chains_gpt35_gpt4": 4, "bbh_mistake": 5}.get(name, 0)
    assert all(chain.answer is None for chain in unreadable)


def test_traces_of_one_problem_are_its_samples(model, tmp_path):
    rows = [
        {
            "id": f"{name}:{number}:{writer}",
            "problem": name,
            "question": f"{name}?",
            "answer": "8",
            "trace": "8",
            "model": writer,
        }
        for name in ("a", "b")
        for writer in ("x", "y")
        for number in range(2)
    ]
    traces = load_traces(written(tmp_path, *rows))
    task = trace_task(traces, "t")
    assert [problem.id for problem in task.problems] == ["a", "b"]
    chains = to_chains(traces, model, task)
    assert [(chain.problem_id, chain.model, chain.sample) for chain in chains] == [
        (problem, writer, number) for problem in "ab" for writer in "xy" for number in range(2)
    ]
    assert len(load_traces(written(tmp_path, *rows), limit=1)) == 4, "all traces of the first problem"


def test_the_field_problem_is_the_question_where_there_is_no_other(tmp_path):
    (trace,) = load_traces(written(tmp_path, {"problem": "2 + 2?", "answer": "4", "trace": "4"}))
    assert (trace.problem.id, trace.problem.question) == ("1", "2 + 2?")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"question": "another?"}, "'p' is another question"),
        ({"answer": "9"}, "'p' is another question, or has another answer"),
        ({"problem": [1]}, "the id of a problem was wanted"),
        ({"problem": " "}, "the id of a problem was wanted"),
        ({"id": "1"}, "'1' is the id of line 1 too"),
    ],
)
def test_traces_that_cannot_be_one_problem(tmp_path, second, told):
    first = {"id": "1", "problem": "p", "question": "2 + 6?", "answer": "8", "trace": "8"}
    with pytest.raises(TaskError, match=told):
        load_traces(written(tmp_path, first, {**first, "id": "2", **second}))


def test_any_accepted_answer_is_right_for_a_given_prediction_too(model, tmp_path):
    row = {"question": "Capital?", "answer": ["Paris", "City of Light"], "trace": "It is known.", "predicted": "City of Light"}
    assert chains_of(model, row, tmp_path=tmp_path)[0].outcome is Outcome.RIGHT
    assert chains_of(model, {**row, "predicted": "Lyon"}, tmp_path=tmp_path)[0].outcome is Outcome.WRONG
