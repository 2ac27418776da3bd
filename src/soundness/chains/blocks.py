r"""Lines of a chain and what they are: text, headings, markup, and blocks that no step may be cut out of.

A unit is one or more whole lines that belong together: a fence of code, a table, a displayed formula with the line it stands in,
or one line of text. Units partition the text exactly.

>>> [(unit.kind.value, unit.of("We get\n\\[\n3 + 4 = 7\n\\]\n")) for unit in units("We get\n\\[\n3 + 4 = 7\n\\]\n", 0, 23)]
[('text', 'We get\n'), ('display', '\\[\n3 + 4 = 7\n\\]\n')]
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from soundness.answers.channels import FORMS

__all__ = ["Kind", "Unit", "is_item", "lines", "row_starts", "units"]


class Kind(StrEnum):
    """What a unit is."""

    TEXT = "text"
    """A line of words, with the formulas displayed in it."""
    HEADING = "heading"
    """A line that only says what comes next: "## Step 2", "We compute:", "3."."""
    OPEN = "open"
    """Markup that opens something: a tag, a lone fence."""
    CLOSE = "close"
    """Markup that closes something, or a rule across the page."""
    BLANK = "blank"
    """Nothing but white space."""
    FENCE = "fence"
    """A fence of code."""
    TABLE = "table"
    """A table."""
    DISPLAY = "display"
    """Displayed formulas and nothing else."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Whole lines that belong together."""

    start: int
    """First character."""
    stop: int
    """Character after the last, line end included."""
    kind: Kind
    """What it is."""
    displays: tuple[tuple[int, int], ...] = ()
    """Where formulas are displayed in it, in characters of the whole text."""

    def of(self, text: str) -> str:
        """Return what stands there in `text`."""
        return text[self.start : self.stop]


_LINE_END = re.compile(r"\r\n?|[\n\u2028\u2029]")
_FENCE = re.compile(r"[ \t>]*(?:[-*+•]\s+|[0-9]{1,3}[.)]\s+)?(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_MATH = (
    "equation|align|aligned|alignat|alignedat|flalign|gather|gathered|multline|eqnarray|split|math"
    "|cases|array|[bpvBV]?matrix|smallmatrix|tabular"
)
_DISPLAY = re.compile(rf"(?<!\\)\\\[|\$\$|\\begin\{{(?P<name>(?:{_MATH})\*?)\}}")
_DISPLAY_REACH = 4_000  # characters; a formula is shorter, and the search for a closing that never comes has to end
_TEXT_COMMAND = re.compile(r"\\(?:text[a-z]*|math[a-z]*|mbox|operatorname)\s*\{[^{}]*\}")
_WORDS = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{2,}\s+[a-zA-Z]{2,}")
"""Two words in a row: in a formula they stand in a text command."""
_ENVIRONMENT = re.compile(r"\\(?P<which>begin|end)\{[^{}\n]{0,40}\}(?:\[[^\]\n]{0,20}\]|\{[^{}\n]{0,20}\})?")
_SEPARATOR_ROW = re.compile(r"\|?(?:\s*:?-{2,}:?\s*\|)+(?:\s*:?-{2,}:?\s*)?\|?|\+(?:[-=]{2,}\+)+")
_RULE = re.compile(r"(?:[-*_=]\s?){3,}|[—─━═]{2,}|</?(?:hr|br|p|div|details|ol|ul|li|b|i|center)\s*/?>", re.IGNORECASE)
"""A line across the page, or a lone tag of HTML."""
_HASHES = re.compile(r"(?:#\s+|#{2,6}\s*)[^#\s].*")
_GSM8K = re.compile(
    r"####\s*(?![0-9]{1,2}[.)]\s+\S)(?:[-−+]?[$€£]?\s?[0-9].*|\(?[A-Za-z]\)?\.?|(?:yes|no|true|false)\.?)", re.IGNORECASE
)
"""The last line of a GSM8K solution states the answer; with those marks a heading has words."""
_MARKER_ALONE = re.compile(
    r"(?:[-*+•>]|[(\[]?(?:[0-9]{1,3}|[A-Za-z]|[ivx]{1,4})[.)\]:])?[\s*_#]*"
    r"(?:(?:step|part|case|schritt|étape|paso|шаг|ステップ|步骤)\s*(?:[0-9]{1,3}|[A-Z]|[ivx]{1,4})"
    r"|第[0-9一二三四五六七八九十]{1,3}步)?[\s*_.:：)\]]*",
    re.IGNORECASE,
)
"""Nothing but the marker of a list item or the number of a step; a lone number or letter needs its mark."""
_NUMBERED = re.compile(
    r"(?P<marker>[*_#\s]*(?:(?:step|part|schritt|étape|paso)\s*[0-9]{1,3}\s*[.:)–—-]*|[(\[]?[0-9]{1,3}[.)\]]\s)[*_\s]*)"
    r"(?P<title>.*)",
    re.IGNORECASE,
)
_BOLD = re.compile(r"[-*+•>\s]*(?:[0-9]{1,3}[.)]\s*)?(\*\*|__)(?P<title>[^*_\n]+)\1[\s:.：]*")
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?:[-*+•◦▪–—]|[(\[]?(?:[0-9]{1,3}|[A-Za-z]|[ivx]{1,4})[.)\]])\s+\S")
_ITEM_MARK = re.compile(r"^\s*(?:[-*+•]|[0-9]{1,3}[.)])\s")
_TITLE_LENGTH = 80  # characters; a longer line says something of its own


def _tags() -> tuple[str, str]:
    """Return patterns of the marks that open a thinking span and of those that close one or lead on to what is said."""
    opening = {part for form in FORMS.values() for part in form.opening.split("\n") if part and not part.isalpha()}
    closing = {part for form in FORMS.values() for part in form.closing.split("\n") if part and not part.isalpha()}
    by_length = [sorted(tags, key=len, reverse=True) for tags in (opening, closing)]
    patterns = ["|".join(map(re.escape, tags)) for tags in by_length]
    return patterns[0], patterns[1]


_OPENS, _CLOSES = _tags()
_TAG_OPEN = re.compile(rf"\s*(?:{_OPENS})\s*", re.IGNORECASE)
_TAG_CLOSE = re.compile(rf"\s*(?:(?:{_CLOSES}|<\|[a-z_]{{1,40}}\|>|</?(?:answer|solution)>)\s*)+", re.IGNORECASE)


def _lines(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """Return the lines of `text[begin:end]` as spans of characters, line ends included."""
    stops = [match.end() for match in _LINE_END.finditer(text, begin, end)]
    if not stops or stops[-1] < end:
        stops.append(end)
    starts = [begin, *stops[:-1]]
    return [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]


def _fences(text: str, lines: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the closed fences as spans of line numbers; one that is never closed would swallow all that follows."""
    marks = []
    for number, (start, stop) in enumerate(lines):
        # A line far longer than a fence's opening is not looked at.
        mark = _FENCE.match(text[start : min(stop, start + 200)].rstrip())
        if mark is not None:
            marks.append((number, mark["mark"], mark["info"].strip()))
    found = []
    never_closed: dict[str, int] = {}
    place = 0
    while place < len(marks):
        number, fence, _ = marks[place]
        closing = None
        if len(fence) < never_closed.get(fence[0], 1 << 30):
            closing = next(
                (later for later in range(place + 1, len(marks)) if marks[later][1].startswith(fence) and not marks[later][2]),
                None,
            )
        if closing is None:
            never_closed[fence[0]] = min(len(fence), never_closed.get(fence[0], len(fence)))
            place += 1
        else:
            found.append((number, marks[closing][0] + 1))
            place = closing + 1
    return found


def _displays(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where formulas are displayed in `text[begin:end]`: spans of characters, delimiters included, ascending and apart."""
    place = begin
    while (opening := _DISPLAY.search(text, place, end)) is not None:
        reach = min(end, opening.end() + _DISPLAY_REACH)
        if opening["name"] is not None:
            stop = text.find(f"\\end{{{opening['name']}}}", opening.end(), reach)
            length = len(f"\\end{{{opening['name']}}}")
        else:
            closing = "$$" if opening[0] == "$$" else "\\]"
            stop, length = text.find(closing, opening.end(), reach), 2
            inside = text[opening.end() : stop] if stop >= 0 else ""
            # Another opening inside means that the closing belongs to another formula, words between two $$ that it opens one.
            if re.search(r"(?<!\\)\\\[", inside) or (closing == "$$" and _WORDS.search(_TEXT_COMMAND.sub("", inside))):
                stop = -1
        if stop < 0:
            place = opening.end()
        else:
            yield opening.start(), stop + length
            place = stop + length


def _table_rows(text: str, lines: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the tables as spans of line numbers: two rows or more, set between bars or above a separator."""
    found = []
    run: list[int] = []
    barred = [_bars(text[start:stop].strip()) for start, stop in lines]
    for number in range(len(lines) + 1):
        if number < len(lines) and barred[number]:
            run.append(number)
            continue
        if len(run) >= 2:
            found.append((run[0], run[-1] + 1))
        run = []
    return found


def _bars(line: str) -> bool:
    """Return whether a line is a row of a table: it stands between bars, or it is a separator row."""
    return (len(line) > 1 and line[0] == line[-1] == "|" and line.count("|") >= 3) or _SEPARATOR_ROW.fullmatch(
        line[:400]
    ) is not None


def lines(text: str, begin: int, end: int) -> list[Unit]:
    """Return the lines of `text[begin:end]`, which partition it, each a unit of its own: no block, no heading."""
    return [
        Unit(start, stop, Kind.TEXT if (kind := _kind(text[start:stop], ())) is Kind.HEADING else kind)
        for start, stop in _lines(text, begin, end)
    ]


def units(text: str, begin: int, end: int) -> list[Unit]:
    """Return the units of `text[begin:end]`, which partition it."""
    rows = _lines(text, begin, end)
    fences = _fences(text, rows)
    tables = _table_rows(text, rows)
    kinds = {first: (last, Kind.FENCE) for first, last in fences}
    fenced = {number for first, last in fences for number in range(first, last)}
    kinds |= {first: (last, Kind.TABLE) for first, last in tables if first not in fenced}
    closed = [(rows[first][0], rows[last - 1][1]) for first, last in fences]
    starts = [start for start, _ in closed]

    def in_fence(place: int) -> bool:
        index = bisect_right(starts, place) - 1
        return index >= 0 and place < closed[index][1]

    displays = [span for span in _displays(text, begin, end) if not in_fence(span[0]) and not in_fence(span[1] - 1)]
    opened = [start for start, _ in displays]
    found: list[Unit] = []
    number = 0
    while number < len(rows):
        last, kind = kinds.get(number, (number + 1, Kind.TEXT))
        start, stop = rows[number][0], rows[last - 1][1]
        inside: list[tuple[int, int]] = []
        if kind is Kind.TEXT:
            index = bisect_left(opened, start)
            while index < len(displays) and displays[index][0] < stop:
                inside.append(displays[index])
                while stop < displays[index][1]:
                    stop = rows[last][1]
                    last += 1
                index += 1
            kind = _kind(text[start:stop], [(first - start, second - start) for first, second in inside])
        found.append(Unit(start, stop, kind, tuple(inside)))
        number = last
    return _with_titles(text, found)


def _kind(line: str, displays: Sequence[tuple[int, int]]) -> Kind:
    """Return what a line, or a few lines held together by a displayed formula, is by itself."""
    bare = line.strip()
    if not bare:
        return Kind.BLANK
    if displays:
        gaps = pairwise([(0, 0), *displays, (len(line), len(line))])
        outside = "".join(line[before[1] : after[0]] for before, after in gaps)
        return Kind.TEXT if re.search(r"\w", _ITEM_MARK.sub("", outside, count=1)) else Kind.DISPLAY
    if len(bare) > 400 or (len(bare) > 24 and bare[0].isalnum() and bare[-1] not in ":：*_"):
        return Kind.TEXT  # longer than any markup, or plain words: most lines of most chains, and the rest is slow
    if _TAG_OPEN.fullmatch(bare):
        return Kind.OPEN
    if _TAG_CLOSE.fullmatch(bare) or _RULE.fullmatch(bare) or _SEPARATOR_ROW.fullmatch(bare):
        return Kind.CLOSE
    if bare in ("\\]", "\\)", "$$"):
        return Kind.CLOSE
    environment = _ENVIRONMENT.fullmatch(bare)
    if environment is not None:
        return Kind.OPEN if environment["which"] == "begin" else Kind.CLOSE
    if bare in ("\\[", "\\("):
        return Kind.OPEN
    fence = _FENCE.match(bare)
    if fence is not None:
        return Kind.OPEN if fence["info"].strip() else Kind.CLOSE
    return Kind.HEADING if _is_heading(bare) else Kind.TEXT


def _is_heading(line: str) -> bool:
    """Return whether a line only says what comes next, and holds no result of its own."""
    if "=" in line or _GSM8K.fullmatch(line):
        return False
    if _HASHES.fullmatch(line):
        return True
    if _MARKER_ALONE.fullmatch(line):
        return re.search(r"\w", line) is not None or line in ("-", "*", "+", "•", ">")
    if re.search(r"[:：][\s*_]*$", line):
        # "We compute:" leads on; "He has three. She takes two. Then:" says something first.
        return len(line) < 2 * _TITLE_LENGTH and not re.search(r"[.!?]\s+\S|[。！？]", _ITEM_MARK.sub("", line, count=1))
    bold = _BOLD.fullmatch(line)
    return (
        bold is not None
        and len(line) <= _TITLE_LENGTH
        and not re.search(r"\d", re.sub(r"^[^\W\d_]*\s*\d{1,3}\b", "", bold["title"].strip()))
    )


def is_item(text: str, start: int) -> bool:
    """Return whether the line that starts at `start` is an item of a list."""
    return _ITEM.match(text, start) is not None


def _with_titles(text: str, found: Sequence[Unit]) -> list[Unit]:
    """Return the units with numbered titles ("Step 2: Add them up", "1. Add them up") told from numbered steps.

    A title is short, has no number of its own and no full stop, and what follows it is no numbered line. Where numbered lines follow
    each other, they are the steps.
    """
    heads = [text[unit.start : unit.start + 2 * _TITLE_LENGTH] for unit in found if unit.kind is not Kind.BLANK]
    numbers = [_NUMBERED.match(head) is not None for head in heads]
    if not any(numbers) or any(one and other for one, other in pairwise(numbers)):
        return list(found)
    made = list(found)
    following: str | None = None
    for index in range(len(found) - 1, -1, -1):
        unit = found[index]
        if unit.kind is Kind.BLANK:
            continue
        line = unit.of(text).strip() if unit.stop - unit.start <= 2 * _TITLE_LENGTH else None
        if unit.kind is Kind.TEXT and line is not None and following is not None and len(line) <= _TITLE_LENGTH:
            numbered = _NUMBERED.fullmatch(line)
            if (
                numbered is not None
                and numbered["title"]
                and not re.search(r"\d|[.!?=。！？]\s*$|=", numbered["title"])
                and _NUMBERED.match(following) is None
                and _ITEM.match(following) is None
            ):
                made[index] = Unit(unit.start, unit.stop, Kind.HEADING, unit.displays)
        following = text[unit.start : min(unit.stop, unit.start + 2 * _TITLE_LENGTH)].strip()
    return made


# --- rows of a displayed formula --------------------------------------------------------------------------------------

_ROW_MARK = re.compile(r"\\begin\{[^{}\n]{0,40}\}|\\end\{[^{}\n]{0,40}\}|\\\\(?:\[[^\]\n]{0,20}\])?[ \t]*\n?|\n")
_RELATION = re.compile(r"(?<![<>!:])=|\\(?:approx|le|ge|leq|geq|lt|gt|equiv|implies|Rightarrow|in)(?![a-zA-Z])|[<>≤≥≈]")
_ALIGNED = re.compile(r"\\begin\{(?:align|aligned|alignat|alignedat|gather|gathered|eqnarray|split|flalign|multline)\*?\}")
_GRID = re.compile(r"\\begin\{(?:cases|array|[bpvBV]?matrix|smallmatrix|tabular)\*?\}")


def row_starts(text: str, begin: int, end: int) -> Iterator[int]:
    r"""Yield where further rows of the displayed formula `text[begin:end]` start, each a relation of its own.

    Rows end at `\\`, or at a line end where there is no such mark; matrices and case distinctions are not cut.

    >>> text = "\\begin{aligned}\n3 + 4 &= 7 \\\\\n7 \\cdot 2 &= 14\n\\end{aligned}"
    >>> [text[place:] for place in row_starts(text, 0, len(text))]
    ['7 \\cdot 2 &= 14\n\\end{aligned}']
    """
    marks = list(_ROW_MARK.finditer(text, begin, end))
    by_line = not any(mark[0].startswith("\\\\") for mark in marks)
    depth = 0
    row = begin
    places = []
    for mark in marks:
        if _GRID.fullmatch(mark[0]):
            depth += 1
        elif mark[0].startswith("\\end"):
            depth = max(depth - 1, 0) if re.search(r"cases|array|matrix|tabular", mark[0]) else depth
        elif depth == 0 and (mark[0] == "\n") == by_line and not mark[0].startswith("\\begin"):
            if _RELATION.search(text, row, mark.start()):
                places.append(mark.end())
                row = mark.end()
    if places and not _RELATION.search(text, places[-1], end):
        places.pop()
    yield from places
