"""Change one name or word of one step for another of the same type: the mistake where there is no number to change."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from soundness.chains.steps import answer_key, step_texts
from soundness.interventions import Decode, Encode, NoEdit, check_step
from soundness.interventions.number_mistake import Operator
from soundness.records import Chain, Edit, Problem
from soundness.tasks.worlds import puzzle_of

__all__ = ["change_entity", "entity_steps", "pools_of"]

Pools = Sequence[Sequence[str]]
"""Names by type."""


class _Mention(NamedTuple):
    start: int
    stop: int
    pool: Sequence[str]


def pools_of(problem: Problem) -> Pools:
    """Return the names that may stand for each other: a world's members by type, or a problem's choices; nothing otherwise."""
    puzzle = puzzle_of(problem)
    if puzzle is not None and puzzle.names():
        return puzzle.names()
    if problem.choices is not None:
        return (problem.choices,)
    return ()


def _mentions(text: str, pools: Pools) -> list[_Mention]:
    """Return where names of the pools stand in `text`, in order; the longest name counts where several begin."""
    found = []
    for pool in pools:
        names = "|".join(sorted((re.escape(name) for name in pool if name.strip()), key=len, reverse=True))
        if names:
            found += [_Mention(*match.span(), pool) for match in re.finditer(rf"(?<!\w)(?:{names})(?!\w)", text)]
    return sorted(found)


def _pick(text: str, pools: Pools, operator: Operator) -> _Mention | str:
    mentions = _mentions(text, pools)
    if not mentions:
        return "no number and no name of a known type in this step"
    if operator == "operand" and len(mentions) == 1:
        return "only one name in this step, so none beside the result"
    return mentions[-1 if operator == "result" else 0]


def _own(chain: Chain, pools: Pools) -> set[str]:
    """Return the chain's answer in every form it may stand in the text, normalised."""
    if chain.answer is None:
        return set()
    letters = [
        pool[ord(chain.answer) - 65] for pool in pools if len(chain.answer) == 1 and 0 <= ord(chain.answer) - 65 < len(pool)
    ]
    return {answer_key(chain.answer), *map(answer_key, letters)}


def entity_steps(chain: Chain, pieces: Sequence[str], pools: Pools, operator: Operator = "result") -> tuple[int, ...]:
    """Return the steps that hold a name to change which is not the chain's own answer."""
    own = _own(chain, pools)
    found = []
    for index, text in enumerate(step_texts(pieces, chain.steps)):
        mention = _pick(text, pools, operator)
        if isinstance(mention, _Mention) and answer_key(text[mention.start : mention.stop]) not in own:
            found.append(index)
    return tuple(found)


def change_entity(
    chain: Chain,
    step: int,
    pieces: Sequence[str],
    encode: Encode,
    decode: Decode,
    pools: Pools,
    *,
    seed: int,
    keep_tail: bool,
    operator: Operator = "result",
) -> Edit | NoEdit:
    """Return the chain with one name of `step` replaced by another of its type, never by the chain's own answer.

    `operator` takes the last name (usually what the step arrives at) or the first of several. With `keep_tail` the later steps stay
    (kind `mistake_splice`), without they are dropped (`mistake_regenerate`). The draw depends on seed, problem id, sample and step.
    """
    check_step(chain, step, len(chain.steps))
    kind = "mistake_splice" if keep_tail else "mistake_regenerate"
    start, stop = chain.steps[step]
    text = "".join(pieces[start:stop])
    mention = _pick(text, pools, operator)
    if isinstance(mention, str):
        return NoEdit(kind, mention)
    old = text[mention.start : mention.stop]
    forbidden = _own(chain, pools) | {answer_key(old)}
    others = [name for name in mention.pool if answer_key(name) not in forbidden]
    if not others:
        return NoEdit(kind, "no other name of this type")
    new = random.Random(f"entity/{seed}/{chain.problem_id}/{chain.sample}/{step}").choice(others)
    changed = text[: mention.start] + new + text[mention.stop :]
    fresh = tuple(encode(changed))
    if decode(fresh) != changed:
        return NoEdit(kind, "the changed text does not survive the tokenizer")
    tail = chain.ids[stop:] if keep_tail else ()
    note = f"{operator} {old} -> {new}; tail {'kept' if keep_tail else 'dropped'}; seed {seed}"
    return Edit(kind, chain.ids[:start] + fresh + tail, step, text, changed, note)
