from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from soundness.errors import RunError, SettingError
from soundness.records import Verdict, Word
from soundness.report.gate import gate, junit, parse_fail_on
from soundness.runs.folder import Run, open_run


def finished(path: Path, *words: Word, name: str = "tuned") -> Run:
    verdicts = [
        Verdict(f"{name}{i}", word, f"sentence {i}.", ("for <it> & more",), ("against it",)) for i, word in enumerate(words)
    ]
    with Run.create_or_resume(path, {"kind": "audit"}) as run:
        run.write_results([], verdicts, timings={"sampling": 1.25})
    return open_run(path)


@pytest.mark.parametrize(
    ("words", "fail_on", "code"),
    [
        ([Word.SOUND], "hollowed", 0),
        ([Word.SOUND, Word.HOLLOWED], "hollowed", 1),
        ([Word.LOST], "hollowed", 0),
        ([Word.LOST], "hollowed,lost", 1),
        ([Word.INSUFFICIENT], "hollowed", 2),
        ([Word.INSUFFICIENT], "hollowed,insufficient", 2),
        ([Word.INSUFFICIENT, Word.HOLLOWED, Word.SOUND], "hollowed", 1),
    ],
)
def test_exit_codes(tmp_path: Path, words: list[Word], fail_on: str, code: int) -> None:
    assert gate(finished(tmp_path / "run", *words), parse_fail_on(fail_on)).exit_code == code


def test_junit_counts_and_holds_the_evidence(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", Word.SOUND, Word.HOLLOWED, Word.INSUFFICIENT, name='a<b>&"\x00\ud800')
    text = junit(gate(run), run)
    root = ET.fromstring(text)
    suite = root[0]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [
        ["system-out"],
        ["failure", "system-out"],
        ["skipped", "system-out"],
    ]
    failure = cases[1][0]
    assert failure.get("type") == "hollowed" and failure.get("message") == "hollowed: sentence 1."
    assert failure.text is not None and "for <it> & more" in failure.text and "against it" in failure.text
    assert (cases[0].get("name") or "").startswith('a<b>&"\ufffd\ufffd0 ')
    strict = ET.fromstring(junit(gate(run, parse_fail_on("insufficient")), run))[0]
    assert strict.get("failures") == "1" and strict.get("skipped") == "0"


def test_unfinished_runs_scores_and_unknown_words_are_errors(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path / "killed", {"kind": "audit"}):
        pass
    with pytest.raises(RunError, match="is not finished"):
        gate(open_run(tmp_path / "killed"))
    with pytest.raises(RunError, match="holds no verdicts"):
        gate(finished(tmp_path / "score"))
    with pytest.raises(SettingError, match="did you mean 'hollowed'"):
        parse_fail_on("holowed")
    with pytest.raises(SettingError, match="names no word"):
        parse_fail_on(" ,")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "soundness", *arguments], capture_output=True, text=True, check=False)


def test_end_to_end_from_the_command_line(tmp_path: Path) -> None:
    finished(tmp_path / "run", Word.HOLLOWED, Word.SOUND)
    done = command("gate", str(tmp_path / "run"), "--fail-on", "hollowed", "--junit", str(tmp_path / "ci" / "gate.xml"))
    assert done.returncode == 1 and "FAIL tuned0: hollowed. sentence 0." in done.stdout and not done.stderr
    assert ET.parse(tmp_path / "ci" / "gate.xml").getroot().get("failures") == "1"
    absent = command("gate", str(tmp_path / "nothing"))
    assert absent.returncode == 3 and absent.stderr.startswith("error: ")
    unparsed = command("gate")
    assert unparsed.returncode == 3 and unparsed.stderr.startswith("error: ") and "Traceback" not in unparsed.stderr
