"""A run's verdicts as an exit code and as JUnit XML, for continuous integration.

    0   nothing that was to fail did, and the evidence sufficed
    1   a tuned model is hollowed (or lost), where that was to fail
    2   the evidence is insufficient for a tuned model: nothing was shown either way
    3   an error: no run, an unfinished run, an option that makes no sense

1 goes before 2. A word that is not in the list of those that fail is reported and does not fail, insufficient evidence apart: it
always gives 2, and in the list it also becomes a failure in the XML instead of a skipped test.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundness.errors import RunError, SettingError, near
from soundness.files import make_folder, write_text
from soundness.records import Verdict, Word
from soundness.runs.folder import Run

__all__ = ["FAIL_ON", "Gate", "gate", "junit", "parse_fail_on"]

FAIL_ON = (Word.HOLLOWED, Word.LOST, Word.BROKEN)
"""Words that fail where none are named."""

NAMES = {"hollowed": Word.HOLLOWED, "lost": Word.LOST, "insufficient": Word.INSUFFICIENT, "broken": Word.BROKEN}


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a run may pass."""

    exit_code: int
    """0 pass, 1 fail, 2 insufficient evidence."""
    verdicts: tuple[Verdict, ...]
    """One per tuned model."""
    failed: tuple[str, ...]
    """Tuned models whose word fails."""


def parse_fail_on(text: str) -> tuple[Word, ...]:
    """Return the words in a comma-separated list; raises SettingError for one that cannot fail.

    >>> [word.name for word in parse_fail_on("hollowed,insufficient")]
    ['HOLLOWED', 'INSUFFICIENT']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in NAMES:
            raise SettingError(f"--fail-on has no word {name!r}{near(name, NAMES)}; it takes {', '.join(NAMES)}")
    if not names:
        raise SettingError(f"--fail-on names no word; it takes {', '.join(NAMES)}, separated by commas")
    return tuple(dict.fromkeys(NAMES[name] for name in names))


def gate(run: Run, fail_on: Sequence[Word] = FAIL_ON) -> Gate:
    """Return whether the finished `run` passes; raises RunError where it holds no verdicts."""
    if not run.finished:
        raise RunError(f"{run.path} is not finished: run the same soundness audit again, then the gate")
    verdicts = tuple(run.verdicts)
    if not verdicts:
        raise RunError(f"{run.path} holds no verdicts: a gate needs a run of soundness audit, with a base and a tuned model")
    failed = tuple(verdict.tuned for verdict in verdicts if verdict.word in fail_on)
    if any(verdict.word in fail_on and verdict.word is not Word.INSUFFICIENT for verdict in verdicts):
        code = 1
    else:
        code = 2 if any(verdict.word is Word.INSUFFICIENT for verdict in verdicts) else 0
    return Gate(code, verdicts, failed)


def junit(found: Gate, run: Run) -> str:
    """Return the gate as JUnit XML: one test case per tuned model; what fails holds the verdict's sentence and evidence."""
    failures = len(found.failed)
    skipped = sum(v.word is Word.INSUFFICIENT and v.tuned not in found.failed for v in found.verdicts)
    counts = {"tests": str(len(found.verdicts)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    suites = ET.Element("testsuites", {"name": "soundness", **counts})
    seconds = sum(run.document.get("timings", {}).values())
    suite = ET.SubElement(
        suites, "testsuite", {"name": _clean(f"soundness {run.path.name}"), **counts, "time": f"{seconds:.3f}"}
    )
    for verdict in found.verdicts:
        name = _clean(f"{verdict.tuned} still reasons its way to the answer")
        case = ET.SubElement(suite, "testcase", {"classname": "soundness.auditing", "name": name, "time": "0"})
        text = _clean(_text(verdict))
        message = _clean(f"{verdict.word.value}: {verdict.sentence}")
        if verdict.tuned in found.failed:
            ET.SubElement(case, "failure", {"type": verdict.word.value, "message": message}).text = text
        elif verdict.word is Word.INSUFFICIENT:
            ET.SubElement(case, "skipped", {"message": message})
        ET.SubElement(case, "system-out").text = text
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def write_junit(path: Path, text: str) -> None:
    """Write the XML; raises FileError where that is not possible."""
    make_folder(path.parent)
    write_text(path, text)


def _text(verdict: Verdict) -> str:
    lines = [f"{verdict.word.value}: {verdict.sentence}"]
    for title, evidence in (("for it", verdict.evidence_for), ("against it", verdict.evidence_against)):
        lines += [title, *(f"- {line}" for line in evidence)] if evidence else []
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Return text without the characters that XML 1.0 has no way to write."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
