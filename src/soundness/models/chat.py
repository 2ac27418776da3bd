"""A tokenizer's chat template: prompts out of conversations, and where its turns end. No torch.

A template is a stranger's program, and templates go wrong in known ways. They forbid a system message (it is then put before
the first user message), go through `content` as a list of parts (they are given parts), drop what was asked (refused), raise
(refused by name), or write today's date (the day is an option, so that a run resumed tomorrow asks the same).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any

from soundness.errors import ModelError, SettingError
from soundness.models import jinja
from soundness.records import Prompt, Stop, Turn
from soundness.tasks.prompts import Prompting, plain_text

__all__ = ["closing_id", "fill_template", "render_prompt", "turn_end"]

log = logging.getLogger("soundness")

_DEFAULT = Prompting()

_DATE_CALL = re.compile(
    r"strftime_now\(\s*(?:\"([^\"]*)\"|'([^']*)')\s*\)"
)  # a format written out, as every known template does

_SHORTEST_OPENER = 3
"""Characters of a text that opens the user's turn: a dash or a bracket alone is found in any reply."""


def render_prompt(tokenizer: Any, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
    """Return the prompt that asks `message`, a user's message or a conversation that ends in one.

    That is the chat template filled in, the tokenizer's or the one that `prompting` gives, or plain text where there is none or
    `prompting.template` is `none`. At most one beginning-of-text token and no end-of-text token, whatever the tokenizer likes to
    add. Raises ModelError for a template that cannot ask the message.
    """
    prompting = prompting or _DEFAULT
    turns = [Turn("user", message)] if isinstance(message, str) else list(message)
    template = template_of(tokenizer, prompting)
    if template is not None:
        text = fill_template(tokenizer, turns, prompting)
        return Prompt(text, tuple(tokenizer.encode(text, add_special_tokens=False)), _stop(tokenizer, prompting))
    text = plain_text(turns)
    ids = tokenizer.encode(text, add_special_tokens=True)
    if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return Prompt(text, tuple(ids))


def _stop(tokenizer: Any, prompting: Prompting) -> Stop | None:
    """Return where a turn of the template ends, as far as a model that was loaded with its own template does not know it."""
    ids, texts = turn_end(tokenizer, prompting)
    ids = ids if prompting.chat_template is not None else ()
    return Stop(texts, ids) if ids or texts else None


def template_of(tokenizer: Any, prompting: Prompting | None = None) -> str | None:
    """Return the chat template that a prompt is made with, or None where it is plain text."""
    if prompting is not None and prompting.template == "none":
        return None
    if prompting is not None and prompting.chat_template is not None:
        return prompting.chat_template
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, Mapping):  # several templates by name, of older tokenizers
        return str(template["default"]) if "default" in template else None
    return str(template) if template else None


def fill_template(
    tokenizer: Any, turns: Sequence[Turn], prompting: Prompting | None = None, *, add_generation_prompt: bool = True
) -> str:
    """Return a conversation as the chat template writes it, every word of the turns in it.

    Raises ModelError where the template raises or leaves a turn out, and SettingError for a variable that it does not read but
    has one of a similar name.
    """
    prompting = prompting or _DEFAULT
    template = template_of(tokenizer, prompting)
    assert template is not None
    name = str(getattr(tokenizer, "name_or_path", "") or "the tokenizer")
    _check_variables(template, prompting.chat_template_kwargs, name)
    dated = _with_date(template, prompting.date)

    def fill(conversation: Sequence[Turn], parts: bool) -> str:
        messages = [
            {"role": turn.role, "content": [{"type": "text", "text": turn.content}] if parts else turn.content}
            for turn in conversation
        ]
        special = dict(getattr(tokenizer, "special_tokens_map", None) or {})
        variables = {**special, **prompting.chat_template_kwargs, "add_generation_prompt": add_generation_prompt}
        return jinja.fill(dated, messages, **variables)

    said: Exception | None = None
    for conversation in _ways(turns):
        for parts in (False, True):
            try:
                text = fill(conversation, parts)
            except ModelError:  # beyond its limits, whatever it is asked
                raise
            except Exception as error:  # a template may raise whatever Jinja and its data do
                said = said or error
                continue
            if _stands_in(turns, text):
                if conversation is not turns:
                    _say_once(f"the chat template of {name} takes no system message: it stands before the user's first words")
                return text
    if said is not None:
        raise ModelError(
            f"the chat template of {name} raises: {_first_line(said)}; give it what it wants (a system message with --system), "
            "another template with --chat-template FILE, or leave it out with --template none"
        )
    raise ModelError(
        f"the chat template of {name} leaves out what it is asked: {turns[-1].content.strip()[:60]!r} is not in the prompt it makes; "
        "give another template with --chat-template FILE, or leave it out with --template none"
    )


def _ways(turns: Sequence[Turn]) -> list[Sequence[Turn]]:
    """Return the conversation as it is, and with its system message before the first user message instead."""
    if not turns or turns[0].role != "system" or len(turns) < 2:
        return [turns]
    first = Turn("user", f"{turns[0].content}\n\n{turns[1].content}")
    return [turns, [first, *turns[2:]]]


def _stands_in(turns: Sequence[Turn], text: str) -> bool:
    """Return whether what is said stands in the prompt in order, blanks aside, which templates trim.

    What an assistant said is not looked for: templates take thinking out of earlier replies.
    """
    bare, place = _bare(text), 0
    for turn in turns:
        if turn.role == "assistant":
            continue
        said = _bare(turn.content)
        place = bare.find(said, place)
        if place < 0:
            return False
        place += len(said)
    return True


def _bare(text: str) -> str:
    return "".join(text.split())


def _with_date(template: str, day: str) -> str:
    """Return the template with its own answer to "what is today": the days it writes are put in front, one for each format."""
    formats = dict.fromkeys(double or single for double, single in _DATE_CALL.findall(template))
    if "strftime_now" not in template:
        return template
    today = date.fromisoformat(day)
    cases = "".join(
        f"{{%- if format == {_quoted(one)} -%}}{{{{- {_quoted(today.strftime(one))} -}}}}{{%- endif -%}}" for one in formats
    )
    return f"{{%- macro strftime_now(format) -%}}{cases}{{%- endmacro -%}}{template}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _check_variables(template: str, variables: Mapping[str, Any], name: str) -> None:
    code = " ".join(re.findall(r"\{[{%].*?[%}]\}", template, re.DOTALL))  # Jinja's {{ ... }} and {% ... %}
    words = set(re.findall(r"[A-Za-z_]\w*", code))
    for variable in variables:
        if variable in words:
            continue
        # A slip of the pen is mended; the other model of an audit may simply have no such variable.
        close = get_close_matches(variable, sorted(words), n=1, cutoff=0.8)
        if close:
            raise SettingError(f"the chat template of {name} reads no variable {variable!r} (did you mean {close[0]!r}?)")
        _say_once(f"the chat template of {name} reads no variable {variable!r}, so it has no effect there")


_said: set[str] = set()


def _say_once(note: str) -> None:
    if note not in _said:
        _said.add(note)
        log.warning(note)


def turn_end(tokenizer: Any, prompting: Prompting | None = None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return what ends an assistant's turn in the chat template: token ids, and texts where no special token does.

    The first special token after the assistant's words (`<|im_end|>`, `<|eot_id|>`, `<end_of_turn>`, ...) need not be the
    tokenizer's own end of text. A template without one (`USER: ... ASSISTANT: ...`) is ended by what opens the user's next turn.
    Both are empty where there is no template or it cannot be asked.
    """
    if template_of(tokenizer, prompting) is None:
        return (), ()
    said, next_said = "the assistant's words", "the user's next words"
    opening = [Turn("user", "a question"), Turn("assistant", said)]

    def fill(turns: Sequence[Turn]) -> str:
        try:
            return fill_template(tokenizer, turns, prompting, add_generation_prompt=False)
        except (ModelError, SettingError):
            return ""

    after = fill(opening).rpartition(said)[2]
    special = set(tokenizer.all_special_ids)
    special |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    closing = [index for index in tokenizer.encode(after, add_special_tokens=False) if index in special] if after else []
    if closing:
        return (int(closing[0]),), ()
    between = fill([*opening, Turn("user", next_said)]).rpartition(next_said)[0].rpartition(said)[2].strip()
    opener = between.split("\n")[0].strip()
    return (), ((opener,) if len(opener) >= _SHORTEST_OPENER else ())


def closing_id(tokenizer: Any) -> int:
    """Return the token that ends what the model writes: the one that ends an assistant turn, else the end-of-text token.

    Raises ModelError where there is neither.
    """
    ids, _ = turn_end(tokenizer)
    if ids:
        return ids[0]
    if tokenizer.eos_token_id is None:
        raise ModelError("the tokenizer has no end-of-text token, so a model trained with it could not stop: set its eos_token")
    return int(tokenizer.eos_token_id)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]
