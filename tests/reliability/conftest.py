"""What the attacks share: an attack may be refused in one short line or survive, and nothing else."""

from __future__ import annotations

import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from soundness.errors import SoundnessError

PATIENCE = 60.0
"""Seconds that one attack may take."""

LONGEST_MESSAGE = 2_000
"""What `soundness.terminal.say` prints of a message; one that is longer has lost its middle there."""


class Attacks:
    """Counts what became of attacks, and keeps what should not have been."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.causes: dict[str, str] = {}

    def tried(self, what: str, action: Callable[[], Any]) -> Any:
        """Return what `action` returns, or None where it was refused; notes any other end under its cause."""
        try:
            with _alarm():
                result = action()
        except SoundnessError as error:
            message = str(error)
            self.counts["refused"] += 1
            if len(message) > LONGEST_MESSAGE or not message.strip():
                self._note(f"a message of {len(message)} characters from {_place(error)}", what)
            return None
        except (Exception, Hang) as error:
            self._note(f"{type(error).__name__} in {_place(error)}: {str(error)[:120]!r}", what)
            return None
        self.counts["survived"] += 1
        return result

    def _note(self, cause: str, what: str) -> None:
        self.counts["failed"] += 1
        self.causes.setdefault(cause, what[:300])

    def finish(self, tried: int) -> None:
        """Say what was tried, and fail where anything ended as it should not."""
        told = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        print(f"\n{tried} tried: {told}")  # noqa: T201  for docs/reliability.md, with -s
        assert not self.causes, f"{told}\n" + "\n".join(f"{cause}\n    {what}" for cause, what in self.causes.items())


class Hang(BaseException):
    """An attack that takes longer than PATIENCE."""


@contextmanager
def _alarm() -> Iterator[None]:
    """Raise Hang in what takes longer than PATIENCE, where the system can."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/soundness/" in frame.filename]
    return f"{frames[-1].filename.rpartition('/soundness/')[2]}:{frames[-1].lineno}" if frames else "a library"


@pytest.fixture
def attacks() -> Attacks:
    return Attacks()


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one bit changed."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]
