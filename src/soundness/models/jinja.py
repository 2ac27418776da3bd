"""Chat templates filled in within limits: a template is a stranger's program, and its sandbox bounds neither time nor memory.

transformers' own sandbox runs the template. What multiplies is looked at before it is computed ('x' * 10**10 takes a moment to
write and 10 GB to have), and a watch ends what takes too long or too much.
"""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

from soundness.errors import ModelError

__all__ = ["fill"]

MOST_SECONDS = 5.0
"""CPU time that a template may take; those of the largest models take some milliseconds."""

MOST_BYTES = 1 << 30
"""Memory that a process may grow by while a template runs."""

MOST_CHARACTERS = 10_000_000
"""Longest text that a template may make."""

_MOST_TEMPLATE = 1_000_000
"""Characters of a template: the longest published ones have some 30,000."""

_MOST_NUMBER = 1_000_000
"""Largest number that a template may repeat, pad or count by."""

_WIDTH = re.compile(r"%[^%a-zA-Z]*\d{6}|\{[^{}]*:[^{}]*\d{6}")
"""A field of a format that is padded to a million characters and more: '%1000000s', '{:>1000000}'."""

_LOOK = 0.05
"""Seconds between two looks of the watch."""


class TooMuch(Exception):
    """A template that takes more than it may."""


def fill(template: str, messages: Sequence[Mapping[str, Any]], **variables: Any) -> str:
    """Return what a chat template writes for `messages`; `variables` are what else it may read.

    Raises ModelError for a template beyond the limits, and whatever the template raises itself.
    """
    if len(template) > _MOST_TEMPLATE:
        raise ModelError(f"the chat template has {len(template):,} characters, and at most {_MOST_TEMPLATE:,} are read")
    try:
        with _watched():
            text = str(_compiled(template).render(messages=list(messages), tools=None, documents=None, **variables))
    except (TooMuch, MemoryError) as error:
        raise ModelError(
            f"the chat template takes more than {MOST_SECONDS:g} s or {MOST_BYTES >> 30} GB ({error}); give another with "
            "--chat-template FILE, or leave it out with --template none"
        ) from error
    if len(text) > MOST_CHARACTERS:
        raise ModelError(
            f"the chat template makes a prompt of {len(text):,} characters, and at most {MOST_CHARACTERS:,} are read"
        )
    return text


@lru_cache(maxsize=64)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Return transformers' sandbox, one of our own, with what multiplies looked at first.

    Jinja computes constants while it compiles; operators that are looked at are left for later, and looked at then.
    """
    from transformers.utils.chat_template_utils import _compile_jinja_template

    environment = _compile_jinja_template("{# the sandbox of soundness #}").environment
    environment.intercepted_binops = frozenset(("*", "**", "%"))
    compute, call = environment.call_binop, environment.call

    def call_binop(context: Any, operator: str, left: Any, right: Any) -> Any:
        _check_operation(operator, left, right)
        return compute(context, operator, left, right)

    def bounded_call(context: Any, function: Any, *arguments: Any, **options: Any) -> Any:
        _check_numbers((getattr(function, "__self__", None), *arguments, *options.values()))
        return call(context, function, *arguments, **options)

    environment.call_binop, environment.call = call_binop, bounded_call
    for name in ("center", "indent", "format", "wordwrap", "batch", "slice", "truncate", "filesizeformat", "round"):
        environment.filters[name] = _bounded(environment.filters[name])
    return environment


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # keeps Jinja's marks of what is passed to a filter
    def checked(*arguments: Any, **options: Any) -> Any:
        _check_numbers((*arguments, *options.values()))
        return function(*arguments, **options)

    return checked


def _check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "%":
        _check_numbers((left,))
        return
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, bytes, list, tuple)) and isinstance(other, int) and len(one) * other > _MOST_NUMBER:
            raise TooMuch(f"a text is repeated {other} times")
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > 64:  # more than any count needs
            raise TooMuch("a number beyond 64 bits is computed")


def _check_numbers(values: Sequence[Any]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > _MOST_NUMBER:
            raise TooMuch(f"something is done {value if abs(value) < 10**12 else 'more than 10**12'} times")
        if isinstance(value, str) and _WIDTH.search(value):
            raise TooMuch("a text is padded to a million characters")


@contextmanager
def _watched() -> Iterator[None]:
    """End what runs inside with `TooMuch` where it takes more than it may; between two bytecodes, so not inside one operation."""
    runner, done, fired = threading.get_ident(), threading.Event(), threading.Event()
    began, before = time.process_time(), _memory()

    def watch() -> None:
        while not done.wait(_LOOK):
            if time.process_time() - began > MOST_SECONDS or _memory() - before > MOST_BYTES:
                fired.set()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(runner), ctypes.py_object(TooMuch))
                return

    watcher = threading.Thread(target=watch, daemon=True, name="chat template watch")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        if fired.is_set():  # it may not have been delivered yet
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(runner), None)


def _memory() -> int:
    """Return the bytes that this process holds, 0 where nothing tells."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except (OSError, IndexError, ValueError):
        return 0
