"""Shift every number of a step by the same small shift: the perturbation of the true-thinking score (2510.24941)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from soundness.answers.numbers import Number, find_numbers
from soundness.interventions import Decode, Encode, check_step
from soundness.interventions.base import EditKind, Supplies
from soundness.records import Chain, Edit

__all__ = ["PERTURB", "SHIFTS", "perturb"]

SHIFTS = (-3, -2, -1, 1, 2, 3)
"""What is added to the numbers of a step, one of these (2510.24941)."""


def _shifted(number: Number, shift: int) -> str:
    """Return a number `shift` higher, with its currency sign, separators and decimals.

    >>> _shifted(find_numbers("$1,199.50")[0], 1)
    '1,200.50'
    """
    digits = number.text.lstrip("-−$€£")
    decimals = len(digits.partition(".")[2])
    mark = "".join(sign for sign in number.text[: len(number.text) - len(digits)] if sign not in "-−")
    value = number.value + shift
    return f"{'-' if value < 0 else ''}{mark}{abs(float(value)):{',' if ',' in digits else ''}.{decimals}f}"


def perturb(chain: Chain, step: int, pieces: Sequence[str], encode: Encode, decode: Decode, *, seed: int) -> Edit:
    """Return the chain up to and with `step`, that step with one shift of `SHIFTS` added to all of its numbers.

    A step without numbers is left out, as in the source. A shift that makes a number negative is taken only if there is no other.
    The draw depends on seed, problem id, sample and step alone. Raises `SettingError` for a step that is not there.
    """
    check_step(chain, step, len(chain.steps))
    start, stop = chain.steps[step]
    text = "".join(pieces[start:stop])
    numbers = find_numbers(text)
    rng = random.Random(f"perturb/{seed}/{chain.problem_id}/{chain.sample}/{step}")
    mild = [shift for shift in SHIFTS if all(number.value < 0 or number.value + shift >= 0 for number in numbers)]
    shift = rng.choice(mild or SHIFTS)
    changed = text if numbers else ""
    for number in reversed(numbers):
        changed = changed[: number.start] + _shifted(number, shift) + changed[number.stop :]
    fresh = tuple(encode(changed))
    note = f"{shift:+d} on {len(numbers)} numbers; seed {seed}" if numbers else "no number: left out"
    if decode(fresh) != changed:
        fresh, changed, note = (), "", "the shifted text does not survive the tokenizer: left out"
    return Edit("perturb", chain.ids[:start] + fresh, step, text, changed, note)


def _make(body: Chain, supplies: Supplies) -> list[Edit]:
    return [
        perturb(body, step, supplies.pieces, supplies.encode, supplies.decode, seed=supplies.seed)
        for step in range(len(body.steps))
    ]


PERTURB = EditKind("perturb", _make)
"""Every step shifted, one at a time: each edit ends with its step."""
