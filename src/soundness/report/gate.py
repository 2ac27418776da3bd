"""A run's verdicts as an exit code and as JUnit XML, for continuous integration.

    0   every tuned model passes
    1   the verdict on one fails: hollowed, lost, broken
    2   nothing was shown on one: the evidence is insufficient, or base and tuned are the same model
    3   an error: no run, an unfinished run, a run that was changed by hand, an option that makes no sense

Without options every word but `sound`, `grew` and `nothing` (nothing to keep) stops the gate. `--fail-on` names the words that do,
and the others pass; `--allow` takes words away from those that do. A broken model stops it unless `broken` is allowed. 1 goes
before 2. The exit code is 1 or 2 exactly where the XML has a failure; insufficient evidence that passes is a skipped test there.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from soundness.errors import RunError, SettingError, near
from soundness.files import make_folder, write_text
from soundness.records import Verdict, Word
from soundness.runs.folder import Run

__all__ = ["NAMES", "Gate", "gate", "junit", "parse_words", "write_junit"]

NAMES = {word.name.lower().replace("_", "-"): word for word in Word}
"""Word as it is written on the command line -> the verdict's word. One that joins two is failed or allowed as each of the two is."""

_JOINT = "-and-"

_PASSING = {"sound", "grew", "nothing"}
"""Words that stop no gate unless they are named in --fail-on."""

_NOTHING_SHOWN = {"insufficient", "same"}
"""Words that say nothing for or against: where only they stop the gate, the exit code is 2."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a run may pass."""

    exit_code: int
    """0 pass, 1 fail, 2 nothing was shown."""
    verdicts: tuple[Verdict, ...]
    """One per tuned model."""
    failed: tuple[str, ...]
    """Tuned models whose word stops the gate."""


def parse_words(text: str, option: str) -> frozenset[str]:
    """Return the words in a comma-separated list; raises SettingError, which names the `option`, for one that is none.

    >>> sorted(parse_words("hollowed, insufficient", "--fail-on"))
    ['hollowed', 'insufficient']
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in NAMES:
            raise SettingError(f"{option} has no word {name!r}{near(name, NAMES)}; it takes {', '.join(NAMES)}")
    if not names:
        raise SettingError(f"{option} names no word; it takes {', '.join(NAMES)}, separated by commas")
    return frozenset(names)


def gate(run: Run, fail_on: Collection[str] | None = None, allow: Collection[str] = ()) -> Gate:
    """Return whether the finished `run` passes.

    `fail_on` and `allow` hold words of NAMES. Raises RunError where the run holds no verdicts or was changed after it was finished,
    SettingError where a word is both to fail and allowed.
    """
    if both := sorted({*(fail_on or ())} & {*allow}):
        raise SettingError(f"--fail-on and --allow both name {', '.join(both)}; name each word once")
    if not run.finished:
        raise RunError(f"{run.path} is not finished: run the same soundness audit again, then the gate")
    verdicts = tuple(run.verdicts)
    if not verdicts:
        raise RunError(f"{run.path} holds no verdicts: a gate needs a run of soundness audit, with a base and a tuned model")
    if edits := run.changed_files():
        raise RunError(f"{run.path} is not as the audit left it, so its verdicts are no evidence: {'; '.join(edits)}")
    usual = {name for name in NAMES if _JOINT not in name} - _PASSING
    stopping = {*(usual if fail_on is None else fail_on), "broken"} - {*allow}
    stopped = {verdict.tuned: _stopped_by(verdict.word, stopping, allow) for verdict in verdicts}
    failed = tuple(name for name, words in stopped.items() if words)
    shown = any(words - _NOTHING_SHOWN for words in stopped.values())
    return Gate((1 if shown else 2) if failed else 0, verdicts, failed)


def _name(word: Word) -> str:
    """Return a verdict's word as it is written on the command line."""
    return next(name for name, known in NAMES.items() if known is word)


def _stopped_by(word: Word, stopping: Collection[str], allow: Collection[str]) -> set[str]:
    """Return which of the words that stop the gate a verdict has: its own or, of `lost, and hollowed`, one of the two."""
    name = _name(word)
    return set() if name in allow else {name, *name.split(_JOINT)} & {*stopping}


def junit(found: Gate, run: Run) -> str:
    """Return the gate as JUnit XML: one test case per tuned model; what stops the gate holds the verdict's sentence and evidence."""
    skipped = [v.tuned for v in found.verdicts if v.tuned not in found.failed and _name(v.word) in _NOTHING_SHOWN]
    counts = {
        "tests": str(len(found.verdicts)),
        "failures": str(len(found.failed)),
        "errors": "0",
        "skipped": str(len(skipped)),
    }
    suites = ET.Element("testsuites", {"name": "soundness", **counts})
    # A clock that was set back while the run was going must not give a negative time.
    seconds = math.fsum(max(0.0, part) for part in run.document.get("timings", {}).values() if math.isfinite(part))
    suite = ET.SubElement(
        suites, "testsuite", {"name": _clean(f"soundness {run.path.name}"), **counts, "time": f"{seconds:.3f}"}
    )
    properties = ET.SubElement(suite, "properties")
    about = {"base": run.base, "task": run.settings.get("task"), "problems": run.settings.get("num_problems")}
    for name, value in about.items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": name, "value": _clean(str(value))})
    for verdict in found.verdicts:
        name = f"{verdict.tuned} against {run.base}" if run.base is not None else verdict.tuned
        case = ET.SubElement(suite, "testcase", {"classname": "soundness.gate", "name": _clean(name), "time": "0"})
        text = _clean(_text(verdict))
        message = _clean(f"{verdict.word.value}: {verdict.sentence}")
        if verdict.tuned in found.failed:
            ET.SubElement(case, "failure", {"type": verdict.word.value, "message": message}).text = text
            continue
        if verdict.tuned in skipped:
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
