r"""The reasoning in one chain, in one reader's vocabulary: what stands before the chain states its answer.

Steps 0..K-1 are the chain's reasoning, the *body*. It is cut at the character where the closing begins ("Answer: 18", ", so the
answer is 18"): restating an answer carries nothing towards it, and a chain that does nothing else has no steps.

Of a chain that thinks before it speaks, either is the body: what is thought, with the span closed before the answer is asked for, or
what is said, behind the thinking as it was written. What the *reader's* prompt opens decides what has to be opened and closed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal, get_args

from soundness.answers.channels import Channels, Stretch, open_form, split_channels
from soundness.chains.closing import Closing, find_closing, said_region, short_report
from soundness.chains.steps import answer_step, step_texts
from soundness.errors import SettingError, near
from soundness.models.base import Model
from soundness.records import Chain, Problem, Prompt, Span

__all__ = ["CHANNELS", "Body", "Channel", "Stated", "body_of", "check_channel"]

Channel = Literal["auto", "thinking", "visible", "both"]
"""Which part of a chain is measured: what is thought, what is said, both as one, or what is thought if it holds anything (`auto`)."""

CHANNELS: tuple[Channel, ...] = get_args(Channel)


@dataclass(frozen=True)
class Stated:
    """The answer as the chain itself states it, and the words that lead to it."""

    lead_in: str
    """What stands between the end of the body and the answer, a thinking span closed, without the blank in front of the answer; empty
    where the answer is the result of the body's last equation."""
    answer: str
    """The answer as written, with the blank in front of it."""
    end: str
    """The character behind it, or nothing at the end of the text."""
    span: Stretch
    """Where the answer stands in the chain's text, in characters."""
    tokens: Span | None
    """Where it stands in the chain's ids; None for a reader of another vocabulary."""
    closes: bool = False
    """Whether `lead_in` closes a thinking span."""


@dataclass(frozen=True)
class Body:
    """The reasoning of one chain in one vocabulary."""

    chain: Chain
    """The chain cut down to its body: ids, text and steps; `answer_step` is the first step that states the target."""
    pieces: tuple[str, ...]
    """One string per id."""
    head: tuple[int, ...]
    """Ids between the reader's prompt and the body: what opens a thinking span or was thought before what is said, or nothing."""
    close: tuple[int, ...]
    """Ids that close a thinking span before the cue, or nothing."""
    cue: tuple[int, ...] = ()
    """Ids of the cue that asks for the answer, without the line ends that `close` brings already."""
    channel: Channel = "visible"
    """What the body is a part of: `thinking`, `visible` or `both`."""
    stated: Stated | None = None
    """The answer as the chain states it outright, or None where it does not."""
    answer_first: bool = False
    """Whether the chain states its answer outright before its steps."""
    model: Model | None = field(default=None, repr=False, compare=False)
    """Whose vocabulary the ids are in."""

    @cached_property
    def num_steps(self) -> int:
        """K, the number of steps."""
        return len(self.chain.steps)

    def around(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return what stands between the prompt and the cue with `ids` in place of the body: a span opened before, closed behind."""
        return (*self.head, *self._without_blanks(ids), *self.close)

    def led(self, ids: Sequence[int]) -> tuple[int, ...] | None:
        """Return what stands between the prompt and the answer with `ids` in place of the body, in the chain's own closing words.

        None where the chain has none: it states nothing outright, or its answer is the result of its last equation.
        """
        if self.stated is None or not self.stated.lead_in or self.model is None:
            return None
        kept = self._without_blanks(ids) if self.stated.closes else tuple(ids)
        words = self.stated.lead_in
        if tuple(ids) != self.chain.ids:
            # The closing goes on with the body's own last sentence; behind any other text its comma would be a second one.
            tail = self.model.decode(kept[-1:]) if kept else "\n"
            bare = words.lstrip(" \t\n,;，；")
            if not tail.strip() or tail.endswith("\n"):
                words = bare
            elif tail.rstrip()[-1:] in ",;.:!?，；。！？" and words[:1] in ",;，；":
                words = f" {bare}"
        return (*self.head, *kept, *self.model.encode(words))

    def _without_blanks(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Return `ids` without the white space at their end where a closing brings its own."""
        kept = tuple(ids)
        if not self.close or self.model is None:
            return kept
        while kept:
            piece = self.model.decode(kept[-1:])
            bare = piece.rstrip()
            if bare == piece:
                break
            kept = kept[:-1]
            if bare:
                return (*kept, *self.model.encode(bare))
        return kept


def check_channel(channel: str) -> None:
    """Raise `SettingError` where `channel` names no part of a chain."""
    if channel not in CHANNELS:
        raise SettingError(f"unknown part of a chain {channel!r}{near(channel, CHANNELS)}: choose one of {', '.join(CHANNELS)}")


def body_of(
    chain: Chain,
    problem: Problem,
    model: Model,
    *,
    own_ids: bool = True,
    prompt: Prompt | None = None,
    channel: str = "auto",
    cue: str = "",
) -> Body:
    """Return the reasoning in `chain`, in the vocabulary of `model`.

    With `own_ids` the generated ids are kept; without (another vocabulary) each step's text is encoded, so that steps stay what
    they were. `prompt` is what the reader is shown, by default what the writer was. `channel` says what is measured: what is thought
    (`thinking`), what is said (`visible`), both as one span (`both`), or what is thought where that holds anything and what is said
    otherwise (`auto`). `cue` is the task's. Raises `SettingError` for an unknown channel.
    """
    check_channel(channel)
    channels, shown = _channels(chain)
    reader = _Reader(chain, model, channels, own_ids, chain.prompt.text if prompt is None else prompt.text, shown)
    thought = channels.thinking is not None and not is_trivial(channels.thinking.of(chain.text), problem)
    measured: Channel
    if channel == "thinking" or (channel == "auto" and thought):
        measured = "thinking"
    elif channel == "both" and channels.thinking is not None:
        measured = "both"
    else:
        measured = "visible"
    said = said_region(channels)
    closing = _closing(chain.text, said, channels, problem, chain.answer)
    spoken = Stretch(said.start, said.stop if closing is None else min(closing.start, said.stop))
    inside = (
        _closing_inside(chain.text, channels, problem)
        if measured == "thinking" or channels.said.start == channels.said.stop
        else None
    )
    if measured == "visible":
        ranges = [spoken]
    else:
        thinking = channels.thinking or Stretch(said.start, said.start)
        ranges = [Stretch(thinking.start, inside.start if inside is not None else thinking.stop)]
        if measured == "both" and spoken.stop > spoken.start:
            ranges = [thinking, spoken]
    ids, steps = reader.steps(ranges)
    pieces = tuple(model.pieces(ids))
    texts = step_texts(pieces, steps)
    target = problem.answer if problem.answer is not None else chain.answer
    head, close = reader.surroundings(measured, ranges[0].start, thought, inside=channel == "auto")
    final = closing if closing is not None else inside
    return Body(
        chain=replace(
            chain,
            ids=ids,
            text="".join(pieces),
            steps=steps,
            step_texts=texts,
            answer_step=answer_step(texts, target, problem),
            conclusion=None,
        ),
        pieces=pieces,
        head=head,
        close=tuple(model.encode(close)) if close else (),
        cue=tuple(model.encode(cue.lstrip("\n") if close.endswith("\n") else cue)) if cue else (),
        channel=measured,
        stated=reader.stated(final, close, inside_thinking=closing is None) if final is not None else None,
        answer_first=_answer_first(measured, closing, inside),
        model=model,
    )


def _answer_first(measured: Channel, closing: Closing | None, inside: Closing | None) -> bool:
    """Return whether the measured part states its answer before its steps."""
    ours = inside if measured == "thinking" else closing
    return ours is not None and ours.answer_first


# --- what is thought and what is said -----------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W\d_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_MUCH_THOUGHT = 60
"""Words from which on a thought is reasoning whatever it says; in scripts without blanks, characters."""
_NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million half twice double triple plus minus times".split()
)
_COMMON = frozenset(
    # Words of a question that a thought without content shares with it: "Let me answer the question", "I will find the number".
    "about answer asked asking calculate careful choose correct determine each exactly figure find first following from give given "
    "have here how into just know letter like make many much need number okay only option options please problem question read right "
    "simple solution solve some start step steps sure that their them then there these they think this total using want well what "
    "when where which will with work would write your".split()
)


def is_trivial(thought: str, problem: Problem) -> bool:
    """Return whether a thought holds no reasoning about `problem`: it is short, has no number and touches nothing of the question.

    >>> problem = Problem("1", "Tom has 3 apples and buys 4. How many apples?", "7")
    >>> is_trivial("Okay, let me think this through.", problem), is_trivial("3 and 4 make 7.", problem)
    (True, False)
    """
    words = [word.casefold() for word in _WORD.findall(thought)]
    length = len(words) + len(_CJK.findall(thought))
    if length >= _MUCH_THOUGHT or re.search(r"\d", thought):
        return False
    if sum(word in _NUMBER_WORDS for word in words) >= 2:
        return False
    if _CJK.search(thought):
        asked = set(_CJK.findall(problem.question))
        return length < 8 or len(asked & set(_CJK.findall(thought))) < 4
    topic = " ".join([problem.question, *(problem.choices or ()), problem.answer_text or "", *problem.context])
    topical = {word.casefold() for word in _WORD.findall(topic) if len(word) > 3} - _COMMON
    return len(topical & set(words)) < 2


def _channels(chain: Chain) -> tuple[Channels, str | None]:
    """Return what of a chain is thinking and what is said, and the prompt that its writer was shown, or None where it saw another.

    A chain from elsewhere stands beside its reader's prompt: it may open the span that this prompt has opened, or close one that it
    has not.
    """
    opened = open_form(chain.prompt.text)
    channels = split_channels(chain.text, chain.prompt.text)
    if opened is not None and chain.text.lstrip().startswith(opened.opening.strip()):
        return split_channels(chain.text), None
    return channels, None if channels.opened_by_prompt and opened is None else chain.prompt.text


def _closing(text: str, said: Stretch, channels: Channels, problem: Problem, answer: str | None) -> Closing | None:
    """Return how what is said closes: the last answer block where there is one, else the last outright statement.

    Behind a thought a few words that hold the answer state it too.
    """
    found = find_closing(text, said, problem)
    if channels.answer is None:
        return found if found is not None or channels.thinking is None else short_report(text, said, answer)
    tag = text.rfind("<", said.start, channels.answer.start)
    if found is not None and found.start < tag:
        return found  # what is stated outright right before the block, or within a block of working
    return Closing(max(tag, said.start), channels.answer, False)


def _closing_inside(text: str, channels: Channels, problem: Problem) -> Closing | None:
    """Return how the thinking itself closes, where nothing but its answer is the end of it."""
    if channels.thinking is None:
        return None
    found = find_closing(text, channels.thinking, problem)
    if found is None or found.answer_first or not channels.closed:
        return found
    behind = text[max(found.value.stop, found.start) : channels.thinking.stop]
    # What is thought through once more after a first answer is reasoning too.
    return found if not re.search(r"\d", behind) and len(_WORD.findall(behind)) < 8 else None


@dataclass(frozen=True)
class _Reader:
    """A chain before one reader."""

    chain: Chain
    model: Model
    channels: Channels
    own_ids: bool
    prompt: str
    """What the reader is shown."""
    written_after: str | None
    """What the writer was shown, or None where that is unknown."""

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        return tuple(self.model.pieces(self.chain.ids)) if self.own_ids else ()

    @cached_property
    def offsets(self) -> list[int]:
        return [0, *accumulate(map(len, self.pieces))]

    @cached_property
    def as_written(self) -> bool:
        """Whether the reader sees what the writer saw, so that what stands around the body can stay as it is."""
        return self.prompt == self.written_after

    def ids_of(self, start: int, stop: int) -> tuple[int, ...]:
        """Return the ids of the characters `[start, stop)`; a token across an edge is encoded anew up to there."""
        text = self.chain.text
        if start >= stop:
            return ()
        if not self.own_ids:
            return tuple(self.model.encode(text[start:stop]))
        offsets = self.offsets
        # Tokens by where they begin: one without text of its own holds the first bytes of the character behind it.
        first = bisect_left(offsets, start, 0, len(self.pieces))
        last = bisect_left(offsets, stop, 0, len(self.pieces))
        head: list[int] = []
        if first > 0 and offsets[first] > start:
            head = self.model.encode(text[start : min(offsets[first], stop)])
        tail: list[int] = []
        if last > first and offsets[last] > stop:
            last -= 1
            tail = self.model.encode(text[max(offsets[last], start) : stop])
        return (*head, *self.chain.ids[first:last], *tail)

    def steps(self, ranges: Sequence[Stretch]) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        """Return the ids of the given ranges of the text and the spans of the steps in them; between two ranges a paragraph ends."""
        text = self.chain.text
        edges = [0, *accumulate(map(len, self.chain.step_texts))]
        parts: list[tuple[int, ...]] = []
        for start, stop in ranges:
            merged: list[Stretch] = []
            for first, last in pairwise([start, *(edge for edge in edges if start < edge < stop), stop]):
                # A step left with blanks only goes with the one before it, the first one with the one after it.
                if merged and not (text[first:last].strip() and merged[-1].of(text).strip()):
                    merged[-1] = Stretch(merged[-1].start, last)
                else:
                    merged.append(Stretch(first, last))
            if not text[start:stop].strip():
                continue
            if parts:
                parts[-1] = (*parts[-1], *self.model.encode("\n\n"))
            parts += [self.ids_of(*stretch) for stretch in merged]
        stops = list(accumulate(map(len, parts)))
        spans = tuple(Span(stop - len(part), stop) for part, stop in zip(parts, stops, strict=True) if part)
        return tuple(token for part in parts for token in part), spans

    def surroundings(self, measured: Channel, start: int, thought: bool, *, inside: bool) -> tuple[tuple[int, ...], str]:
        """Return the ids between the prompt and the body, and the text that closes a thinking span behind it.

        With `inside` what was said without a thought stands in the span that the reader's prompt opens, for there the reader reasons.
        """
        text, channels = self.chain.text, self.channels
        opened = open_form(self.prompt)
        closing = _closing_marks(channels)
        if opened is not None and (channels.form is None or opened.name != channels.form.name):
            closing = opened.closing  # the reader closes what its own prompt opened
        opening = "" if opened is not None else channels.opening or (channels.form.opening if channels.form is not None else "")
        if measured != "visible" and channels.thinking is not None:
            return (self.ids_of(0, start) if self.as_written else tuple(self.model.encode(opening)) if opening else ()), closing
        if self.as_written:
            # Where the span that the prompt opened was never closed, nothing was said: it is closed before the answer is asked for.
            return self.ids_of(0, start), closing if opened is not None and not channels.closed else ""
        if thought and channels.thinking is not None:
            return tuple(self.model.encode(f"{opening}{channels.thinking.of(text)}{closing}")), ""
        if opened is None:
            return (), ""
        return ((), opened.closing) if inside else (tuple(self.model.encode(opened.closing)), "")

    def stated(self, closing: Closing, close: str, *, inside_thinking: bool) -> Stated:
        """Return the answer that `closing` states, with the words between the body and it."""
        text = self.chain.text
        value = closing.value
        begin = value.start - (len(text[: value.start]) - len(text[: value.start].rstrip(" ")))
        # Where the reasoning follows the answer, the words that led to it stand in front of them.
        words = text[closing.start : begin] if not closing.answer_first or closing.start <= begin else ""
        closes = bool(close and words) and not inside_thinking
        if closes:
            words = close + words.lstrip(" \t\n,;，；")
        tokens = None
        if self.own_ids:
            first, last = bisect_left(self.offsets, value.start), bisect_left(self.offsets, value.stop)
            straddles = first > 0 and self.offsets[min(first, len(self.offsets) - 1)] > value.start
            tokens = Span(first - straddles, min(last, len(self.pieces)))
        return Stated(words, text[begin : value.stop], text[value.stop : value.stop + 1], value, tokens, closes)


def _closing_marks(channels: Channels) -> str:
    """Return what closes the thinking as the writer's template does, white space included; "" where nothing marks any."""
    form = channels.form
    if form is None:
        return ""
    # What the text itself has, unless marks are missing or more than marks stands there (calls of tools between gpt-oss's messages).
    usual = "".join(channels.transition.split()).casefold() == "".join(form.closing.split()).casefold()
    return channels.transition if usual else form.closing
