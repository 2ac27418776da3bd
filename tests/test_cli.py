"""The command line: what it prints, where, and with which exit code."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys

import pytest

from soundness import cli
from soundness.tasks.base import load_task

QUICK = ["--profile", "quick", "--no-noise-floor", "--quiet"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a command in this process and returns (exit code, standard output, standard error)."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["soundness", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = done.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return command


def audit(tmp_path, *more, base="scripted:computes", tuned="scripted:ignores-chain", task="chain-sum"):
    return ("audit", base, tuned, "--task", task, "--limit", "20", "--out", tmp_path / "run", *QUICK, *more)


def in_a_process(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_an_audit_prints_table_verdict_and_where_it_is_kept(run, tmp_path):
    code, out, err = run(*audit(tmp_path))
    assert (code, err) == (0, "")
    for words in ("scripted:ignores-chain against scripted:computes", "info_gain_over_swap", "early_answering", "kept in"):
        assert words in out
    assert json.loads((tmp_path / "run" / "comparisons.json").read_text())
    assert {"problems", "chains", "readings", "scores"} <= {path.stem for path in (tmp_path / "run").glob("*.parquet")}
    again = run(*audit(tmp_path))
    assert again == (0, out, ""), "resumed, it says the same"


def test_the_table_is_short_and_the_run_shows_every_measure(run, tmp_path):
    code, out, _ = run(
        "audit",
        "scripted:computes",
        "scripted:ignores-chain",
        "--task",
        "chain-sum",
        "--limit",
        "10",
        "--out",
        tmp_path / "run",
    )
    assert code == 0
    assert "info_gain_over_swap" in out and "infogain_ppl" not in out
    assert f"more measures are in the run: soundness show {tmp_path / 'run'}" in " ".join(out.split())
    code, out, _ = run("show", tmp_path / "run")
    assert code == 0 and "infogain_ppl" in out and "more measures" not in out


def test_what_could_not_be_scored_is_said_with_its_reason(run, tmp_path):
    code, out, _ = run(*audit(tmp_path, "--max-tokens", "30"))
    assert code == 0
    assert "20 problems: both: cut off at the token limit" in out


def test_samples_and_other_options_arrive(run, tmp_path):
    options = ("--samples", "2", "--temperature", "0.7", "--seed", "4", "--metrics", "info_gain", "--template", "shared")
    assert run(*audit(tmp_path, *options))[0] == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    wanted = {"samples": 2, "temperature": 0.7, "seed": 4}
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["prompting"]["template"] == "shared"
    assert {"accuracy", "info_gain", "length", "following"} <= set(settings["metrics"]), (
        "what the verdict rests on, and what was named"
    )
    assert "early_answering" not in settings["metrics"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"base": "smolm2"}, "did you mean 'smollm2'"),
        ({"tuned": "scripted:ignore-chain"}, "did you mean 'ignores-chain'"),
        ({"task": "chain-sums"}, "did you mean 'chain-sum'"),
        ({"task": "nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_3(run, tmp_path, more, words):
    code, out, err = run(*audit(tmp_path, **more))
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (['{"id": "a", "question": "q", "answer": "1"}', "{"], "line 2"),
        (['{"id": "a", "answer": "1"}'], "question"),
        (['{"id": "a", "question": " ", "answer": "1"}'], "line 1.*question"),
        (['{"id": "a", "question": "q", "answer": "1"}'] * 2, "line 2.*id"),
        (['{"id": "a", "question": "q", "answer": "E", "choices": ["x", "y"]}'], "line 1.*answer"),
        ([], "has no rows"),
    ],
)
def test_bad_task_files_are_named_by_line_and_field(run, tmp_path, rows, words):
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(rows))
    code, _, err = run(*audit(tmp_path, task=str(path)))
    assert code == 3
    assert err.count("\n") == 1
    assert re.search(words, err), err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--metrics", "info_gian"), "did you mean 'info_gain'"),
        (("--template", "mine"), "template"),
        (("--reader", "fast"), "unknown reader 'fast'"),
        (("--samples", "2", "--temperature", "0"), "temperature 0"),
        (("--splitter", "words"), "splitter wants one of auto, lines, sentences"),
        (("--column", "question"), "FIELD=COLUMN"),
    ],
)
def test_options_that_make_no_sense(run, tmp_path, more, words):
    base = "org/name" if "--reader" in more else "scripted:computes"
    code, _, err = run(*audit(tmp_path, *more, base=base))
    assert (code, err.count("\n")) == (3, 1)
    assert words in err


def test_other_settings_in_the_same_folder(run, tmp_path):
    assert run(*audit(tmp_path))[0] == 0
    code, _, err = run(*audit(tmp_path, "--seed", "9"))
    assert code == 3
    assert "seed is 0 there, 9 now" in err
    code, _, err = run(*audit(tmp_path, "--no-resume"))
    assert code == 3
    assert "--no-resume" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit",),
        ("audit", "a", "b", "--limit", "x"),
        ("nonsense",),
        ("audit", "a", "b", "--nope"),
        ("audit", "a", "b", "--limit", "0"),
    ],
)
def test_a_command_that_cannot_be_parsed_is_an_error_in_a_line(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (3, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_an_interrupt_keeps_what_was_computed(run, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("soundness.auditing"), "audit", interrupted)
    code, _, err = run(*audit(tmp_path))
    assert code == 130
    assert "the same command goes on" in err


def test_our_own_mistakes_are_one_line_and_a_traceback_for_those_who_ask(run, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise AssertionError("ours")

    monkeypatch.setattr(importlib.import_module("soundness.auditing"), "audit", broken)
    code, _, err = run(*audit(tmp_path))
    assert code == 3, "never 1, which a gate takes for a verdict"
    assert "Traceback" not in err and err.count("\n") == 1
    assert "AssertionError: ours (test_cli.py, line" in err and "--debug" in err
    code, _, err = run(*audit(tmp_path), "--debug")
    assert code == 3 and "Traceback" in err and "AssertionError: ours" in err


def test_scoring_traces_of_others(run, tmp_path):
    problem = load_task("chain-sum", limit=1).problems[0]
    row = {
        "question": problem.question,
        "answer": problem.answer,
        "trace": problem.rationale + f"\nAnswer: {problem.answer}",
        "model": "closed",
    }
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(row))
    code, out, _ = run(
        "score", path, "--scorer", "scripted:computes", "--out", tmp_path / "run", "--metrics", "info_gain", "--quiet"
    )
    assert code == 0
    assert "chains of closed" in out


def test_what_it_would_cost_is_said_and_nothing_kept(run, tmp_path):
    code, out, _ = run(*audit(tmp_path, "--dry-run"))
    assert code == 0
    assert "what this audit costs here" in out
    assert not (tmp_path / "run").exists()


def training(out, method="sft", *more):
    common = ("--limit", "16", "--max-steps", "3", "--batch-size", "8", "--full", "--device", "cpu", "--quiet")
    return ("train", method, "--model", "organism:base", "--task", "organism:domain", "--out", out, *common, *more)


def test_what_is_trained_is_audited_by_the_command_that_is_named(run, tmp_path):
    out = tmp_path / "tuned"
    code, told, err = run(*training(out, "sft", "--dry-run"))
    assert (code, err) == (0, "")
    assert re.match(r"16 examples, 3 steps of \d+\.\d\d s, \d+\.\d min; most memory held", told)
    assert not out.exists()
    code, told, err = run(*training(out, "sft", "--learning-rate", "1e-3", "--monitor", "organism:domain:n=8", "--every", "2"))
    assert (code, err) == (0, "")
    flat = " ".join(told.split())
    assert f"compare it with: soundness audit organism:base {out} --task TASK --out RUN" in flat
    assert "beyond the noise" in flat  # what the monitor has to say
    record = json.loads((out / "training.json").read_text())
    assert (record["num_steps"], [one["step"] for one in record["monitor"]["snapshots"]]) == (3, [2, 3])
    code, _, err = run(
        "audit", "organism:base", out, "--task", "organism:domain", "--limit", "8", "--out", tmp_path / "run", *QUICK
    )
    assert (code, err) == (0, "")
    code, _, err = run(*training(out))
    assert code == 3 and "--overwrite" in err and err.count("\n") == 1


def test_what_a_training_has_to_say_is_printed(run, tmp_path, monkeypatch):
    from soundness.training import methods

    def fake(method, model, problems, *, out, **_):
        out.mkdir()
        (out / "training.json").write_text(json.dumps({"stopped": "Stopped after 3.", "warning": "Do not trust [it]."}))
        return out

    monkeypatch.setattr(methods, "train", fake)
    code, told, _ = run(*training(tmp_path / "out", "rlvr"))
    assert code == 0
    assert "Stopped after 3.\nDo not trust [it].\nkept in" in told


def test_a_method_is_shown_with_its_options(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    code, told, _ = run("methods", "gain")
    assert code == 0
    for line in (
        r"gain  rlvr whose reward also pays",
        r"strength\s+0\.5\s+Weight of the gain; 0 is rlvr",
        r"null\s+swap\s+What the steps are held against;.*swap with\. One of swap, filler\.",
        r"reader\s+-\s+Model that reads the steps",
        r"policy\.num_generations\s+8\s+Completions per problem",
        r"\[settings\] in --config FILE",
        r"adaptation\s+lora\s+What is trained\. One of lora, full, bias, prompt\.",
    ):
        assert re.search(line, told), line
    code, told, _ = run("methods")
    assert code == 0 and "soundness methods METHOD" in told
    code, _, err = run("methods", "gian")
    assert code == 3 and "did you mean 'gain'" in err


def test_help_starts_without_torch():
    code = (
        "import sys; sys.argv = ['soundness', '--help']\n"
        "from soundness.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'scipy', 'pyarrow', 'datasets', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = in_a_process("-c", code)
    assert done.returncode == 0, done.stderr
    for command in ("audit", "score", "demo", "train"):
        assert command in done.stdout


def test_the_package_is_a_command(tmp_path):
    done = in_a_process("-m", "soundness", *map(str, audit(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "scripted:ignores-chain against scripted:computes" in done.stdout
    wrong = in_a_process(
        "-m", "soundness", "audit", "smolm2", "x", "-q", "--task", "chain-sum", "--out", str(tmp_path / "other")
    )
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (3, "", 1)
    assert "Traceback" not in wrong.stderr
