"""Change one number of one step: does the answer follow the mistake?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from soundness.answers.numbers import Number, as_number, find_numbers
from soundness.chains.steps import step_texts
from soundness.errors import SettingError, near
from soundness.interventions import Decode, Encode, NoEdit, check_step
from soundness.records import Chain, Edit

__all__ = ["OPERATORS", "Operator", "change_number", "eligible_steps", "mistake"]

Operator = Literal["result", "operand"]
"""Which number of a step is changed: its last (usually the stated result) or its first of several."""

OPERATORS: tuple[Operator, ...] = ("result", "operand")


def change_number(number: Number, rng: random.Random, avoid: Number | None = None) -> str:
    """Return `number` with one digit changed: same sign, same length, same separators, never the same value.

    A whole number of several digits keeps a leading digit above 0. The value of `avoid` is stayed clear of, too.

    >>> import random
    >>> from soundness.answers.numbers import find_numbers
    >>> changed = change_number(find_numbers("$1,200.50")[0], random.Random(1))
    >>> len(changed), changed != "1,200.50", changed[1], changed[5]
    (8, True, ',', '.')
    """
    forbidden = {number.value} | ({avoid.value} if avoid is not None else set())
    candidates = []
    text = number.text
    places = [place for place, mark in enumerate(text) if mark.isdigit()]
    leads = len(text.lstrip("-−$€£").split(".")[0]) > 1 and text[places[0]] != "0"
    for place in places:
        for digit in "0123456789":
            if digit == text[place] or (digit == "0" and leads and place == places[0]):
                continue
            candidates.append(text[:place] + digit + text[place + 1 :])
    # One digit in another place always gives another value, so at most one candidate falls to each forbidden value.
    return rng.choice([candidate for candidate in candidates if as_number(candidate) not in forbidden])


def _pick(text: str, operator: Operator) -> Number | str:
    """Return the number of `text` that `operator` changes, or why there is none."""
    numbers = find_numbers(text)
    if not numbers:
        return "no number in this step"
    if operator == "operand" and len(numbers) == 1:
        return "only one number in this step, so no operand beside the result"
    return numbers[-1 if operator == "result" else 0]


def eligible_steps(chain: Chain, pieces: Sequence[str], operator: Operator = "result") -> tuple[int, ...]:
    """Return the steps that have a number to change which is not the chain's own answer.

    Changing the answer where it stands rewrites it, and says nothing of whether the steps before are used.
    """
    own = as_number(chain.answer) if chain.answer is not None else None
    picked = [_pick(text, operator) for text in step_texts(pieces, chain.steps)]
    return tuple(index for index, number in enumerate(picked) if isinstance(number, Number) and number.value != own)


def mistake(
    chain: Chain,
    step: int,
    pieces: Sequence[str],
    encode: Encode,
    decode: Decode,
    *,
    seed: int,
    keep_tail: bool,
    operator: Operator = "result",
) -> Edit | NoEdit:
    """Return the chain with one number of `step` changed by one digit.

    `operator` says which number. With `keep_tail` the steps behind it stay as they are, and still state the old answer (kind
    `mistake_splice`); without, they are dropped, to be written anew (kind `mistake_regenerate`); the two measure different
    things. The draw depends on seed, problem id, sample and step alone. The chain's own answer is never what is written.
    From the changed token to the end of the step the text is encoded anew, everywhere else ids stay. `NoEdit` where the step
    has no such number or the tokenizer cannot write the changed text. Raises `SettingError` for a step that is not there.
    """
    if operator not in OPERATORS:
        raise SettingError(f"unknown operator {operator!r}{near(operator, OPERATORS)}: choose one of {', '.join(OPERATORS)}")
    check_step(chain, step, len(chain.steps))
    kind = "mistake_splice" if keep_tail else "mistake_regenerate"
    start, stop = chain.steps[step]
    text = "".join(pieces[start:stop])
    number = _pick(text, operator)
    if isinstance(number, str):
        return NoEdit(kind, number)
    rng = random.Random(f"{seed}/{chain.problem_id}/{chain.sample}/{step}")
    own = as_number(chain.answer) if chain.answer is not None else None
    new = change_number(number, rng, None if own is None else Number(0, 0, "", own))
    changed = text[: number.start] + new + text[number.stop :]

    head = _first_token(pieces[start:stop], number.start)
    for kept in (head, 0):  # a tokenizer may be unable to take the step up in its middle
        done = len("".join(pieces[start : start + kept]))
        fresh = tuple(encode(changed[done:]))
        if decode(fresh) == changed[done:]:
            break
    else:
        return NoEdit(kind, "the changed text does not survive the tokenizer")
    tail = chain.ids[stop:] if keep_tail else ()
    return Edit(
        kind=kind,
        ids=chain.ids[: start + kept] + fresh + tail,
        step=step,
        before=text,
        after=changed,
        note=f"{operator} {number.text} -> {new}; tail {'kept' if keep_tail else 'dropped'}; seed {seed}",
    )


def _first_token(pieces: Sequence[str], character: int) -> int:
    """Return the first token that holds `character`, or stands for a part of the character in it."""
    seen = 0
    for index, piece in enumerate(pieces):
        if seen + len(piece) > character:
            while index and not pieces[index - 1]:  # the bytes of a character split over tokens stay together
                index -= 1
            return index
        seen += len(piece)
    raise AssertionError(f"character {character} is past the {seen} of this step")
