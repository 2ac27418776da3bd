"""Put the steps of a chain in another order: a null that has every word and not the argument."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from soundness.chains.steps import step_texts
from soundness.interventions import Encode, NoEdit
from soundness.interventions.base import EditKind, Supplies
from soundness.records import Chain, Edit

__all__ = ["SHUFFLE", "shuffle"]

_TRIES = 64


def _separator(texts: Sequence[str]) -> str:
    """Return the blank that most often stands between two steps, the first of them where several do."""
    between = [left[len(left.rstrip()) :] + right[: len(right) - len(right.lstrip())] for left, right in pairwise(texts)]
    return Counter(between).most_common(1)[0][0]


def _trailing_blanks(pieces: Sequence[str]) -> int:
    """Return how many of the last tokens are blank."""
    count = 0
    while count < len(pieces) and pieces[-1 - count].isspace():
        count += 1
    return count


def _glue(left: str, right: str) -> bool:
    """Return whether nothing blank would stand between two steps."""
    return not left[-1:].isspace() and not right[:1].isspace()


def _with_blank(ids: Sequence[int], pieces: Sequence[str], blank: str, encode: Encode) -> tuple[int, ...]:
    """Return a step's ids with `blank` in front, its first word encoded anew so that the blank can go into its token."""
    first = next(index for index, piece in enumerate(pieces) if piece) + 1
    return (*encode(blank + "".join(pieces[:first])), *ids[first:])


def _join(chain: Chain, order: Sequence[int], pieces: Sequence[str], encode: Encode) -> tuple[tuple[int, ...], str, list[str]]:
    """Return the ids of the chain with its first steps in `order`, the text of these, and what was done to keep them apart."""
    num_moved = len(order)
    texts = step_texts(pieces, chain.steps)
    blank = _separator(texts)
    steps = [(chain.step_ids(index), list(pieces[slice(*chain.steps[index])])) for index in order]
    notes = []
    place = order.index(num_moved - 1)
    if num_moved == len(texts) and place < num_moved - 1 and _glue(texts[-1], texts[order[place + 1]]):
        (ids, last), (end_ids, end) = steps[-1], steps[place]
        count = _trailing_blanks(last)
        if 0 < count < len(last):
            steps[-1] = (ids[:-count], last[:-count])
            steps[place] = (end_ids + ids[-count:], end + last[-count:])
            notes.append(f"separator {''.join(last[-count:])!r} moved from the new last step")

    rest = chain.steps[num_moved - 1].stop
    if rest < len(chain.ids):
        steps.append((chain.ids[rest:], list(pieces[rest:])))
    new_ids: tuple[int, ...] = ()
    new_text = ""
    moved_text = ""
    for place, (ids, step_pieces) in enumerate(steps):
        text = "".join(step_pieces)
        if place and blank and _glue(new_text, text):
            ids, text = _with_blank(ids, step_pieces, blank, encode), blank + text
            notes.append(f"separator {blank!r} put in front of the step at place {place}")
        new_ids += ids
        new_text += text
        if place < num_moved:
            moved_text = new_text
    return new_ids, moved_text, notes


def shuffle(chain: Chain, pieces: Sequence[str], encode: Encode, *, seed: int, before: int | None = None) -> Edit | NoEdit:
    """Return the chain with its steps in another order, never the original one.

    With `before`, only the first `before` steps change places (pass the step that states the answer, to keep it and what
    follows at the end). Steps keep their ids. Where a step that had no newline behind it leaves the end, or one that had no
    space in front leaves the start, two steps would run into one: the separator is then moved from the new last step if it has
    tokens of its own, and else encoded in front of the second of the two. The note says so. The draw depends on seed, problem
    id and sample alone. `NoEdit` where fewer than two steps can move, or no other order was found that reads differently.
    """
    num_moved = len(chain.steps) if before is None else min(max(before, 0), len(chain.steps))
    if num_moved < 2:
        return NoEdit("shuffle", "fewer than two steps to shuffle")
    texts = step_texts(pieces, chain.steps)[:num_moved]
    cores = [text.strip() for text in texts]
    if len(set(cores)) == 1:
        return NoEdit("shuffle", "all steps read the same")
    rng = random.Random(f"shuffle/{seed}/{chain.problem_id}/{chain.sample}")
    order = list(range(num_moved))
    for _ in range(_TRIES):  # half of the tries or fewer give back the same text where at least two steps differ
        rng.shuffle(order)
        if [cores[index] for index in order] == cores:
            continue
        new_ids, new_text, notes = _join(chain, order, pieces, encode)
        if new_ids == chain.ids:
            continue
        return Edit(
            kind="shuffle",
            ids=new_ids,
            step=next(place for place, index in enumerate(order) if place != index),
            before="".join(texts),
            after=new_text,
            note="; ".join([f"order {' '.join(map(str, order))}; seed {seed}", *notes]),
        )
    return NoEdit("shuffle", "no other order reads differently")


def _make(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    return [shuffle(body, supplies.pieces, supplies.encode, seed=supplies.seed)]


SHUFFLE = EditKind("shuffle", _make)
"""The steps in another order."""
