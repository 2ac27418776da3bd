"""What is shown on a terminal: nothing that a model, a file or a name holds can take it over.

Text from outside may hold escape sequences, which move the cursor, rename the window or put something into the clipboard, characters
that turn the text around them, and what Rich would read as markup. All that is printed goes through here.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "notes_on_terminal", "say", "short", "visible"]

MOST_CHARACTERS = 2_000
"""Longest message; a library's own may quote a whole file."""

# Characters that show nothing, or turn the text around them: written out, so that nobody is fooled by them. The first ranges hold
# ESC, which begins a terminal's sequences, and its one-character relatives.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return `text` with control, zero-width and direction characters written out, and lone surrogates too.

    >>> visible("a\x00b\u202ec"), visible("line\n\ttab"), visible("\x1b]0;title\x07")
    ('a\u2400b[U+202E]c', 'line\n\ttab', '\u241b]0;title\u2407')
    """
    return _UNSEEN.sub(lambda found: _name(found.group()), text)


def _name(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"[U+{code:04X}]"


def short(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return `text` with its middle left out where it has more than `most` characters.

    >>> short("x" * 50, 20)
    'xxxxx ... xxxxx'
    """
    half = (most - 9) // 2
    return text if len(text) <= most else f"{text[:half]} ... {text[-half:]}"


def say(text: str, file: TextIO | None = None, *, most: int | None = MOST_CHARACTERS) -> None:
    """Print one message, made harmless and, unless `most` is None, short, on standard error or on `file`.

    What the stream's encoding lacks is written as an escape.
    """
    stream = sys.stderr if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line = visible(text if most is None else short(text, most)) + "\n"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def notes_on_terminal() -> None:
    """Have what this package notes while it works (its logger, warnings and above) said on standard error, one line each."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(f"note: {record.getMessage()}")

    logger = logging.getLogger("soundness")
    if not logger.handlers:
        logger.addHandler(Handler(logging.WARNING))


def console(**options: Any) -> Console:
    """Return a Rich console that shows texts as they are, markup and emoji codes included, and made harmless.

    Tables are laid out first and made harmless cell by cell, so that their lines stay straight. `options` are Rich's.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Harmless(Console):
        def render(self, renderable: Any, options: Any = None) -> Any:
            for segment in super().render(renderable, options):
                if segment.control:  # Rich's own, which moves the cursor of a progress display
                    yield segment
                else:
                    yield Segment(visible(segment.text), segment.style)

    return Harmless(**{"highlight": False, "markup": False, "emoji": False, **options})
