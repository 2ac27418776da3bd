"""What can go wrong through no fault of ours, one class per situation.

    SoundnessError
    ├── TaskError          a task file, data set or world cannot be used as it is
    ├── ModelError         a model cannot be found, loaded or trusted
    │   ├── BrokenModelError  a model gives no numbers; it fails alone where others are audited beside it
    │   └── DivergedError     the loss of a training stopped being a number
    ├── FileError          a file cannot be read, is none that can be used, or cannot be written
    ├── RunError           a run folder is locked, damaged or belongs to other settings
    ├── MetricError        an unknown metric was asked for, or nothing could be scored
    ├── SettingError       an option has a value that makes no sense
    └── MissingPackage     an optional package is needed and absent

Every message says what was wanted, what was found and what to do. The command line prints the message alone and leaves with
`exit_code`; our own mistakes stay `AssertionError`. What a library raises on what a user handed in passes a `boundary`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

__all__ = [
    "BrokenModelError",
    "FileError",
    "MetricError",
    "MissingPackage",
    "ModelError",
    "RunError",
    "SettingError",
    "SoundnessError",
    "TaskError",
    "boundary",
    "describe",
    "near",
]


MOST_CHARACTERS = 2_000
"""Longest message: what was handed in may be quoted in it, and may be a megabyte long."""


class SoundnessError(Exception):
    """A situation the user can mend; `exit_code` is what the command line returns (3, error).

    A message of more than MOST_CHARACTERS loses its middle.
    """

    exit_code = 3

    def __init__(self, *parts: object) -> None:
        half = (MOST_CHARACTERS - 9) // 2
        long = (isinstance(part, str) and len(part) > MOST_CHARACTERS for part in parts)
        super().__init__(*(f"{str(p)[:half]} ... {str(p)[-half:]}" if cut else p for p, cut in zip(parts, long, strict=True)))


class TaskError(SoundnessError):
    """A task file, data set or world cannot be used as it is."""


class ModelError(SoundnessError):
    """A model cannot be found, loaded or trusted."""


class BrokenModelError(ModelError):
    """A model gives no numbers: NaN or infinities where log-probabilities were wanted. Others of the same run may go on."""

    def __init__(self, message: str, fingerprint: str) -> None:
        super().__init__(message)
        self.fingerprint = fingerprint
        """Of the model."""

    def __reduce__(self) -> tuple[type[BrokenModelError], tuple[str, str]]:
        return type(self), (str(self), self.fingerprint)  # it travels between processes


class DivergedError(ModelError):
    """The loss of a training stopped being a number."""


class FileError(SoundnessError):
    """A file cannot be read, is none that can be used, or cannot be written."""


class RunError(SoundnessError):
    """A run folder is locked, damaged or belongs to other settings."""


class MetricError(SoundnessError):
    """An unknown metric was asked for, or nothing could be scored."""


class SettingError(SoundnessError):
    """An option has a value that makes no sense."""


class MissingPackage(SoundnessError):
    """An optional package is needed and absent."""

    def __init__(self, package: str, purpose: str, install: str | None = None) -> None:
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed: pip install {install or package}")


def describe(error: BaseException, path: Path | None = None) -> str:
    r"""Return what was raised and where, in one line; the place is the last one within `path`, if given.

    >>> describe(ValueError("no\nsuch thing"))
    'ValueError: no'
    """
    lines = str(error).strip().splitlines() or ["no message"]
    said = f"{type(error).__name__}: {lines[0][:200]}"
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{said} (line {error.lineno})" if "line" not in lines[0] else said
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if path is None or frame.filename == str(path)]
    return f"{said} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else said


@contextmanager
def boundary(situation: str, advice: str, kind: type[SoundnessError]) -> Iterator[None]:
    """Turn whatever a library raises on what a user handed in into one short line: what happened, why, and what to do.

    The message is `situation (why): advice`; our own errors pass as they are, and so do interrupts. What was raised stays the cause,
    for those who ask to see it.
    """
    try:
        yield
    except SoundnessError:
        raise
    except Exception as error:
        raise kind(f"{situation} ({describe(error)}): {advice}") from error


def near(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the names closest to `name`, or "" where none is close.

    >>> near("info_gian", ["info_gain", "accuracy"])
    " (did you mean 'info_gain'?)"
    """
    found = get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(f) for f in found)}?)" if found else ""
