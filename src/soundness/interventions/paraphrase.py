"""Say steps in other words and keep everything else: a chain that is used for its meaning does not notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundness.interventions import Decode, Encode, NoEdit, check_step
from soundness.interventions.base import EditKind, Supplies, Supply, intact_beginnings, spread
from soundness.records import Chain, Edit

__all__ = [
    "PARAPHRASE_INTACT_REGENERATE",
    "PARAPHRASE_REGENERATE",
    "PARAPHRASE_STEP",
    "PARAPHRASE_TAIL",
    "PARAPHRASE_TAIL_WORDS",
    "paraphrase",
    "reword",
]

_TAILS = 4
"""Places from which on a chain is reworded, evenly spread: each costs a tail to read."""

_HEADS = 2
"""Beginnings that are reworded before the rest is written anew: each costs a part of a chain to write."""


def paraphrase(
    chain: Chain,
    start: int,
    stop: int,
    rewrites: Sequence[str | None],
    pieces: Sequence[str],
    encode: Encode,
    decode: Decode,
    *,
    kind: str = "paraphrase",
    note: str = "",
) -> Edit | NoEdit:
    """Return the chain with its steps `start` to `stop` (exclusive) in other words.

    `rewrites` holds one text per step of the chain, None where the step stays as it is. `NoEdit` where none of these steps has a
    rewrite or a tokenizer cannot write it. Raises `SettingError` for steps that are not there.
    """
    check_step(chain, start, len(chain.steps))
    check_step(chain, stop - 1, len(chain.steps))
    new_ids = list(chain.before(start))
    before = after = ""
    first = None
    for index in range(start, stop):
        begin, end = chain.steps[index]
        text, new = "".join(pieces[begin:end]), rewrites[index]
        ids: Sequence[int] = chain.step_ids(index)
        if new is not None and new != text:
            ids = tuple(encode(new))
            if decode(ids) != new:
                return NoEdit(kind, "the rewritten text does not survive the tokenizer")
            first = index if first is None else first
        before += text
        after += new if new is not None else text
        new_ids += ids
    if first is None:
        return NoEdit(kind, "no rule rewrites any of these steps; a proposer model could")
    new_ids += chain.ids[chain.steps[stop - 1].stop :]
    return Edit(kind, tuple(new_ids), first, before, after, note or f"steps {start} to {stop - 1} of {len(chain.steps)}")


def reword(
    body: Chain, supplies: Supplies, kind: str, start: int, stop: int, rewrites: Sequence[str | None], *, cut: bool = False
) -> Edit | NoEdit:
    """Return steps `start` to `stop` in other words; with `cut`, what follows them is dropped."""
    edit = paraphrase(body, start, stop, rewrites, supplies.pieces, supplies.encode, supplies.decode, kind=kind)
    if isinstance(edit, Edit) and cut:
        tail = len(body.ids) - body.steps[stop - 1].stop
        # The step last reworded is the one that tells draws of different beginnings apart.
        return replace(edit, ids=edit.ids[: len(edit.ids) - tail], step=stop - 1)
    return edit


def _rewrites(body: Chain, supplies: Supplies, operator: str) -> Sequence[str | None]:
    return supplies.rewrites.get(operator, [None] * len(body.steps))


def _tails(body: Chain, supplies: Supplies, kind: str, operator: str) -> list[Edit | NoEdit]:
    num, rewrites = len(body.steps), _rewrites(body, supplies, operator)
    places = spread(0, num, _TAILS)
    made = [(place, reword(body, supplies, kind, place, num, rewrites)) for place in places]
    # `step` is where the rewording begins, so that the number of steps kept can be read from it.
    return [replace(edit, step=place or None) if isinstance(edit, Edit) else edit for place, edit in made]


def _sentences(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    return _tails(body, supplies, "paraphrase_tail", "sentence")


def _words(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    return _tails(body, supplies, "paraphrase_tail_words", "words")


def _steps(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    rewrites = _rewrites(body, supplies, "sentence")
    return [reword(body, supplies, "paraphrase_step", i, i + 1, rewrites, cut=True) for i in range(len(body.steps))]


def _heads(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    kind, rewrites = "paraphrase_regenerate", _rewrites(body, supplies, "sentence")
    made = [reword(body, supplies, kind, 0, stop, rewrites, cut=True) for stop in spread(1, len(body.steps), _HEADS)]
    return made or [NoEdit(kind, "a chain of one step has no beginning")]


def _intact(body: Chain, supplies: Supplies) -> tuple[Edit | NoEdit, ...]:
    return intact_beginnings("paraphrase_intact_regenerate", body, spread(1, len(body.steps), _HEADS))


_REWRITES = frozenset({Supply.REWRITES})

PARAPHRASE_TAIL = EditKind("paraphrase_tail", _sentences, _REWRITES)
"""All steps from one on in other words (equations as sentences, facts the other way round)."""

PARAPHRASE_TAIL_WORDS = EditKind("paraphrase_tail_words", _words, _REWRITES)
"""The same by a second operator (words for signs, facts as something known)."""

PARAPHRASE_STEP = EditKind("paraphrase_step", _steps, _REWRITES)
"""One step in other words, what follows dropped."""

PARAPHRASE_REGENERATE = EditKind("paraphrase_regenerate", _heads, _REWRITES, regenerate=True)
"""A beginning in other words, the rest written anew."""

PARAPHRASE_INTACT_REGENERATE = EditKind("paraphrase_intact_regenerate", _intact, regenerate=True)
"""The same beginnings word for word, the rest written anew: the control."""
