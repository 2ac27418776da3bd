from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from soundness.errors import RunError, SettingError
from soundness.records import Verdict, Word
from soundness.report import gate as gates
from soundness.report.gate import NAMES, gate, junit, parse_words
from soundness.runs.folder import Run, open_run


def finished(path: Path, *words: Word, name: str = "tuned", timings: dict[str, float] | None = None) -> Run:
    verdicts = [
        Verdict(f"{name}{i}", word, f"sentence {i}.", ("for <it> & more",), ("against it",)) for i, word in enumerate(words)
    ]
    with Run.create_or_resume(path, {"kind": "audit", "base": "ba\x1bse", "task": "sums", "num_problems": 24}) as run:
        run.write_results([], verdicts, timings={"sampling": 1.25} if timings is None else timings)
    return open_run(path)


INSUFFICIENT, SOUND, HOLLOWED, LOST, BROKEN = Word.INSUFFICIENT, Word.SOUND, Word.HOLLOWED, Word.LOST, Word.BROKEN

CODES: list[tuple[list[Word], str | None, str, int]] = [
    ([SOUND], None, "", 0),
    ([SOUND, HOLLOWED], None, "", 1),
    ([LOST], None, "", 1),
    ([BROKEN], None, "", 1),
    ([INSUFFICIENT], None, "", 2),
    ([INSUFFICIENT, SOUND], None, "insufficient", 0),
    ([INSUFFICIENT, HOLLOWED], None, "insufficient", 1),
    ([INSUFFICIENT, HOLLOWED, SOUND], None, "", 1),  # 1 goes before 2
    ([LOST, SOUND], None, "lost", 0),
    ([INSUFFICIENT], "hollowed", "", 0),  # only what is named fails
    ([LOST], "hollowed", "", 0),
    ([HOLLOWED], "hollowed", "", 1),
    ([LOST, INSUFFICIENT], "hollowed,insufficient", "", 2),
    ([SOUND], "sound", "", 1),
    ([BROKEN], "hollowed", "", 1),  # no numbers are no verdict that could pass
    ([BROKEN], "hollowed", "broken", 0),
]


@pytest.mark.parametrize(("words", "fail_on", "allow", "code"), CODES)
def test_exit_codes_and_the_xml_agree(tmp_path: Path, words: list[Word], fail_on: str | None, allow: str, code: int) -> None:
    run = finished(tmp_path / "run", *words)
    failing = None if fail_on is None else parse_words(fail_on, "--fail-on")
    found = gate(run, failing, parse_words(allow, "--allow") if allow else ())
    assert found.exit_code == code
    root = ET.fromstring(junit(found, run))
    assert (root.get("failures") != "0") == (code in (1, 2))
    assert root.get("failures") == str(len(found.failed)) == str(len(root.findall(".//failure")))
    passed_over = [i for i, word in enumerate(words) if word is INSUFFICIENT and f"tuned{i}" not in found.failed]
    assert root.get("skipped") == str(len(passed_over)) == str(len(root.findall(".//skipped")))


def test_every_word_has_a_name_and_a_joined_one_fails_by_either_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(NAMES.values()) == set(Word)
    run = finished(tmp_path / "run", LOST)
    # As where a verdict joins two words.
    monkeypatch.setattr(gates, "NAMES", {**NAMES, "lost": BROKEN, "lost-and-hollowed": LOST})
    for words in ({"lost"}, {"hollowed"}, {"lost-and-hollowed"}, None):
        assert gate(run, words).exit_code == 1, words
    assert gate(run, {"insufficient"}).exit_code == 0
    assert gate(run, None, {"hollowed"}).exit_code == 1
    assert gate(run, None, {"hollowed", "lost"}).exit_code == gate(run, None, {"lost-and-hollowed"}).exit_code == 0


def test_junit_holds_the_evidence_once(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", SOUND, HOLLOWED, INSUFFICIENT, name='a<b>&"\x00\ud800')
    text = junit(gate(run, None, {"insufficient"}), run)
    suite = ET.fromstring(text)[0]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
        "time": "1.250",
    }
    cases = suite.findall("testcase")
    assert [[child.tag for child in case] for case in cases] == [["system-out"], ["failure"], ["skipped", "system-out"]]
    failure = cases[1][0]
    assert failure.get("type") == "hollowed" and failure.get("message") == "hollowed: sentence 1."
    assert failure.text is not None and "for <it> & more" in failure.text and "against it" in failure.text
    assert cases[0].get("name") == 'a<b>&"\ufffd\ufffd0 against ba\ufffdse'
    assert {one.get("name"): one.get("value") for one in suite.findall("properties/property")} == {
        "base": "ba\ufffdse",
        "task": "sums",
        "problems": "24",
    }


def test_a_clock_that_went_back_gives_no_negative_time(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", SOUND, timings={"sampling": -5.0, "reading": 2.0})
    assert ET.fromstring(junit(gate(run), run))[0].get("time") == "2.000"


def test_unfinished_runs_scores_and_unknown_words_are_errors(tmp_path: Path) -> None:
    with Run.create_or_resume(tmp_path / "killed", {"kind": "audit"}):
        pass
    with pytest.raises(RunError, match="is not finished"):
        gate(open_run(tmp_path / "killed"))
    with pytest.raises(RunError, match="holds no verdicts"):
        gate(finished(tmp_path / "score"))
    with pytest.raises(SettingError, match="--allow has no word 'holowed' .*did you mean 'hollowed'"):
        parse_words("holowed", "--allow")
    with pytest.raises(SettingError, match="--fail-on names no word"):
        parse_words(" ,", "--fail-on")
    with pytest.raises(SettingError, match="both name lost"):
        gate(finished(tmp_path / "run", SOUND), {"lost", "hollowed"}, {"lost"})


def test_verdicts_that_were_changed_by_hand_are_no_evidence(tmp_path: Path) -> None:
    finished(tmp_path / "run", HOLLOWED)
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('"hollowed"', '"sound"'))
    with pytest.raises(RunError, match="not as the audit left it, .*run.json was changed"):
        gate(open_run(tmp_path / "run"))


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "soundness", *arguments], capture_output=True, text=True, check=False)


def test_end_to_end_from_the_command_line(tmp_path: Path) -> None:
    finished(tmp_path / "run", Word.HOLLOWED, Word.SOUND)
    done = command("gate", str(tmp_path / "run"), "--fail-on", "hollowed", "--junit", str(tmp_path / "ci" / "gate.xml"))
    assert done.returncode == 1 and "FAIL tuned0: hollowed. sentence 0." in done.stdout and not done.stderr
    assert ET.parse(tmp_path / "ci" / "gate.xml").getroot().get("failures") == "1"
    finished(tmp_path / "open", Word.INSUFFICIENT)
    assert command("gate", str(tmp_path / "open")).returncode == 2
    assert command("gate", str(tmp_path / "open"), "--allow", "insufficient").returncode == 0
    assert (
        command("gate", str(tmp_path / "open"), "--fail-on", "hollowed", "--junit", str(tmp_path / "gate.xml")).returncode == 0
    )
    assert ET.parse(tmp_path / "gate.xml").getroot().get("skipped") == "1"
    absent = command("gate", str(tmp_path / "nothing"))
    assert absent.returncode == 3 and absent.stderr.startswith("error: ")
    unparsed = command("gate")
    assert unparsed.returncode == 3 and unparsed.stderr.startswith("error: ") and "Traceback" not in unparsed.stderr
