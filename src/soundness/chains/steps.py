r"""Steps of a chain: token spans that join back to the chain exactly.

A splitter looks at the text alone and says where steps begin; tokens then follow. The blank in front of a word starts the new
step, because tokenizers write it into the word's token; a newline ends the old one. Displayed formulas, fences of code, tables and
headings belong to a step and are none by themselves, and no step spans thinking and what is said after it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from statistics import median

from soundness.answers.channels import split_channels
from soundness.answers.mentions import answer_key, states
from soundness.chains.blocks import Kind, Unit, is_item, lines, row_starts, units
from soundness.chains.sentences import equation_starts, has_equation, link_starts, sentence_starts
from soundness.errors import SettingError, near
from soundness.records import Problem, Span

__all__ = ["SPLITTERS", "answer_key", "answer_step", "split_steps", "spans_at", "states", "step_texts"]

SHORT_LINE = 200
"""`auto` takes lines for steps where their median length is below this many characters, and cuts longer ones into sentences."""

FEW_LINES = 3
"""`auto` cuts lines into sentences where there are fewer than this: one line of reasoning and one that states the answer."""

_WRAPPED = 60
"""A line at least this long whose sentence goes on in the next one was wrapped: text is wrapped at 70 to 120 columns."""

_INDENTED = re.compile(r"[ \t]{2,}(?![-*+•◦▪–—]\s|[(\[]?(?:[0-9]{1,3}|[A-Za-z])[.)\]]\s)\S")
"""A line that goes on with the list item above it."""


_MARKUP = (Kind.BLANK, Kind.CLOSE, Kind.OPEN)
_PLAIN_FENCE = re.compile(
    r"\s*(?:`{3,}|~{3,})[ \t]*(?:text|txt|plaintext|math|latex|tex|markdown|md)?[ \t]*\r?\n", re.IGNORECASE
)


class _Group:
    """The units of one step before it is cut further."""

    def __init__(self, unit: Unit) -> None:
        self.units = [unit]
        self.first: Unit | None = None
        self.last: Unit | None = None
        self.words = False
        self.waiting = True
        """Whether nothing but markup and headings came so far."""
        self._take(unit)

    def add(self, unit: Unit) -> None:
        self.units.append(unit)
        self._take(unit)

    def _take(self, unit: Unit) -> None:
        if unit.kind in _MARKUP:
            return
        self.first = self.first or unit
        self.last = unit
        self.words = self.words or unit.kind in (Kind.TEXT, Kind.HEADING)
        self.waiting = unit.kind is Kind.HEADING


def _grouped(text: str, found: Sequence[Unit], belongs: Callable[[str, _Group, Unit], bool]) -> list[_Group]:
    """Return the units in groups, one for each step: markup and headings go with what they open or close."""
    groups: list[_Group] = []
    for unit in found:
        if not groups:
            groups.append(_Group(unit))
        elif unit.kind in (Kind.BLANK, Kind.CLOSE) or groups[-1].waiting or belongs(text, groups[-1], unit):
            groups[-1].add(unit)
        else:
            groups.append(_Group(unit))
    if len(groups) > 1 and groups[-1].first is None:
        trailing = groups.pop()
        for unit in trailing.units:
            groups[-1].add(unit)
    return groups


def _belongs(text: str, group: _Group, unit: Unit) -> bool:
    """Return whether `unit` goes on with the step of `group`, which has said something already."""
    last = group.last
    assert last is not None
    if unit.kind is Kind.OPEN or unit.kind is Kind.HEADING:
        return False
    if unit.kind is Kind.FENCE or unit.kind is Kind.TABLE:
        return True
    said = text[unit.start : unit.stop].lstrip()[:1]
    if unit.kind is Kind.DISPLAY:
        if last.kind is Kind.TEXT:
            # A whole sentence with an equation of its own is a step; any other leads to the formula.
            return not (has_equation(last.of(text)) and last.of(text).rstrip()[-1:] in tuple(".!?。"))
        return not re.search(r"[0-9=<>]", unit.of(text))
    if not group.words:
        # A table that nothing leads to belongs to what is said of it.
        return last.kind is Kind.TABLE or (last.kind is Kind.FENCE and not _worked_lines(text, last))
    behind_display = last.kind is Kind.DISPLAY or (
        last.displays and not re.search(r"\w", text[last.displays[-1][1] : last.stop])
    )
    if behind_display and (said.islower() or said in tuple(",;.")):
        return not has_equation(unit.of(text))
    if group.units[-1].kind is not Kind.TEXT:
        return False
    line = text[max(text.rfind("\n", last.start, last.stop - 1) + 1, last.start) : last.stop].rstrip()
    if len(line) >= _WRAPPED and said.islower() and line[-1] not in ".!?:;。！？：；" and not is_item(text, unit.start):
        return True
    if group.first is not None and is_item(text, group.first.start) and _INDENTED.match(text, unit.start):
        return not (has_equation(unit.of(text)) and any(has_equation(part.of(text)) for part in group.units[-2:]))
    return False


def _text_runs(group: _Group) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield (start, stop, displays) of each stretch of words in a group."""
    run: list[Unit] = []
    for unit in [*group.units, None]:
        if unit is not None and unit.kind is Kind.TEXT:
            run.append(unit)
        elif run and (unit is None or unit.kind is not Kind.BLANK):
            yield run[0].start, run[-1].stop, [display for part in run for display in part.displays]
            run = []


def _block_starts(text: str, group: _Group) -> Iterator[int]:
    """Yield where further steps start within the displayed formulas and plain fences of a group: one for each equation."""
    for unit in group.units:
        for start, stop in unit.displays:
            yield from row_starts(text, start, stop)
        if unit.kind is Kind.FENCE:
            yield from (line.start for line in _worked_lines(text, unit)[1:])


def _worked_lines(text: str, fence: Unit) -> list[Unit]:
    """Return the lines in a fence that holds worked equations and no code, or nothing."""
    if not _PLAIN_FENCE.match(text, fence.start):
        return []
    inside = [line for line in lines(text, fence.start, fence.stop)[1:] if line.kind is Kind.TEXT]
    return inside if all(has_equation(line.of(text)) for line in inside) else []


def _line_starts(text: str, begin: int, end: int) -> Iterator[int]:
    """Yield where lines that say something start."""
    for group in _grouped(text, lines(text, begin, end), lambda text, group, unit: False):
        yield group.units[0].start


def _sentence_starts(text: str, begin: int, end: int) -> Iterator[int]:
    """Yield where sentences start; a line end ends one, unless it lies within a block or a wrapped sentence."""
    for group in _grouped(text, units(text, begin, end), _belongs):
        yield group.units[0].start
        yield from _block_starts(text, group)
        for start, stop, displays in _text_runs(group):
            yield from sentence_starts(text, start, stop, displays)


def _auto_starts(text: str, begin: int, end: int) -> Iterator[int]:
    """Yield where lines start in a text of short lines, sentences otherwise; each worked equation of a line is a step."""
    groups = _grouped(text, units(text, begin, end), _belongs)
    lengths = [stop - start for group in groups for start, stop, _ in _text_runs(group)]
    in_sentences = sum(group.first is not None for group in groups) < FEW_LINES or (lengths and median(lengths) >= SHORT_LINE)
    for group in groups:
        yield group.units[0].start
        yield from _block_starts(text, group)
        for start, stop, displays in _text_runs(group):
            whole = in_sentences or stop - start >= SHORT_LINE
            sentences = [start, *(sentence_starts(text, start, stop, displays) if whole else ()), stop]
            for first, last in pairwise(sentences):
                if first > start:
                    yield first
                if not displays:
                    equations = [first, *equation_starts(text, first, last), last]
                    yield from equations[1:-1]
                    if whole:
                        for one, other in pairwise(equations):
                            yield from link_starts(text, one, other)


SPLITTERS: dict[str, Callable[[str, int, int], Iterator[int]]] = {
    "auto": _auto_starts,
    "lines": _line_starts,
    "sentences": _sentence_starts,
}
"""Name -> function of a text and a range in it to the characters where steps start, the range's start among them."""


def _regions(text: str) -> list[tuple[int, int]]:
    """Return `text` cut where it goes from speech to thinking and back; tags go with the region that they open or close."""
    channels = split_channels(text)
    cuts = {0, len(text)}
    if channels.thinking is not None:
        if channels.before.stop > channels.before.start:
            cuts.add(channels.before.stop + len(text[channels.before.stop :]) - len(text[channels.before.stop :].lstrip()))
        if channels.said.stop > channels.said.start:
            cuts.add(channels.said.start)
    return list(pairwise(sorted(cuts)))


def spans_at(pieces: Sequence[str], starts: Sequence[int]) -> tuple[Span, ...]:
    r"""Return the token spans whose steps start at the characters `starts` (in any order; 0 is always one).

    They partition `[0, len(pieces))`. A token that straddles a start belongs to the earlier step; a step left with blanks only
    joins the one before it (the first one: the one after it).

    >>> spans_at(["a b", "\n", "c"], [0, 4])
    (Span(start=0, stop=2), Span(start=2, stop=3))
    """
    if not pieces:
        return ()
    offsets = [0, *accumulate(len(piece) for piece in pieces)]
    cuts = sorted({bisect_left(offsets, start, 0, len(pieces)) for start in starts} | {0})
    filled = [begin for begin, end in pairwise([*cuts, len(pieces)]) if "".join(pieces[begin:end]).strip()]
    return tuple(Span(begin, end) for begin, end in pairwise([0, *filled[1:], len(pieces)]))


def split_steps(pieces: Sequence[str], splitter: str = "auto") -> tuple[Span, ...]:
    r"""Return the steps of a chain as token spans that partition `[0, len(pieces))` exactly.

    `pieces` holds one string per token. `lines`: one step for each line that is not blank. `sentences`: one for each sentence; a
    line end ends one. `auto`: lines where there are at least `FEW_LINES` and their median length is below `SHORT_LINE` characters,
    sentences otherwise; a line with several worked equations is cut between them, and a chain of equals signs at its links where
    sentences count. In all of them blank lines, thinking tags, delimiters and rules go with the line they close or open; in
    `sentences` and `auto` a heading opens the step after it, a fence of code, a table or a displayed formula goes with the text
    that leads to it, and each row of an aligned formula is a step. What is thought and what is said are cut apart. No step is
    blank, unless the whole text is. Raises `SettingError` for an unknown splitter.

    >>> split_steps(["2", " +", " 2", " =", " 4", "\n", "Answer", ":", " 4"])
    (Span(start=0, stop=6), Span(start=6, stop=9))
    >>> split_steps(["It", " is", " 3.5", ".", " So", " yes", "."])
    (Span(start=0, stop=4), Span(start=4, stop=7))
    """
    if splitter not in SPLITTERS:
        known = ", ".join(SPLITTERS)
        raise SettingError(f"unknown splitter {splitter!r}{near(splitter, SPLITTERS)}: choose one of {known}")
    text = "".join(pieces)
    return spans_at(pieces, [start for begin, end in _regions(text) for start in SPLITTERS[splitter](text, begin, end)])


def step_texts(pieces: Sequence[str], steps: Sequence[Span]) -> tuple[str, ...]:
    """Return the text of each step; joined, the chain's text."""
    return tuple("".join(pieces[step.start : step.stop]) for step in steps)


def answer_step(texts: Sequence[str], answer: str | None, problem: Problem | None = None) -> int | None:
    """Return the index of the first step that states `answer`, or None where none does or there is no answer.

    `texts` holds the text of each step; `problem` brings the choices.

    >>> answer_step(["7 + 4 = 11", "11 - 2 = 9", "Answer: 9"], "9")
    1
    """
    if answer is None:
        return None
    choices = problem.choices if problem is not None else None
    return next((index for index, text in enumerate(texts) if states(text, answer, choices)), None)
