from __future__ import annotations

import pytest

from soundness.errors import ModelError, SettingError, TaskError, boundary, describe, near


def test_what_a_library_raises_becomes_one_short_line() -> None:
    def fails() -> None:
        raise ValueError("first line\nsecond line" + "x" * 1_000_000)

    with pytest.raises(ModelError) as caught, boundary("cannot load 'm'", "give another", ModelError):
        fails()
    message = str(caught.value)
    assert message.startswith("cannot load 'm' (ValueError: first line (test_errors.py, line") and message.endswith(
        ": give another"
    )
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ModelError, match="AttributeError: no message"), boundary("a", "b", ModelError):
        raise AttributeError
    with pytest.raises(ModelError) as caught, boundary("a", "b", ModelError):
        raise RuntimeError("x" * 1_000_000)
    assert len(str(caught.value)) < 300


def test_a_long_message_loses_its_middle() -> None:
    message = str(TaskError("begin" + "x" * 1_000_000 + "end"))
    assert len(message) < 2_001 and message.startswith("begin") and message.endswith("end") and "x ... x" in message
    assert TaskError("short", 3).args == ("short", 3)


def test_our_own_errors_and_interrupts_pass() -> None:
    with pytest.raises(TaskError, match="^as it is$"), boundary("a", "b", ModelError):
        raise TaskError("as it is")
    with pytest.raises(KeyboardInterrupt), boundary("a", "b", ModelError):
        raise KeyboardInterrupt


def test_descriptions_name_the_place() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("a = (", "theirs.py", "exec")
    assert describe(caught.value).startswith("SyntaxError: '(' was never closed")
    assert describe(SettingError("")) == "SettingError: no message"
    assert near("x", []) == ""
