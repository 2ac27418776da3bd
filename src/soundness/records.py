"""The nouns that travel between the parts: frozen, plain, free of torch.

Legend: ids are token ids; spans are half-open `[start, stop)` token positions in `Chain.ids`; log-probabilities are natural
logarithms (nats).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple

__all__ = [
    "AskedAnswer",
    "Chain",
    "Comparison",
    "Edit",
    "Estimate",
    "Finish",
    "Generation",
    "Outcome",
    "Probe",
    "Problem",
    "Prompt",
    "Reader",
    "Reading",
    "Score",
    "Span",
    "Stop",
    "Turn",
    "Verdict",
    "Word",
]

Finish = Literal["stop", "length"]
"""Why a generation ended: the model closed it (`stop`) or the token limit did (`length`)."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Outcome(StrEnum):
    """What became of one free-text answer; unknown is not wrong."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    CUT_OFF = "cut_off"


class Reader(StrEnum):
    """Who reads a chain."""

    SELF = "self"
    """The model that wrote it."""
    BASE = "base"
    """The base reads another model's chain: one yardstick for all."""
    TUNED = "tuned"
    """A tuned model reads the base's chain."""
    NOBODY = "-"
    """Nobody has to: the text alone is looked at."""


class Word(StrEnum):
    """The verdict on one tuned model."""

    SOUND = "sound"
    """It answers from its written steps as much as the base did, and as well."""
    HOLLOWED = "hollowed"
    """It answers as well, and less from its written steps."""
    LOST = "lost"
    """It answers fewer problems right."""
    LOST_AND_HOLLOWED = "lost, and hollowed"
    """It answers fewer problems right, and less from its written steps."""
    GREW = "grew"
    """It answers from its written steps, and the base did not."""
    NOTHING = "nothing to keep"
    """The base's answers did not come from its steps, so that there was nothing to lose."""
    SAME = "the same model"
    """Nothing was tuned: base and tuned are one model."""
    INSUFFICIENT = "insufficient evidence"
    """The problems do not settle it."""
    BROKEN = "broken"
    """The model gives no numbers: nothing could be measured."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with its reference answer."""

    id: str
    """Unique within its task."""
    question: str
    """The question's text, without choices and without any prompt template."""
    answer: str | None
    """Reference answer: a capital letter where there are `choices`, text otherwise; None where the task has none."""
    choices: tuple[str, ...] | None = None
    """Answer options in order (A, B, ...), or None for an open answer."""
    rationale: str | None = None
    """A reference explanation as one text."""
    steps: tuple[str, ...] | None = None
    """Reference steps, or the steps that some model wrote."""
    facts: tuple[str, ...] = ()
    """Sentences known to be true that bear on the question."""
    context: tuple[str, ...] = ()
    """Passages that the question is about."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Any other field of the source row, JSON values only."""

    @property
    def answer_text(self) -> str | None:
        """The reference answer in words: the chosen option's text, or `answer` itself."""
        if self.answer is None or self.choices is None:
            return self.answer
        return self.choices[LETTERS.index(self.answer)]

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every answer that is right: `answer` and, beside it, what `meta["aliases"]` lists; empty where there is none."""
        if self.answer is None:
            return ()
        aliases = self.meta.get("aliases")
        further = [one for one in aliases if isinstance(one, str) and one.strip()] if isinstance(aliases, list | tuple) else []
        return tuple(dict.fromkeys((self.answer, *further)))


class Span(NamedTuple):
    """A half-open stretch of token positions."""

    start: int
    stop: int


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str
    """What is said."""


@dataclass(frozen=True, slots=True)
class Stop:
    r"""Where a generation ends, besides the model's own end-of-text token and the token limit.

    >>> Stop(("\nQuestion:",)).end("2 + 2 = 4\nAnswer: 4\nQuestion: What")
    19
    >>> Stop(line=r"^Answer:.*\n").end("Answer: 4\nOr not?")
    10
    """

    strings: tuple[str, ...] = ()
    """A generation ends before the first of these."""
    ids: tuple[int, ...] = ()
    """Token ids that end a generation as the end-of-text token does."""
    line: str | None = None
    """A regular expression (MULTILINE); a generation ends behind the first match."""

    def end(self, text: str) -> int | None:
        """Return how many characters of `text` are kept, or None where nothing in it ends the generation."""
        places = [place for string in self.strings if (place := text.find(string)) >= 0]
        if self.line is not None and (found := re.search(self.line, text, re.MULTILINE)):
            places.append(found.end())
        return min(places, default=None)

    def kept(self, pieces: Sequence[str]) -> int | None:
        """Return how many tokens are kept, given the text of each, or None where nothing in them ends the generation.

        A token across the end is kept where all that it has beyond the end is blank.
        """
        text = "".join(pieces)
        end = self.end(text)
        if end is None:
            return None
        start = 0
        for number, piece in enumerate(pieces):
            stop = start + len(piece)
            if stop > end and (start >= end or text[end:stop].strip()):
                return number
            start = stop
        return len(pieces)

    def joined(self, other: Stop | None) -> Stop:
        """Return what stops where either does; `line` is this one's where both have one."""
        if other is None:
            return self
        strings, ids = dict.fromkeys((*self.strings, *other.strings)), dict.fromkeys((*self.ids, *other.ids))
        return Stop(tuple(strings), tuple(ids), self.line if self.line is not None else other.line)

    @property
    def key(self) -> str:
        """The same text exactly for stops that are equal."""
        return json.dumps([list(self.strings), list(self.ids), self.line])


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is shown before it writes."""

    text: str
    """The rendered prompt, template included."""
    ids: tuple[int, ...]
    """Its token ids, one beginning-of-text token at most."""
    stop: Stop | None = field(default=None, compare=False)
    """Where what is written after it ends, or None where only the model ends it; not stored with a chain."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote after a prefix."""

    ids: tuple[int, ...]
    """Generated token ids, the end-of-text token left out."""
    finish: Finish
    """Why it ended."""


@dataclass(frozen=True, slots=True)
class AskedAnswer:
    """What a model answers when it is asked right after a prefix, by greedy decoding or, among choices, by the likeliest one."""

    text: str
    """What it wrote, up to and with what closes an answer; the letter where there are choices."""
    value: str | None
    """The answer in it, or None where none could be read."""
    finish: Finish
    """Why it ended."""
    reason: str = ""
    """Why there is no `value`; empty where there is one."""
    ids: tuple[int, ...] = ()
    """The token ids that it wrote; for choices those of the likeliest."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What one model wrote for one problem."""

    problem_id: str
    """The problem it answers."""
    model: str
    """Name of the writer within the run."""
    sample: int
    """Which of the samples for this problem, from 0."""
    seed: int
    """The run's sampling seed; the draw depends on seed, problem id and sample alone."""
    prompt: Prompt
    """What the writer was shown."""
    ids: tuple[int, ...]
    """Generated token ids, end-of-text token left out."""
    text: str
    """The raw text, untouched."""
    finish: Finish
    """Why it ended."""
    steps: tuple[Span, ...] = ()
    """Steps as spans that partition `[0, len(ids))` exactly; empty for an empty chain."""
    step_texts: tuple[str, ...] = ()
    """The text of each step; joined they are `text`."""
    answer: str | None = None
    """The last stated answer as written, or None where none could be read."""
    answer_step: int | None = None
    """Index of the first step that states `answer`, or None."""
    conclusion: int | None = None
    """Index of the step that holds the last outright statement of an answer ("Answer: 18"), or None where there is none."""
    outcome: Outcome | None = None
    """Grade against the reference; None where the problem has none, or where a grader could not say."""
    answer_span: tuple[int, int] | None = None
    """Characters of `text` that `answer` was read from, or None where none was read (or it was given with an imported trace)."""
    answer_how: str = ""
    """What the answer was read from ("boxed", "label", "last number" ...), or the name of the grader that judged it."""
    confidence: str | None = None
    """`high` where the answer is stated outright, `low` where it was inferred (the last number); None where none was read."""
    grader_words: str = ""
    """What a grader that is no rule said in its own words, or why it said nothing."""

    def before(self, num_steps: int) -> tuple[int, ...]:
        """Return the ids of the first `num_steps` steps."""
        return self.ids[: self.steps[num_steps - 1].stop] if num_steps else ()

    def step_ids(self, index: int) -> tuple[int, ...]:
        """Return the ids of step `index` (from 0)."""
        return self.ids[self.steps[index].start : self.steps[index].stop]


@dataclass(frozen=True, slots=True)
class Edit:
    """What an intervention made of a chain, so that a page can show before and after."""

    kind: str
    """Name of the intervention, such as `fill_tail`, `mistake_splice`, `swap`, `shuffle`, `drop`."""
    ids: tuple[int, ...]
    """The edited chain's ids, which replace `Chain.ids` after the prompt."""
    step: int | None
    """The step touched first (from 0), or None where the whole chain was."""
    before: str
    """The text that was replaced."""
    after: str
    """The text that stands there now."""
    note: str = ""
    """Which operator, which donor, which seed."""
    leads_to: str | None = None
    """The answer that the edited chain leads to, where its donor or a rule knows it."""
    lead: str = ""
    """The words that lead to that answer, where they are known."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to a model: how likely is `continuation` right after `prefix`?"""

    prefix: tuple[int, ...]
    """Token ids conditioned on; may be empty."""
    continuation: tuple[int, ...]
    """Token ids scored; at least one."""
    why: str = field(default="", compare=False)
    """What asked for it; no part of its identity."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", tuple(self.prefix))
        object.__setattr__(self, "continuation", tuple(self.continuation))
        if not self.continuation:
            raise ValueError("a Probe needs at least one continuation token, and this one has none")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model believes of one probe's continuation."""

    token_nats: tuple[float, ...]
    """log p of each continuation token given all before it, nats."""
    token_top: tuple[bool, ...]
    """Whether each continuation token is the most likely one at its place (ties count as top)."""

    @property
    def nats(self) -> float:
        """Sum of `token_nats`: log-probability of the whole continuation, nats."""
        return math.fsum(self.token_nats)

    @property
    def top(self) -> bool:
        """Whether greedy decoding after the prefix would write exactly this continuation."""
        return all(self.token_top)


@dataclass(frozen=True, slots=True)
class Score:
    """One metric on one chain: a number, or None with a reason."""

    metric: str
    """Name of the metric."""
    problem_id: str
    """The problem."""
    sample: int
    """Which sample of that problem."""
    writer: str
    """Model that wrote the chain, by its name in the run."""
    reader: Reader
    """Who read: the writer itself, the base, a tuned model, or nobody."""
    value: float | None
    """The number in the metric's unit; never NaN."""
    reason: str = ""
    """Why there is no number; empty where there is one."""
    reader_name: str = ""
    """Model that read, by its name in the run; empty where nobody had to."""

    def __post_init__(self) -> None:
        if (self.value is None) == (not self.reason):
            raise ValueError(f"a Score has a value or a reason, one of the two: {self.metric} on {self.problem_id}")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.metric} on {self.problem_id} is {self.value}; use None with a reason")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its doubt."""

    value: float | None
    """Point estimate, or None where nothing could be scored."""
    low: float | None
    """Lower end of the 95 % interval, or None where there is none (n < 2)."""
    high: float | None
    """Upper end of the 95 % interval, or None where there is none (n < 2)."""
    n: int
    """Problems that entered."""
    n_missing: int
    """Problems that could not be scored."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tuned minus base on one metric, paired by problem."""

    base: str
    """Name of the base model."""
    tuned: str
    """Name of the tuned model."""
    metric: str
    """Name of the metric."""
    reader: Reader
    """Who read: each model its own chains, the base all, each tuned model the base's, or nobody."""
    base_estimate: Estimate
    """The base alone, over the paired problems it could be scored on."""
    tuned_estimate: Estimate
    """The tuned model alone."""
    difference: Estimate
    """Mean paired difference tuned - base."""
    p: float | None
    """Two-sided p of the paired permutation test, or None (n < 2)."""
    unit: str
    """Unit of the three estimates."""
    direction: str
    """Which way is better: `up`, `down` or `none`."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Reason -> number of problems left out of the difference for it."""
    p_adjusted: float | None = None
    """`p` corrected (Benjamini-Hochberg) over all metrics of this tuned model, or None where that was not done."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says of one tuned model."""

    tuned: str
    """Name of the tuned model."""
    word: Word
    """The verdict."""
    sentence: str
    """The verdict in one plain sentence."""
    evidence_for: tuple[str, ...]
    """What speaks for it, figures included."""
    evidence_against: tuple[str, ...]
    """What speaks against it, or limits it."""
