"""What every import makes: rows of our own trace format, and an honest account of what the harness kept of the chains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from soundness.answers.channels import split_channels, with_thinking
from soundness.errors import TaskError
from soundness.files import make_folder, write_text
from soundness.tasks.rows import ROLES

__all__ = ["TRACES_FILE", "Imported", "asked_in", "is_bare", "short_digest", "thinking_first", "write_traces"]

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


def short_digest(value: Any) -> str:
    """Return ten hexadecimal digits that are the same exactly for equal JSON values."""
    text = json.dumps(value, sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()


def asked_in(messages: Any, place: str) -> list[list[str]]:
    """Return a conversation that ends in a user's message as pairs of role and text; raises TaskError for any other."""
    turns: list[list[str]] = []
    for message in messages if isinstance(messages, list) else []:
        role = ROLES.get(str(message.get("role"))) if isinstance(message, dict) else None
        text = _text(message.get("content")) if isinstance(message, dict) else None
        if role is None or text is None:
            shown = json.dumps(message, default=str)[:80]
            raise TaskError(f"{place}: a conversation of users and assistants in text was wanted, found {shown}")
        turns.append([role, text])
    if not turns or turns[-1][0] != "user" or not turns[-1][1].strip():
        roles = ", ".join(turn[0] for turn in turns)[:80]
        raise TaskError(f"{place}: a conversation that ends in a user's message was wanted, found {roles or 'none'}")
    return turns


def thinking_first(message: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the text of a reply, its reasoning in a thinking span first, and whether all of its reasoning is there."""
    text = _text(message.get("content")) or ""
    thought = next((message[name] for name in ("reasoning_content", "reasoning", "thinking") if message.get(name)), None)
    if isinstance(thought, Mapping):
        thought = thought.get("content", thought.get("summary"))
    parts = message.get("content") if isinstance(message.get("content"), list) else []
    inside = [part for part in parts if _kind(part) in _THOUGHTS]  # type: ignore[union-attr]
    if thought is None and inside:
        held = [part.get("thinking", part.get("text", part.get("reasoning"))) for part in inside]
        thought = "\n".join(one for one in held if isinstance(one, str)) or None
    hidden = bool(message.get("reasoning_details") or inside or thought) and not isinstance(thought, str)
    if not isinstance(thought, str) or not thought.strip() or split_channels(text).thinking is not None:
        return text, not hidden
    return with_thinking(thought, text), True


_TEXTS = ("text", "output_text", "input_text")
_THOUGHTS = ("thinking", "reasoning", "redacted_thinking")


def _kind(part: Any) -> str | None:
    return str(part.get("type", "text")) if isinstance(part, Mapping) else None


def _text(content: Any) -> str | None:
    """Return the text of a message's content, its parts joined, thinking left out; None where it holds something else."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list) or any(_kind(part) not in (*_TEXTS, *_THOUGHTS) for part in content):
        return None
    parts = [part.get("text") for part in content if _kind(part) in _TEXTS]
    return "".join(parts) if all(isinstance(part, str) for part in parts) else None
