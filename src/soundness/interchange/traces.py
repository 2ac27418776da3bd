"""What every import makes: rows of our own trace format, and an honest account of what the harness kept of the chains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundness.errors import TaskError
from soundness.files import make_folder, write_text

__all__ = ["TRACES_FILE", "Imported", "write_traces"]

TRACES_FILE = "traces.jsonl"

_BARE_WORDS = 6  # a reply of at most this many words on one line is an answer, not a chain


@dataclass(frozen=True, slots=True)
class Imported:
    """Traces of one or several log files, in our own format."""

    rows: tuple[dict[str, Any], ...]
    """One JSON object per trace: id, question, answer, trace, model and what else the log told."""
    notes: tuple[str, ...] = ()
    """What the harness did not keep, in words."""

    @property
    def num_bare(self) -> int:
        """Traces that are a bare answer: nothing is left of a chain, if there was one."""
        return sum(is_bare(row["trace"]) for row in self.rows)

    @property
    def account(self) -> tuple[str, ...]:
        """All that a user has to know about these traces, one sentence each; empty where every chain is whole."""
        bare = self.num_bare
        lines = list(self.notes)
        if bare:
            lines.append(
                f"{bare} of {len(self.rows)} traces hold an answer and no steps: the model wrote none, or the harness stripped "
                "them before logging; they count as chains without steps"
            )
        return tuple(lines)


def is_bare(trace: str) -> bool:
    r"""Return whether a trace is at most a bare answer.

    >>> is_bare("42"), is_bare("6 * 7 = 42\nAnswer: 42")
    (True, False)
    """
    lines = [line for line in trace.splitlines() if line.strip()]
    return len(lines) <= 1 and len(trace.split()) <= _BARE_WORDS


def write_traces(imported: Imported, out: str | Path) -> Path:
    """Write the rows to `traces.jsonl` in the folder `out` and return its path.

    Raises `TaskError` where there is not a single trace, with what the harness left instead.
    """
    if not imported.rows:
        raise TaskError(f"no trace was found to import: {'; '.join(imported.notes) or 'the logs have no samples'}")
    path = make_folder(out) / TRACES_FILE
    write_text(path, "".join(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n" for row in imported.rows))
    return path


def unique(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the rows, the first of each id: a harness logs a sample once per filter."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["id"], row)
    return tuple(found.values())
