from __future__ import annotations

import contextlib
import sys
import warnings
import zipfile

import pytest

from soundness import cli
from soundness.auditing import audit, score
from soundness.chains.imported import load_traces
from soundness.errors import TaskError
from soundness.interchange import inspect_log
from soundness.interchange.inspect_log import export_inspect, import_inspect
from soundness.interchange.traces import write_traces
from soundness.models.scripted import load_scripted
from soundness.runs.folder import open_run
from soundness.tasks.base import load_task

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: pip install 'soundness[interchange]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # its imports warn, which is not ours to mend


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log that Inspect itself wrote: a plain chain, one cut off, one with its reasoning apart, one with it hidden."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import inspect_ai
        from inspect_ai.dataset import Sample
        from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText, ModelAPI, ModelOutput, get_model
        from inspect_ai.scorer import match
        from inspect_ai.solver import generate

    def reply(*content):
        message = ChatMessageAssistant(content=list(content))
        return ModelOutput(model="mockllm/model", choices=[{"message": message, "stop_reason": "stop"}])

    async def count(self, text):
        return len(text) // 4

    outputs = [
        ModelOutput.from_content("mockllm/model", "2 * 3 = 6\n2 + 6 = 8\nAnswer: 8"),
        ModelOutput.from_content("mockllm/model", "4 + 4 = 8, and then", "max_tokens"),
        reply(ContentReasoning(reasoning="1 + 1 = 2"), ContentText(text="Answer: 2")),
        reply(ContentReasoning(reasoning="c2VjcmV0", redacted=True), ContentText(text="3")),
    ]
    questions = [("2 + 2 * 3?", "8"), ("4 + 4?", "8"), ("1 + 1?", "2"), ("1 + 2?", "3")]
    task = inspect_ai.Task(
        dataset=[Sample(id=i, input=asked, target=answer) for i, (asked, answer) in enumerate(questions)],
        solver=generate(),
        scorer=match(),
        name="sums",
    )
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(ModelAPI, "count_text_tokens", count)  # it would download a vocabulary
        logs = inspect_ai.eval(
            task,
            model=get_model("mockllm/model", custom_outputs=outputs),
            log_dir=str(tmp_path_factory.mktemp("logs")),
            display="none",
            max_samples=1,
        )
    assert logs[0].status == "success", logs[0].error
    return logs[0].location.removeprefix("file://")


def test_a_log_becomes_traces_and_hidden_reasoning_is_said(log):
    imported = import_inspect([log])
    assert [row["trace"] for row in imported.rows] == [
        "2 * 3 = 6\n2 + 6 = 8\nAnswer: 8",
        "4 + 4 = 8, and then",
        "<think>\n1 + 1 = 2\n</think>\n\nAnswer: 2",
        "3",
    ]
    assert [row["finish"] for row in imported.rows] == ["stop", "length", "stop", "stop"]
    assert [row["answer"] for row in imported.rows] == ["8", "8", "2", "3"]
    assert imported.rows[0]["id"] == "sums:0:1:mockllm/model"
    account = " ".join(imported.account)
    assert "1 sample has reasoning that is not in the log" in account
    assert "1 of 4 traces hold an answer and no steps" in account


def test_its_traces_are_scored(log, tmp_path):
    path = write_traces(import_inspect([log], model="them"), tmp_path)
    with score(path, scorer=load_scripted("computes"), out=tmp_path / "run", metrics=["info_gain"]) as run:
        chains = run.chains()
    assert [chain.outcome for chain in chains] == ["right", "cut_off", "right", "right"]
    assert {chain.model for chain in chains} == {"them"}


def test_from_a_log_to_scores_on_the_command_line(log, tmp_path, capsys, monkeypatch):
    def soundness(*arguments):
        monkeypatch.setattr(sys, "argv", ["soundness", *map(str, arguments)])
        with contextlib.suppress(SystemExit):
            cli.main()
        return capsys.readouterr().out

    assert "1 sample has reasoning that is not in the log" in soundness("import", "inspect", log, "--out", tmp_path / "in")
    scoring = ("--scorer", "scripted:computes", "--metrics", "info_gain", "--quiet", "--out", tmp_path / "run")
    told = soundness("score", tmp_path / "in" / "traces.jsonl", *scoring)
    assert "mockllm/model" in told
    assert [chain.outcome for chain in open_run(tmp_path / "run").chains()] == ["right", "cut_off", "right", "right"]


def test_a_run_goes_out_and_comes_back_whole(tmp_path):
    from inspect_ai.log import read_eval_log

    models = [load_scripted("computes?slip=0.4"), load_scripted("ignores-chain?slip=0.4&seed=1")]
    with audit(
        models[0], models[1:], load_task("chain-sum", limit=5, seed=0), out=tmp_path / "run", samples=2, metrics=["info_gain"]
    ) as run:
        chains = run.chains()
    paths = export_inspect(open_run(tmp_path / "run"), tmp_path / "logs")
    assert len(paths) == 2
    back = read_eval_log(str(paths[0]))
    mine = [chain for chain in chains if chain.model == back.eval.model]
    assert (back.status, len(back.samples), back.eval.config.epochs) == ("success", len(mine), 2)
    scores = [s for s in run.scores() if (s.metric, s.reader, s.writer) == ("info_gain", "self", back.eval.model)]
    gains = {(s.problem_id, s.sample): s.value for s in scores}
    means = {score.name: next(iter(score.metrics.values())).value for score in back.results.scores}
    assert means["outcome"] == pytest.approx(sum(chain.outcome == "right" for chain in mine) / len(mine))
    assert means["info_gain"] == pytest.approx(sum(gains.values()) / len(gains))
    assert back.eval.viewer.trust_content is False  # as Markdown, products would lose their stars
    for sample in back.samples:
        chain = next(c for c in mine if (c.problem_id, c.sample + 1) == (sample.id, sample.epoch))
        assert sample.output.completion == chain.text
        assert sample.scores["outcome"].value == {"right": "C", "wrong": "I"}[chain.outcome]
        assert sample.scores["info_gain"].value == gains[chain.problem_id, chain.sample]
    imported = import_inspect(paths)
    assert sorted(row["trace"] for row in imported.rows) == sorted(chain.text for chain in chains)


def test_a_file_that_is_no_log_is_refused(tmp_path):
    path = tmp_path / "some.eval"
    path.write_text("nothing of the kind")
    with pytest.raises(TaskError, match="cannot be read as an Inspect log"):
        import_inspect([path])
    with pytest.raises(TaskError, match="does not exist"):
        import_inspect([tmp_path / "absent.eval"])


# --- kinds of logs --------------------------------------------------------------------------------------------------------

AT = "2026-01-02T03:04:05+00:00"
FOUR = ["oak", "tin", "salt", "wool"]


def sample(number, asked, target, reply, epoch=1, **more):
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ModelOutput

    output = reply if isinstance(reply, ModelOutput) else ModelOutput.from_content("m", reply)
    return EvalSample(id=number, epoch=epoch, input=asked, target=target, **{"messages": [], "output": output, **more})


def written(path, samples, *, task="t", started=AT, completed=AT):
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSpec, EvalStats, write_eval_log

    spec = EvalSpec(
        created=started,
        run_id="r",
        task=task,
        task_id="t",
        dataset=EvalDataset(name="t"),
        model="openai/m",
        config=EvalConfig(),
    )
    stats = EvalStats(started_at=started, completed_at=completed)
    write_eval_log(EvalLog(eval=spec, status="success", stats=stats, samples=list(samples)), str(path))
    return path


def read_back(tmp_path, *samples):
    imported = import_inspect([written(tmp_path / "log.eval", samples)])
    return imported, load_traces(write_traces(imported, tmp_path / "out"))


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_epochs_are_samples_of_one_problem(tmp_path, epochs):
    made = [sample(i, f"{i} + 1?", str(i + 1), f"Answer: {i + 1}", epoch) for i in range(3) for epoch in range(1, epochs + 1)]
    _, traces = read_back(tmp_path, *made)
    assert len({trace.problem.id for trace in traces}) == 3
    assert sorted(trace.sample for trace in traces) == sorted([*range(epochs)] * 3)


def test_several_logs_of_one_task_join_and_another_question_stays_apart(tmp_path):
    one = written(tmp_path / "1.json", [sample(1, "1 + 1?", "2", "a")])
    two = written(tmp_path / "2.json", [sample(1, "1 + 1?", "2", "b")])
    changed = written(tmp_path / "3.json", [sample(1, "5 + 5?", "10", "c")])
    imported = import_inspect([one, two, changed])
    traces = load_traces(write_traces(imported, tmp_path / "out"))
    assert [(trace.text, trace.sample) for trace in traces] == [("a", 0), ("b", 1), ("c", 0)]
    assert traces[0].problem.id == traces[1].problem.id != traces[2].problem.id


@pytest.mark.parametrize(
    ("target", "choices", "answer", "accepted"),
    [
        ("tin", FOUR, "B", ("B",)),
        ("B", FOUR, "B", ("B",)),
        ("b", FOUR, "B", ("B",)),
        (" Tin ", FOUR, "B", ("B",)),
        (["B"], FOUR, "B", ("B",)),
        (["B", "tin"], FOUR, "B", ("B",)),
        (["A", "B"], FOUR, None, ()),
        ("gold", FOUR, None, ()),
        ("", FOUR, None, ()),
        ("tin", ["only"], None, ()),
        ("Paris", None, "Paris", ("Paris",)),
        (["Paris", "City of Light", "Paris"], None, "Paris", ("Paris", "City of Light")),
        ([], None, None, ()),
    ],
)
def test_targets_are_letters_texts_or_several(tmp_path, target, choices, answer, accepted):
    imported, (trace,) = read_back(tmp_path, sample(1, "What?", target, "So.", choices=choices))
    assert (trace.problem.answer, trace.problem.accepted) == (answer, accepted)
    assert (trace.problem.choices is not None) == (choices == FOUR)
    lost = choices is not None and answer is None and target != ""
    assert bool(imported.notes) == lost, imported.notes


def test_an_agents_turns_are_joined_and_what_its_tools_said_is_left_out(tmp_path):
    from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser, ModelOutput

    messages = [
        ChatMessageUser(content="How many?"),
        ChatMessageAssistant(content="I count them."),
        ChatMessageTool(content="SECRET 7"),
        ChatMessageAssistant(content="There are 7.\nAnswer: 7"),
    ]
    output = ModelOutput(model="m", choices=[{"message": messages[-1], "stop_reason": "stop"}])
    imported, (trace,) = read_back(tmp_path, sample(1, "How many?", "7", output, messages=messages))
    assert trace.text == "I count them.\n\nThere are 7.\nAnswer: 7"
    assert "1 sample is an agent's" in " ".join(imported.account).replace("are an agent's", "is an agent's")


def test_only_what_follows_the_last_user_message_is_read(tmp_path):
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelOutput

    messages = [
        ChatMessageUser(content="2 + 2?"),
        ChatMessageAssistant(content="Answer: 5"),
        ChatMessageUser(content="Are you sure?"),
        ChatMessageAssistant(content="Answer: 4"),
    ]
    output = ModelOutput(model="m", choices=[{"message": messages[-1], "stop_reason": "stop"}])
    imported, (trace,) = read_back(tmp_path, sample(1, "2 + 2?", "4", output, messages=messages))
    assert trace.text == "Answer: 4"
    assert "only what was written after the last user message" in " ".join(imported.account)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("content_filter", "length"),
        ("tool_calls", "stop"),
    ],
)
def test_reasons_for_stopping(tmp_path, reason, finish):
    from inspect_ai.model import ModelOutput

    _, (trace,) = read_back(tmp_path, sample(1, "?", "4", ModelOutput.from_content("m", "x", reason)))
    assert trace.finish == finish


def test_samples_without_output_are_counted(tmp_path):
    from inspect_ai.model import ModelOutput

    imported, traces = read_back(tmp_path, sample(1, "?", "4", ModelOutput(model="m")), sample(2, "?", "4", "x"))
    assert len(traces) == 1 and "1 sample has no output" in " ".join(imported.account)


def test_a_log_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "bomb.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("header.json", b"0" * 3_000_000)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(inspect_log, "_MOST_BYTES", 1_000_000)
    with pytest.raises(TaskError, match="unpacks to"):
        import_inspect([path])


def test_a_clock_that_goes_back_is_no_matter(tmp_path):
    path = written(tmp_path / "log.eval", [sample(1, "?", "4", "x")], started=AT, completed="2025-12-31T00:00:00+00:00")
    assert len(import_inspect([path]).rows) == 1
    models = [load_scripted("computes"), load_scripted("ignores-chain")]
    with audit(
        models[0], models[1:], load_task("chain-sum", limit=2, seed=0), out=tmp_path / "run", metrics=["accuracy"]
    ) as run:
        run.document["finished"] = "2000-01-01T00:00:00+00:00"
        from inspect_ai.log import read_eval_log

        stats = read_eval_log(str(export_inspect(run, tmp_path / "logs")[0])).stats
    assert stats.started_at <= stats.completed_at
