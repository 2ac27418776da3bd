from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.errors import MetricError, RunError
from soundness.models.store import GenerationRequest
from soundness.records import Chain, Comparison, Estimate, Generation, Problem, Prompt, Reader, Reading, Score, Verdict, Word
from soundness.runs import folder
from soundness.runs.folder import Run, open_run
from soundness.runs.settings import SECRET_PARTS, versions, without_secrets
from soundness.runs.tables import ReadingRow

SETTINGS: dict[str, Any] = {"base": "b", "tuned": ["t"], "task": "x.jsonl", "seed": 0, "metrics": ["accuracy"], "samples": 1}


def compared(metric: str, reader: str = "self", tuned: str = "t") -> Comparison:
    one = Estimate(0.1 + 0.2, 0.1, 1 / 3, 24, 1)
    return Comparison(
        "b", tuned, metric, reader, one, one, Estimate(None, None, None, 0, 25), None, "nats", "up", {"b: x": 1, "a": 2}
    )


VERDICT = Verdict("t", Word.HOLLOWED, "It says – so.", ("for",), ("against", "and"))


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    problem = Problem("p", "q", "a")
    chain = Chain("p", "b", 0, 0, Prompt("q", (1,)), (2,), "two", "stop")
    row = ReadingRow(Reader.SELF, "b", "p", "b", 0, "whole", 2, (3,), Reading((-1.0,), (True,)))
    score = Score("accuracy", "p", 0, "b", Reader.NOBODY, 1.0)
    request = GenerationRequest("fp", (1,), 4)
    rows = [compared("info_gain"), compared("accuracy", "-")]
    with Run.create_or_resume(tmp_path / "deep" / "run", SETTINGS) as run:
        assert not run.finished and run.verdicts == [] and run.comparisons == []
        run.store.put_generations([(request, Generation((2,), "stop"))])
        run.write_tables(problems=[problem], chains=[chain], readings=[row], scores=[score])
        run.write_results(rows, [VERDICT], timings={"sample": 1.5}, models={"b": {"fingerprint": "fp"}})
        assert run.finished and run.comparisons == rows[::-1]
    found = open_run(tmp_path / "deep" / "run")
    assert found.settings == SETTINGS and found.finished
    assert (found.verdicts, found.comparisons) == ([VERDICT], rows[::-1])
    assert (found.problems(), found.chains(), found.readings(), found.scores()) == ([problem], [chain], [row], [score])
    assert found.store.get_generations([request]) == [Generation((2,), "stop")]
    assert found.document["models"] == {"b": {"fingerprint": "fp"}} and found.document["seeds"] == {"seed": 0}
    assert found.document["versions"]["soundness"] == versions()["soundness"] is not None
    found.close()
    names = {p.name for p in found.path.iterdir()} - {".lock", "store.sqlite-wal", "store.sqlite-shm"}
    assert names == {"run.json", "comparisons.json", "store.sqlite"} | {
        f"{n}.parquet" for n in ("problems", "chains", "readings", "scores")
    }


def test_comparisons_are_plain_and_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    rows = [compared("info_gain"), compared("info_gain", "base"), compared("accuracy", "-"), compared("accuracy", "-", "s")]
    contents = []
    for name, order in (("one", rows), ("two", rows[::-1])):
        with Run.create_or_resume(tmp_path / name, {**SETTINGS, "out": name}) as run:
            run.write_results(order, [VERDICT], timings={"sample": float(len(name))})
        contents.append((tmp_path / name / "comparisons.json").read_bytes())
    assert contents[0] == contents[1]
    first = json.loads(contents[0])[1]
    assert first == {
        "base": "b",
        "tuned": "t",
        "metric": "accuracy",
        "reader": "-",
        "base_estimate": {"value": 0.30000000000000004, "low": 0.1, "high": 1 / 3, "n": 24, "n_missing": 1},
        "tuned_estimate": {"value": 0.30000000000000004, "low": 0.1, "high": 1 / 3, "n": 24, "n_missing": 1},
        "difference": {"value": None, "low": None, "high": None, "n": 0, "n_missing": 25},
        "p": None,
        "unit": "nats",
        "direction": "up",
        "missing": {"a": 2, "b: x": 1},
        "p_adjusted": None,
    }


def test_no_nan_reaches_a_file(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        run.write_results([compared("accuracy")], [])
        before = (tmp_path / "comparisons.json").read_bytes()
        with pytest.raises(ValueError, match="not JSON compliant"):
            run.write_results([replace(compared("accuracy"), p=float("nan"))], [])
    assert (tmp_path / "comparisons.json").read_bytes() == before


def test_comparison_by_name(tmp_path: Path) -> None:
    rows = [compared("info_gain", s, t) for s in ("base", "self") for t in ("t", "s")]
    rows += [compared("accuracy", s) for s in ("-", "base")] + [compared("length", "base")]
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        with pytest.raises(MetricError, match="no comparisons yet: finish"):
            run.comparison("accuracy")
        run.write_results(rows, [VERDICT, replace(VERDICT, tuned="s")])
        assert run.comparison("info_gain") == compared("info_gain", "self", "t")
        assert run.comparison("info_gain", tuned="s", reader="base") == compared("info_gain", "base", "s")
        assert run.comparison("accuracy").reader == "-" and run.comparison("length").reader == "base"
        with pytest.raises(MetricError, match="did you mean 'info_gain'"):
            run.comparison("info_gian")
        with pytest.raises(MetricError, match="not read by 'self'.*there are: -, base"):
            run.comparison("accuracy", reader="self")
        with pytest.raises(MetricError, match="no tuned model 'u'.*there are: s, t"):
            run.comparison("accuracy", tuned="u")


def test_resuming_needs_the_same_settings_and_lists_every_difference(tmp_path: Path) -> None:
    Run.create_or_resume(tmp_path, {**SETTINGS, "dtype": "float32"}).close()
    (tmp_path / ".lock").unlink(missing_ok=True)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RunError) as caught:
        Run.create_or_resume(tmp_path, {**SETTINGS, "dtype": "bfloat16", "seed": 1, "template": "own"})
    message = str(caught.value)
    assert 'dtype is "float32" there, "bfloat16" now' in message and "seed is 0 there, 1 now" in message
    assert 'template is absent there, "own" now' in message and "another --out" in message
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    Run.create_or_resume(tmp_path, {**SETTINGS, "dtype": "float32", "batch_size": 99}).close()


def test_of_many_models_the_first_that_differ_are_named(tmp_path: Path) -> None:
    models = {f"m{i}": "same" for i in range(40)}
    Run.create_or_resume(tmp_path, {**SETTINGS, "models": models}).close()
    with pytest.raises(RunError) as caught:
        Run.create_or_resume(tmp_path, {**SETTINGS, "models": {**models, "m3": "other", **{f"n{i}": "new" for i in range(9)}}})
    message = str(caught.value)
    assert 'models[\'m3\'] is "same" there, "other" now; models[\'n0\'] is absent there, "new" now' in message
    assert "and 7 more of models" in message
    assert len(message) < 600


def test_metrics_and_samples_grow_and_never_shrink(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        run.write_results([compared("accuracy")], [VERDICT])
    with Run.create_or_resume(tmp_path, {**SETTINGS, "metrics": ("new",), "samples": 4}) as run:
        assert run.settings["metrics"] == ["accuracy", "new"] and run.settings["samples"] == 4
        assert not run.finished and run.verdicts == [VERDICT]
        run.write_results([compared("accuracy"), compared("new")], [VERDICT])
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        assert run.settings["metrics"] == ["accuracy", "new"] and run.settings["samples"] == 4
    with pytest.raises(RunError, match="metrics"):
        Run.create_or_resume(tmp_path, {**SETTINGS, "metrics": None})


ASKED: dict[str, Any] = {**SETTINGS, "num_problems": 2, "task_fingerprint": "first 2", "models": {"b": "1", "t": "2"}}


def first(n: int) -> str:
    return f"first {n}"


def test_problems_may_be_added_behind_those_that_are_there_and_models_beside_them(tmp_path: Path) -> None:
    Run.create_or_resume(tmp_path, ASKED).close()
    more = {**ASKED, "num_problems": 5, "task_fingerprint": "first 5"}
    with pytest.raises(RunError, match="num_problems is 2 there, 5 now"):
        Run.create_or_resume(tmp_path, more)
    with pytest.raises(
        RunError, match='task_fingerprint is "first 2" there, "other 5" now'
    ):  # other problems, and more of them
        Run.create_or_resume(tmp_path, {**more, "task_fingerprint": "other 5"}, first_problems=lambda n: f"other {n}")
    with Run.create_or_resume(tmp_path, more, first_problems=first) as run:
        assert run.settings == more
    with pytest.raises(RunError, match="num_problems is 5 there, 2 now"):
        Run.create_or_resume(tmp_path, ASKED, first_problems=first)
    wider = {**more, "models": {"b": "1", "t": "2", "s": "3"}, "tuned": ["t", "s"]}
    with Run.create_or_resume(tmp_path, wider, first_problems=first) as run:
        assert run.settings == wider
    for fewer in ({"b": "1", "s": "3"}, {"b": "9", "t": "2", "s": "3", "u": "4"}):
        with pytest.raises(RunError, match="models"):
            Run.create_or_resume(tmp_path, {**wider, "models": fewer})


def finished(path: Path, settings: dict[str, Any] = SETTINGS, value: float = 1.0) -> None:
    with Run.create_or_resume(path, settings) as run:
        run.write_tables(problems=[Problem("p", "q", "a")], scores=[Score("accuracy", "p", 0, "b", "-", value)])
        run.write_file("notes.json", f"{value}\n")
        run.write_results([compared("accuracy")], [VERDICT])


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir() if one.name != ".lock"}


def test_results_of_the_same_settings_and_code_are_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(tmp_path)
    before = contents(tmp_path)
    with Run.create_or_resume(tmp_path, {**SETTINGS, "quiet": True}) as run:
        assert run.finished and run.verdicts == [VERDICT] and run.changes() == []
    assert contents(tmp_path) == before
    for name, other in (("code_digest", lambda: "another code"), ("versions", lambda: {"numpy": "0"})):
        with monkeypatch.context() as patched:
            patched.setattr(folder, name, other)
            with Run.create_or_resume(tmp_path, SETTINGS) as run:
                assert not run.finished
    for name in ("scores.parquet", "notes.json", "comparisons.json", "run.json"):
        content = (tmp_path / name).read_bytes()
        other = content.replace(b"hollowed", b"sound") if name == "run.json" else content + b"\n"
        (tmp_path / name).write_bytes(other)
        with Run.create_or_resume(tmp_path, SETTINGS) as run:
            assert not run.finished, name
        (tmp_path / name).write_bytes(content)
    assert contents(tmp_path) == before


def test_a_finished_run_that_is_taken_up_and_not_ended_stays_as_it_was(tmp_path: Path) -> None:
    finished(tmp_path)
    before = contents(tmp_path)
    with Run.create_or_resume(tmp_path, {**SETTINGS, "samples": 3}) as run:
        run.write_tables(scores=[Score("accuracy", "p", 0, "b", "-", 0.5)])
        run.write_tables(scores=[Score("accuracy", "p", 0, "b", "-", 0.25)])
        run.write_file("notes.json", "0.25\n")
        assert [score.value for score in run.scores()] == [0.25]  # this handle reads what it wrote
        other = open_run(tmp_path)
        assert other.finished and [score.value for score in other.scores()] == [1.0] and other.changes() == []
    assert contents(tmp_path) == before
    finished(tmp_path, {**SETTINGS, "samples": 3}, 0.25)
    found = open_run(tmp_path)
    assert found.finished and [score.value for score in found.scores()] == [0.25] and found.changes() == []
    assert (tmp_path / "notes.json").read_text() == "0.25\n" and set(contents(tmp_path)) == set(before)


def test_a_process_killed_while_a_finished_run_grows_leaves_it_finished(tmp_path: Path) -> None:
    finished(tmp_path)
    before = contents(tmp_path)
    code = """
import os, signal, sys
from soundness.records import Score
from soundness.runs.folder import Run
run = Run.create_or_resume(sys.argv[1], {**eval(sys.argv[2]), "samples": 9})
run.write_tables(scores=[Score("accuracy", "p", 0, "b", "-", 0.0)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path), repr(SETTINGS)])
    assert child.returncode == -signal.SIGKILL
    found = open_run(tmp_path)
    assert found.finished and found.settings == SETTINGS and [score.value for score in found.scores()] == [1.0]
    assert set(contents(tmp_path)) > set(before)  # what it wrote half lies beside
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        assert run.finished
    assert contents(tmp_path) == before


def test_what_was_changed_afterwards_is_said(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        assert run.changes() == []
    assert open_run(tmp_path).changes() == []  # not finished: nothing to be held to
    finished(tmp_path)
    (tmp_path / "scores.parquet").unlink()
    edited = (tmp_path / "comparisons.json").read_text().replace("0.1", "0.9", 1)
    (tmp_path / "comparisons.json").write_text(edited)
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"hollowed"', '"sound"'))
    assert open_run(tmp_path).changes() == [
        "run.json was changed after the run was finished",
        "comparisons.json was changed after the run was finished",
        "scores.parquet is missing or cannot be read; the same soundness command computes the results again",
    ]
    document = json.loads(text)
    (tmp_path / "run.json").write_text(json.dumps({**document, "digests": {"../secret": "x", "run.json/a": "y"}}))
    assert len(open_run(tmp_path).changes()) == 3


def test_one_flipped_bit_in_a_folder_is_said_or_harms_nothing(tmp_path: Path) -> None:
    finished(tmp_path)
    before = contents(tmp_path)
    rng = random.Random(7)
    seen = {"error": 0, "said": 0, "unharmed": 0}
    for _ in range(150):
        name = rng.choice(["scores.parquet", "problems.parquet", "comparisons.json", "run.json"])
        place = rng.randrange(len(before[name]))
        changed = before[name][:place] + bytes([before[name][place] ^ 1 << rng.randrange(8)]) + before[name][place + 1 :]
        (tmp_path / name).write_bytes(changed)
        try:
            run = open_run(tmp_path)
            values = [score.value for score in run.scores()], run.problems(), run.comparisons, run.verdicts
            if run.changes() or not run.finished:
                seen["said"] += 1
            else:
                assert values == ([1.0], [Problem("p", "q", "a")], [compared("accuracy")], [VERDICT]), (name, place)
                assert run.settings == SETTINGS
                seen["unharmed"] += 1
        except RunError as error:
            assert str(tmp_path) in str(error) and len(str(error)) < 1000
            seen["error"] += 1
        (tmp_path / name).write_bytes(before[name])
    assert seen["error"] > 40 and seen["said"] > 5, seen


def test_a_damaged_entry_of_the_store_is_said(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path, SETTINGS) as run:
        run.store.damaged.append("reading 00ff")
        run.write_results([compared("accuracy")], [VERDICT])
    assert open_run(tmp_path).changes() == ["1 entry of the store was damaged and computed again"]
    assert open_run(tmp_path).document["repaired"] == {"count": 1, "first": ["reading 00ff"]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be removed")
def test_a_store_that_is_gone_leaves_the_run_unfinished(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="store.sqlite was removed"), Run.create_or_resume(tmp_path, SETTINGS) as run:
        run.store.put_generations([(GenerationRequest("fp", (1,), 4), Generation((2,), "stop"))])
        (tmp_path / "store.sqlite").unlink()
        run.write_results([compared("accuracy")], [VERDICT])
    assert not open_run(tmp_path).finished
    with Run.create_or_resume(tmp_path, SETTINGS) as run:  # and it can be begun again
        assert run.store.counts()["generations"] == 0


def test_folders_of_other_layouts_say_what_to_do(tmp_path: Path) -> None:
    finished(tmp_path)
    document = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**document, "layout": 99}))
    for act in (lambda: open_run(tmp_path), lambda: Run.create_or_resume(tmp_path, SETTINGS)):
        with pytest.raises(RunError, match=r"later version of soundness \(layout 99.*update soundness"):
            act()
    del document["layout"]
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert open_run(tmp_path).layout == 1 and "0.1 wrote this folder" in open_run(tmp_path).changes()[0]
    with pytest.raises(RunError, match="written by soundness 0.1 .*looked at .*use another --out"):
        Run.create_or_resume(tmp_path, SETTINGS)


DAMAGE: list[dict[str, Any]] = [
    {"layout": "two"},
    {"layout": None},
    {"verdicts": 3},
    {"verdicts": [{"tuned": "t"}]},
    {"verdicts": [{**asdict(VERDICT), "word": "splendid"}]},
    {"verdicts": [{**asdict(VERDICT), "sentence": ["no", "text"]}]},
    {"models": []},
    {"timings": {"a": "long"}},
    {"digests": ["a"]},
    {"estimates": [1]},
    {"finished": {}},
]


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_a_run_file_that_says_nonsense_is_damaged(tmp_path: Path, damage: dict[str, Any]) -> None:
    finished(tmp_path)
    document = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**document, **damage}, default=str))
    with pytest.raises(RunError, match=r"run\.json is damaged .*run the same soundness command again") as caught:
        open_run(tmp_path)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content", ["[1]", "{}", "[{}]", '[{"base": "b"}]', '"text"', "0"])
def test_so_are_comparisons(tmp_path: Path, content: str) -> None:
    finished(tmp_path)
    (tmp_path / "comparisons.json").write_text(content)
    with pytest.raises(RunError, match=r"comparisons\.json is damaged"):
        _ = open_run(tmp_path).comparisons


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="no run folder .*thesis.tex.*nothing in it was touched, use another --out"):
        Run.create_or_resume(tmp_path, SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(RunError, match="is a file"):
        Run.create_or_resume(tmp_path / "thesis.tex", SETTINGS)
    with pytest.raises(RunError, match="cannot be made"):
        Run.create_or_resume(tmp_path / "thesis.tex" / "run", SETTINGS)
    with pytest.raises(RunError, match="no run.json"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"name": "of another program"}')
    with pytest.raises(RunError, match="not written by soundness"):
        Run.create_or_resume(tmp_path, SETTINGS)
    (tmp_path / "run.json").write_text('{"settings": ')
    with pytest.raises(RunError, match="malformed JSON .* restore it from a copy, or use another folder"):
        open_run(tmp_path)


def test_a_run_killed_at_birth_can_be_started_again(tmp_path: Path) -> None:
    for name in (".lock", ".writer", ".run.json.part"):
        (tmp_path / name).write_text("")
    Run.create_or_resume(tmp_path, SETTINGS).close()
    assert open_run(tmp_path).settings == SETTINGS


CHILD = """
import sys, time
from soundness.runs.folder import Run
run = Run.create_or_resume(sys.argv[1], {"seed": 0})
print("ready", flush=True)
time.sleep(60)
"""


def test_one_writer_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        with pytest.raises(RunError, match=f"is being written by process {child.pid} on .*wait for it"):
            Run.create_or_resume(tmp_path, {"seed": 0})
        assert open_run(tmp_path).settings == {"seed": 0}  # reading needs no lock
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    with Run.create_or_resume(tmp_path, {"seed": 0}), pytest.raises(RunError, match=f"process {os.getpid()} on"):
        Run.create_or_resume(tmp_path, {"seed": 0})
    Run.create_or_resume(tmp_path, {"seed": 0}).close()


def test_a_reading_handle_writes_nothing(tmp_path: Path) -> None:
    Run.create_or_resume(tmp_path, SETTINGS).close()
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    run = open_run(tmp_path)
    for write in (lambda: run.write_results([], []), lambda: run.write_tables(scores=[])):
        with pytest.raises(RunError, match="reading only"):
            write()
    with pytest.raises(RunError, match="no traces"):
        _ = run.store
    with pytest.raises(RunError, match="is missing"):
        run.scores()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_secrets_stay_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecretvalue")
    monkeypatch.setenv("MY_API_KEY", "sk-anothersecret")
    given = {
        **SETTINGS,
        "max_tokens": 64,
        "tokenizer": "own",
        "keywords": ["a"],
        "hf_token": "abcdefgh",
        "apiKey": "abcdefgh",
        "server": {"url": "https://user:abcdefgh@host/v1", "password": 12345678, "header": "Bearer hf_verysecretvalue"},
    }
    with Run.create_or_resume(tmp_path, given) as run:
        run.write_results([], [], models={"b": {"spec": "x?key=sk-anothersecret"}}, more={"note": "hf_verysecretvalue"})
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    for secret in (b"hf_verysecretvalue", b"sk-anothersecret", b"abcdefgh", b"12345678"):
        assert secret not in written
    settings = open_run(tmp_path).settings
    assert settings["max_tokens"] == 64 and settings["tokenizer"] == "own" and settings["keywords"] == ["a"]
    assert settings["server"]["url"] == "https://(hidden)@host/v1"
    Run.create_or_resume(tmp_path, given).close()  # what is hidden does not make the settings differ


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.none() | st.booleans() | st.lists(st.integers(), max_size=2)))
def test_settings_without_text_lose_nothing_but_passwords(settings: dict[str, Any]) -> None:
    kept = without_secrets(settings)
    assert all(kept[name] == settings[name] for name in kept)
    left_out = {name: value for name, value in settings.items() if name not in kept}
    assert all(
        isinstance(value, list) or any(part in name.lower() for part in SECRET_PARTS) for name, value in left_out.items()
    )


def test_paths_are_text_and_other_things_are_our_mistake() -> None:
    assert without_secrets({"task": Path("a") / "b", "metrics": {"y", "x"}}) == {"task": "a/b", "metrics": ["x", "y"]}
    with pytest.raises(TypeError, match="JSON values"):
        without_secrets({"x": object()})


def test_importing_is_cheap() -> None:
    code = (
        "import soundness.runs.folder, sys; print([m for m in ('torch', 'pyarrow', 'scipy', 'filelock') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
