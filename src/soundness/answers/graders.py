"""Graders for what no rule reads: code, proofs, free text. A function from the user's file, or any object that keeps the protocol.

A grader says whether a text is right; where it cannot say, the text is missing from accuracy and not wrong. What it raised or
answered in its own words is kept.

>>> def mentions_salt(text, problem):
...     return "salt" in text
>>> grader = FunctionGrader("mentions_salt", mentions_salt)
>>> grader("Sodium chloride is table salt.", "stop", Problem("1", "What is NaCl?", None)).outcome
<Outcome.RIGHT: 'right'>
>>> grader("Hm", "length", Problem("1", "What is NaCl?", None)).outcome
<Outcome.CUT_OFF: 'cut_off'>
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from soundness.answers.reader import Grade, grade
from soundness.errors import SettingError
from soundness.extensions import is_reference, load_object
from soundness.records import Finish, Outcome, Problem

__all__ = ["FunctionGrader", "Grader", "Reader", "graded", "load_grader"]


@runtime_checkable
class Grader(Protocol):
    """Whatever says what became of a text."""

    @property
    def name(self) -> str:
        """What tells this grader from another one in a run's settings; changes where its judgements may change."""
        ...

    def __call__(self, text: str, finish: Finish, problem: Problem, prompt: str = "") -> Grade:
        """Return the grade of `text`, which ended by `finish`; outcome None with a `reason` where none can be given."""
        ...


class Reader:
    """The reader of this package as a grader."""

    name = "reader"

    def __call__(self, text: str, finish: Finish, problem: Problem, prompt: str = "") -> Grade:
        """Return the grade of `text` by rule."""
        return grade(text, finish, problem, prompt)


class FunctionGrader:
    """A user's function as a grader.

    The function takes `text` and `problem`, and `finish` and `prompt` where it names them, and returns True or False, one of the
    words right, wrong, unreadable, cut_off, a Grade, or None where it cannot say. What it raises makes the text missing, with the
    reason. A text that the token limit cut is cut off, and not shown to a function that does not ask for `finish`.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._function = function
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):
            parameters = {}  # type: ignore[assignment]
        every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        self._given = [given for given in ("finish", "prompt") if given in parameters or every]
        wanted = [
            given
            for given, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
        unknown = [given for given in wanted if given not in ("text", "problem", "finish", "prompt")]
        if unknown or (parameters and not every and not {"text", "problem"} <= set(parameters)):
            raise SettingError(
                f"the grader {name} must be a function of text and problem (and finish, prompt if it wants them), "
                f"and it takes {', '.join(parameters) or 'nothing'}: write def grade(text, problem): ..."
            )

    def __call__(self, text: str, finish: Finish, problem: Problem, prompt: str = "") -> Grade:
        """Return what the function says of `text`; the answer and where it stands are read by rule, if they can be."""
        read = grade(text, finish, problem, prompt)
        if finish == "length" and "finish" not in self._given:
            return read._replace(outcome=Outcome.CUT_OFF, how=self.name)
        options = {"finish": finish, "prompt": prompt}
        try:
            said = self._function(text=text, problem=problem, **{given: options[given] for given in self._given})
        except Exception as error:  # whatever a user's function raises makes this text missing and no other
            return read._replace(
                outcome=None, how=self.name, reason=f"the grader failed: {type(error).__name__}: {error}"[:300]
            )
        return _as_grade(said, read, self.name)


def _as_grade(said: Any, read: Grade, name: str) -> Grade:
    """Return what a function returned as a grade."""
    if isinstance(said, Grade):
        return said if said.how else said._replace(how=name)
    if said is None:
        return read._replace(outcome=None, how=name, reason="the grader could not say")
    if isinstance(said, bool):
        return read._replace(outcome=Outcome.RIGHT if said else Outcome.WRONG, how=name, words=str(said))
    if isinstance(said, str) and said.strip().casefold() in {outcome.value for outcome in Outcome}:
        return read._replace(outcome=Outcome(said.strip().casefold()), how=name, words=said)
    words = repr(said)[:300]
    reason = (
        f"the grader said {words}, which is neither True, False, None, a Grade nor one of {', '.join(o.value for o in Outcome)}"
    )
    return read._replace(outcome=None, how=name, reason=reason, words=words)


def load_grader(reference: str) -> Grader:
    """Return the grader that `reference` names, such as `my_file.py:grade`: a function, a grader, or a class without arguments.

    Its name carries a digest of the file, so that a run made by another version of it is not resumed. Raises SettingError where the
    file, the name or the function's arguments are not what is wanted.
    """
    if not is_reference(reference):
        raise SettingError(f"a grader is named as my_file.py:grade, and it is {reference!r}")
    found = load_object(reference, "grader")
    name = reference
    path = Path(reference.rpartition(":")[0])
    if path.is_file():
        name = f"{path.name}:{reference.rpartition(':')[2]}@{hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()}"
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise SettingError(f"the grader {reference} cannot be made: {type(error).__name__}: {error}") from error
    if not inspect.isroutine(found) and isinstance(found, Grader):
        return found
    if not callable(found):
        raise SettingError(f"the grader {reference} must be a function of text and problem, and it is {type(found).__name__}")
    return FunctionGrader(name, found)


def graded(grader: Grader | None, text: str, finish: Finish, problem: Problem, prompt: str = "") -> Grade:
    """Return the grade of `text` by `grader`, or by rule where there is none."""
    return grade(text, finish, problem, prompt) if grader is None else grader(text, finish, problem, prompt)
