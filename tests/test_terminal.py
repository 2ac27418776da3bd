from __future__ import annotations

import io
import logging
import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.progress import Progress, TextColumn
from rich.table import Table
from rich.text import Text

from soundness.terminal import console, notes_on_terminal, say, short, visible

HOSTILE = [
    "\x1b[2J\x1b[H",  # clears the screen
    "\x1b]0;a title\x07",  # names the window
    "\x1b]52;c;Y29weQ==\x07",  # puts text into the clipboard
    "\x1b]8;;http://example.test\x1b\\link\x1b]8;;\x1b\\",  # a link
    "\x9b31mred\x9b0m",  # the same in one byte of C1
    "line\rover it",
    "\u202eesrever",
    "zero\u200bwidth",
    "half \ud800",
    "\x08\x08\x08",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_hostile_reaches_the_terminal_by_any_way(text: str) -> None:
    out = StringIO()
    shown = console(file=out, width=60, force_terminal=True, color_system=None)
    shown.print(text)
    shown.print(f"[bold]{text}[/red]", style="red")
    shown.print(Text(text))
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    table.add_row(Text(text))
    shown.print(table)
    with Progress(TextColumn("{task.description}", markup=False), console=shown, disable=False) as progress:
        progress.add_task(text, total=1)
    say(text, out)
    written = re.sub(r"\x1b\[(\?25[lh]|\d*[AK]|[12]K)", "", out.getvalue())  # Rich's own: the cursor of a progress display
    left = set(re.findall(r"[^\x20-\x7e\n\r\u2400-\u243f\u2500-\u257f]", written))
    assert not left and "\x1b" not in written, left
    assert "\r" not in text or "\u240d" in written


def test_markup_and_emoji_codes_are_text() -> None:
    out = StringIO()
    shown = console(file=out, width=80)
    shown.print("[/red] [link=file:///etc/passwd]a[/link] :smile: [bold]b")
    table = Table(title="[/n]")
    table.add_column("[/a]")
    table.add_row("[/b]")
    shown.print(table)
    for wanted in ("[/red] [link=file:///etc/passwd]a[/link] :smile: [bold]b", "[/n]", "[/a]", "[/b]"):
        assert wanted in out.getvalue()


def test_a_table_stays_straight() -> None:
    out = StringIO()
    table = Table("name", "number")
    table.add_row("plain", "1")
    table.add_row("\x1b[31m\u202e\u202e\u202e", "2")
    console(file=out, width=40).print(table)
    lines = out.getvalue().splitlines()
    assert len({len(line) for line in lines}) == 1, lines


@given(st.text())
def test_ordinary_text_is_left_alone_and_once_is_enough(text: str) -> None:
    assert visible(visible(text)) == visible(text)
    assert visible("aé漢 \n\t🙂 [x]") == "aé漢 \n\t🙂 [x]"


def test_a_long_message_keeps_its_two_ends() -> None:
    out = StringIO()
    say("begin" + "x" * 1_000_000 + "end", out)
    assert len(out.getvalue()) < 2_100 and out.getvalue().startswith("begin") and out.getvalue().endswith("end\n")
    say("x" * 5_000, out, most=None)
    assert len(out.getvalue()) > 5_000
    assert short("short") == "short"


def test_a_stream_that_lacks_a_letter_gets_an_escape() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    say("naïve 漢", stream)
    assert raw.getvalue() == b"na\\xefve \\u6f22\n"


def test_notes_are_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("soundness")
    before = list(logger.handlers)
    try:
        logger.handlers.clear()
        notes_on_terminal()
        notes_on_terminal()
        logger.getChild("models").warning("%s is read plain", "a\x1b[2Jmodel")
        assert capsys.readouterr().err == "note: a\u241b[2Jmodel is read plain\n"
    finally:
        logger.handlers[:] = before
