"""Traces from logs of chat completions, as OpenAI-compatible servers answer and as proxies and scripts write them down.

One JSON object a line, in any of these forms; what a provider calls reasoning becomes a thinking span before the reply.

    {"messages": [...], "response": {"choices": [{"message": {"content": ..., "reasoning_content": ...}, "finish_reason": "stop"}]}}
    {"request": {"messages": [...]}, "response": {"choices": [...]}}
    {"custom_id": "1", "body": {"messages": [...]}} and {"custom_id": "1", "response": {"body": {"choices": [...]}}}, in two files
    {"messages": [..., {"role": "assistant", "content": ..., "reasoning_content": ...}], "finish_reason": "stop"}

`answer` (or `reference`, `target`) and `choices` (the options) beside them, or in `metadata`, make a reply gradable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundness.answers.channels import split_channels
from soundness.chains.imported import FINISHES
from soundness.errors import TaskError
from soundness.interchange.traces import Imported, asked_in, short_digest, thinking_first
from soundness.tasks.sources import open_file

__all__ = ["import_chats"]

_ANSWERS = ("answer", "reference", "target", "expected", "ground_truth")


def import_chats(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of chat logs; `model` names their writer, by default the model that each line names.

    Replies to the same conversation are samples of one problem. Raises `TaskError` for a file in none of the forms.
    """
    requests: dict[str, Mapping[str, Any]] = {}
    lines: list[tuple[str, Mapping[str, Any]]] = []
    for path in paths:
        for row in open_file(path).rows:
            body = row.fields.get("body")
            if "custom_id" in row.fields and isinstance(body, Mapping) and "messages" in body and "response" not in row.fields:
                requests[str(row.fields["custom_id"])] = {**row.fields, **body}
            else:
                lines.append((row.place, row.fields))
    rows: list[dict[str, Any]] = []
    lost: Counter[str] = Counter()
    first_error: TaskError | None = None
    numbers: Counter[tuple[str, str]] = Counter()
    for place, line in lines:
        request, choices, writer = _parts(line, requests, place)
        try:
            turns = asked_in(request.get("messages"), place)
        except TaskError as error:
            first_error = first_error or error
            lost["conversations hold something else than texts of users and assistants (tools, images) and were left out"] += 1
            continue
        if not choices:
            lost["requests have no reply (errors) and were left out"] += 1
        for choice in choices:
            written = _reply(choice, lost)
            if written is None:
                continue
            name = model or writer or "chat"
            fields = {"question": turns[-1][1], **_reference(line, request), "prompt_turns": turns}
            problem = short_digest([turns, fields.get("answer")])
            number = numbers[problem, name]
            numbers[problem, name] += 1
            rows.append({"id": f"{problem}:{number}:{name}", "problem": problem, **fields, **written, "model": name})
    if not rows and first_error is not None:
        raise first_error
    if not lines:
        raise TaskError("the logs hold requests and no responses; give the file with the responses too")
    unanswered = sum("answer" not in row for row in rows)
    if unanswered:
        lost["replies have no reference answer (a field answer beside them would be one)"] += unanswered
    return Imported(tuple(rows), tuple(f"{count} {what}" for what, count in lost.items()))


def _parts(
    line: Mapping[str, Any], requests: Mapping[str, Mapping[str, Any]], place: str
) -> tuple[Mapping[str, Any], list[Any], str]:
    """Return request, replies and writer of a line; raises TaskError where it is in none of the known forms."""
    response = line.get("response")
    if isinstance(response, Mapping) and isinstance(response.get("body"), Mapping):
        response = response["body"]
    custom = str(line["custom_id"]) if line.get("custom_id") is not None else None
    request: Any = line.get("request") if isinstance(line.get("request"), Mapping) else line
    if custom is not None and custom in requests and "messages" not in request:
        request = requests[custom]
    if isinstance(request.get("body"), Mapping):
        request = {**request, **request["body"]}
    named = response if isinstance(response, Mapping) else line
    writer = str(named.get("model") or line.get("model") or request.get("model") or "")
    messages = request.get("messages")
    if (
        isinstance(response, Mapping)
        or "choices" in line
        and isinstance(line["choices"], list)
        and _are_replies(line["choices"])
    ):
        choices = (response if isinstance(response, Mapping) else line).get("choices")
        if not isinstance(messages, list):
            known = " (no request with this custom_id was given)" if custom is not None else ""
            raise TaskError(
                f"{place}: a response without its request{known}; the messages that were asked have to stand beside it"
            )
        return request, choices if isinstance(choices, list) else [], writer
    last = messages[-1] if isinstance(messages, list) and len(messages) > 1 else None
    if isinstance(messages, list) and isinstance(last, Mapping) and last.get("role") == "assistant":
        choice = {"message": last, "finish_reason": line.get("finish_reason", "stop"), "usage": line.get("usage")}
        return {**request, "messages": messages[:-1]}, [choice], writer
    if isinstance(response, str) and isinstance(messages, list):
        return request, [{"message": {"content": response}, "finish_reason": line.get("finish_reason", "stop")}], writer
    if isinstance(messages, list) and ("error" in line or response is None):
        return request, [], writer
    found = ", ".join(map(str, line))[:120]
    raise TaskError(f"{place}: messages and a response (or a last message of the assistant) were wanted; the line has {found}")


def _are_replies(choices: Sequence[Any]) -> bool:
    return all(isinstance(choice, Mapping) and ("message" in choice or "text" in choice) for choice in choices)


def _reply(choice: Any, lost: Counter[str]) -> dict[str, Any] | None:
    """Return the text of one reply and why it ended, or None where it has no text."""
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        lost["replies have no message and were left out"] += 1
        return None
    text, whole = thinking_first(message)
    if not text and isinstance(message.get("refusal"), str):
        text = message["refusal"]
    if not text.strip() and message.get("tool_calls"):
        lost["replies call a tool and say nothing; they were left out"] += 1
        return None
    usage = choice.get("usage")
    details = usage.get("completion_tokens_details") if isinstance(usage, Mapping) else None
    hidden = isinstance(details, Mapping) and bool(details.get("reasoning_tokens")) and split_channels(text).thinking is None
    if not whole or hidden:
        lost["replies have reasoning that is not in the log (hidden by the provider)"] += 1
    reason = str(choice.get("finish_reason") or choice.get("stop_reason") or "stop").lower()
    if reason not in FINISHES:
        lost[f"replies ended by {reason[:40]!r}, which is no known reason; they count as finished"] += 1
    if reason == "content_filter":
        lost["replies were ended by a content filter; they count as cut off"] += 1
    return {"trace": text, "finish": FINISHES.get(reason, "stop")}


def _reference(line: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reference answer and the options that stand beside a log line."""
    fields: dict[str, Any] = {}
    metadata = [held for held in (line.get("metadata"), request.get("metadata")) if isinstance(held, Mapping)]
    for held in (line, *metadata, request):
        options = held.get("choices", held.get("options"))
        if (
            "choices" not in fields
            and isinstance(options, list)
            and len(options) > 1
            and all(isinstance(one, str) for one in options)
        ):
            fields["choices"] = options
        for name in _ANSWERS:
            if "answer" not in fields and isinstance(held.get(name), str | int | float | list) and held[name] not in ("", []):
                fields["answer"] = held[name]
    return fields
