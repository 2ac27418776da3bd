r"""Chains up to the place where they state their answer: the own one, another problem's, and the own one with a wrong number.

What follows is the answer, so that the model is asked in the words in which it gives its answers itself. These edits replace all that
was written, thinking tags included, and a prefix is the prompt and the edit's ids alone.

    intact          the chain as it was written, up to its answer; where marks open the answer ("**", "\boxed{"), once more without
    bare            its closing words alone: an answer without any step
    exchange        another problem's chain, up to that problem's answer, with and without such marks
    exchange_open   the same, up to its closing words: whoever goes on is not asked
    wrong_number    the chain up to its answer, one number that ends a clause changed; a few of them
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from soundness.answers import grade, split_channels
from soundness.answers.numbers import Number, as_number, find_numbers
from soundness.chains.closing import find_closing, has_reasoning, said_region
from soundness.interventions import NO_STEPS, Decode, Encode, NoEdit
from soundness.interventions.number_mistake import change_number
from soundness.records import LETTERS, Chain, Edit, Problem

__all__ = ["EXCHANGES", "Written", "exchange_edits", "option_text", "written_up_to_answer"]


EXCHANGES = ("intact", "bare", "exchange", "exchange_open", "wrong_number")
"""Kinds of edit that end where an answer is stated."""

_WRONG_NUMBERS = 4  # each costs one short answer; whether any of them matters is seen as well with a few
# A result ends a clause: "= 7", "gives 7.", "(so 7)", "$7$, then". A number in the middle of one is an operand or a label.
_CLAUSE_END = re.compile(r"[\s*_]*(?:\(|[.,;:!?)\]}$\\]|\n|\Z|\bthen\b|\band\b)")
# What opens an answer and is closed after it; a model may or may not take it up when it is asked.
_OPENING_MARKS = re.compile(r"(?:\\(?:boxed|fbox|text|mathbf|mathrm|textbf)\s*\{|[\s*_(\[{$\"'`])+\Z")
_LEADING = " \t\n,.;:"  # what separates the closing from the last step is no part of its words


@dataclass(frozen=True, slots=True)
class Written:
    """One chain in one vocabulary, up to its answer."""

    chain: Chain
    """The chain."""
    ids: tuple[int, ...]
    """Everything up to the answer; the blank before it belongs to it."""
    unmarked: tuple[int, ...]
    """The same without marks that open the answer, such as "**", "(" or "\\boxed{"."""
    open: tuple[int, ...]
    """Everything up to the words that lead to the answer."""
    text: str
    """The text of `ids`."""
    lead: str
    """The words that lead to the answer, as they stand between the two."""
    has_steps: bool
    """Whether anything that could be a step stands before the answer."""


def written_up_to_answer(chain: Chain, problem: Problem, ids: Sequence[int], pieces: Sequence[str]) -> Written | None:
    """Return the chain up to its answer, or None where it states none; `ids` and `pieces` are those of the reader's vocabulary."""
    if chain.answer is None:
        return None
    text, prompt = "".join(pieces), chain.prompt.text
    channels = split_channels(text, prompt)
    closing = find_closing(text, said_region(channels), problem)
    if closing is not None and not closing.answer_first and closing.value.stop > closing.value.start:
        start, value = closing.start, closing.value.start
    else:
        span = grade(text, chain.finish, problem, prompt).span
        if span is None:
            return None
        value = span.start
        start = min(closing.start, value) if closing is not None else value
    # An answer that is stated before the steps came about without them, unless something was thought first.
    first = closing is not None and closing.answer_first and not any(has_reasoning(span.of(text)) for span in channels.spans)
    stops = list(accumulate(map(len, pieces)))

    def tokens(place: int) -> int:
        """Return how many tokens end at `place` or before it, blanks at their end left out."""
        count = bisect_right(stops, place)
        while count and not pieces[count - 1].strip():
            count -= 1
        return count

    upto = tokens(value)
    marks = _OPENING_MARKS.search(text[start:value])
    unmarked = min(upto, tokens(start + marks.start())) if marks is not None else upto
    whole = "".join(pieces[:upto])
    # A blank before the closing belongs to the steps: where they end in a new line, so does what is to be gone on from.
    opened = min(bisect_right(stops, start), upto)
    lead = text[len("".join(pieces[:opened])) : len(whole)]
    has_steps = not first and has_reasoning(text[:start])
    return Written(chain, tuple(ids[:upto]), tuple(ids[:unmarked]), tuple(ids[:opened]), whole, lead, has_steps)


def option_text(problem: Problem, answer: str | None) -> str | None:
    """Return what an answer says: the text of the option that a letter stands for, or the answer itself."""
    if answer is None or problem.choices is None or answer not in LETTERS[: len(problem.choices)]:
        return answer
    return problem.choices[LETTERS.index(answer)]


def exchange_edits(
    own: Written | None,
    donor: Written | None,
    encode: Encode,
    decode: Decode,
    pieces: Sequence[str],
    *,
    seed: int,
    kinds: Sequence[str],
    why: str,
) -> dict[str, tuple[Edit | NoEdit, ...]]:
    """Return the edits of `kinds` of one chain; `why` is what kept the chain itself from having an answer, if that was so."""
    edits: dict[str, tuple[Edit | NoEdit, ...]] = {}
    for kind in kinds:
        if kind in ("exchange", "exchange_open") and (own is None or own.has_steps):
            edits[kind] = (
                (NoEdit(kind, "no other problem's chain with another answer"),)
                if donor is None
                else _exchanged(kind, own, donor)
            )
        elif own is None or not own.has_steps:
            edits[kind] = (NoEdit(kind, why if own is None else NO_STEPS),)
        elif kind == "wrong_number":
            edits[kind] = _wrong_numbers(own, pieces, encode, decode, seed)
        elif kind == "intact":
            edits[kind] = tuple(
                Edit(kind, ids, None, "", own.text, "as written", leads_to=own.chain.answer)
                for ids in dict.fromkeys((own.ids, own.unmarked))
            )
        else:
            words = own.lead.lstrip(_LEADING)
            edits[kind] = (
                Edit(kind, tuple(encode(words)), None, own.text, words, "closing words alone")
                if words
                else NoEdit(kind, "it has no words before its answer"),
            )
    return edits


def _exchanged(kind: str, own: Written | None, donor: Written) -> tuple[Edit, ...]:
    whole = Edit(
        kind,
        donor.ids,
        None,
        own.text if own is not None else "",
        donor.text,
        f"chain of problem {donor.chain.problem_id!r}, sample {donor.chain.sample}",
        leads_to=donor.chain.answer,
        lead=_OPENING_MARKS.sub("", donor.lead.lstrip(_LEADING)),
    )
    if kind == "exchange":
        return tuple(replace(whole, ids=ids) for ids in dict.fromkeys((donor.ids, donor.unmarked)))
    return (replace(whole, ids=donor.open, after=donor.text[: len(donor.text) - len(donor.lead)]),)


def _wrong_numbers(own: Written, pieces: Sequence[str], encode: Encode, decode: Decode, seed: int) -> tuple[Edit | NoEdit, ...]:
    """Return the chain with one number changed, up to `_WRONG_NUMBERS` times, each in another place."""
    answer = as_number(own.chain.answer or "")
    body = own.text[: len(own.text) - len(own.lead)]
    places = [n for n in find_numbers(body) if n.value != answer and _CLAUSE_END.match(body, n.stop)]
    if not places:
        return (NoEdit("wrong_number", "no number that ends a clause and is not the answer"),)
    rng = random.Random(f"wrong_number/{seed}/{own.chain.problem_id}/{own.chain.sample}")
    chosen = sorted(rng.sample(places, min(_WRONG_NUMBERS, len(places))))
    stops = list(accumulate(map(len, pieces)))
    made: list[Edit | NoEdit] = []
    for place, number in enumerate(chosen):
        new = change_number(number, rng, None if answer is None else Number(0, 0, "", answer))
        first = bisect_right(stops, number.start)
        last = bisect_right(stops, number.stop - 1)
        begin = stops[first - 1] if first else 0
        changed = own.text[begin : number.start] + new + own.text[number.stop : stops[last]]
        fresh = tuple(encode(changed))
        if decode(fresh) != changed:
            made.append(NoEdit("wrong_number", "the changed text does not survive the tokenizer"))
            continue
        ids = own.ids[:first] + fresh + own.ids[last + 1 :]
        made.append(Edit("wrong_number", ids, place, number.text, new, f"character {number.start}; tail kept; seed {seed}"))
    return tuple(made)
