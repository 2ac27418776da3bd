from __future__ import annotations

import contextlib
import sys
import warnings

import pytest

from soundness import cli
from soundness.auditing import audit, score
from soundness.errors import TaskError
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
    assert "the reasoning of 1 samples is not in the log" in account
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

    assert "the reasoning of 1 samples is not in the log" in soundness("import", "inspect", log, "--out", tmp_path / "in")
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
