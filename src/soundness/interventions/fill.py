"""Put filler in place of a chain or its tail: is it the words that help, or only the room?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundness.errors import SettingError
from soundness.interventions import Decode, Encode, check_step
from soundness.interventions.base import EditKind, Supplies, spread
from soundness.records import Chain, Edit

__all__ = [
    "FILLERS",
    "FILL_TAIL",
    "FILL_TAIL_UNDERSCORES",
    "FILL_WHOLE",
    "fill_tail",
    "fill_whole",
    "filler_ids",
    "filler_lengths",
]

FILLERS = {"dots": " ...", "underscores": " _"}
"""Name -> filler text: the form of Lanham et al. 2023 (arXiv 2307.13702), and a second one to check it against."""


def filler_ids(encode: Encode, length: int, text: str = FILLERS["dots"]) -> tuple[int, ...]:
    """Return exactly `length` ids: those of `text`, repeated and cut. Shorter fillers are prefixes of longer ones.

    Tokens are matched rather than copies, since a copy may take several tokens. Raises `SettingError` where `length` is
    negative or `text` has no tokens.

    >>> filler_ids(lambda text: list(text.encode()), 6, " _")
    (32, 95, 32, 95, 32, 95)
    """
    if length < 0:
        raise SettingError(f"filler of at least 0 tokens is needed, and {length} were asked for")
    unit = tuple(encode(text))
    if not unit:
        raise SettingError(f"a filler text of at least one token is needed, and {text!r} has none")
    return (unit * -(-length // len(unit)))[:length]


def filler_lengths(longest: int, step: int = 5, most: int | None = None) -> list[int]:
    """Return the filler lengths to try, in tokens: 0, `step`, 2 `step`, ... and last `longest`, the longest chain's length.

    With `most` (at least 2), no more than that many of them, evenly spread, both ends kept.

    >>> filler_lengths(12), filler_lengths(0), filler_lengths(100, most=3)
    ([0, 5, 10, 12], [0], [0, 50, 100])
    """
    if longest < 0 or step < 1 or (most is not None and most < 2):
        raise SettingError(f"need longest >= 0, step >= 1 and most >= 2, and they are {longest}, {step} and {most}")
    lengths = [*range(0, longest, step), longest]
    if most is None or len(lengths) <= most:
        return lengths
    return [lengths[round(place * (len(lengths) - 1) / (most - 1))] for place in range(most)]


def _note(length: int, text: str) -> str:
    return f"{length} tokens of filler {text!r}"


def fill_tail(
    chain: Chain, keep_steps: int, pieces: Sequence[str], encode: Encode, decode: Decode, text: str = FILLERS["dots"]
) -> Edit:
    """Return the chain with everything after its first `keep_steps` steps replaced by filler of the same token count.

    Raises `SettingError` where the chain has fewer steps.
    """
    check_step(chain, keep_steps, len(chain.steps) + 1)
    kept = chain.before(keep_steps)
    filler = filler_ids(encode, len(chain.ids) - len(kept), text)
    return Edit(
        kind="fill_tail",
        ids=kept + filler,
        step=keep_steps if 0 < keep_steps < len(chain.steps) else None,
        before="".join(pieces[len(kept) :]),
        after=decode(filler),
        note=f"{keep_steps} of {len(chain.steps)} steps kept; {_note(len(filler), text)}",
    )


def fill_whole(chain: Chain, encode: Encode, decode: Decode, text: str = FILLERS["dots"], length: int | None = None) -> Edit:
    """Return filler in place of the whole chain, of its own token count or of `length` tokens."""
    filler = filler_ids(encode, len(chain.ids) if length is None else length, text)
    return Edit(
        kind="fill_whole", ids=filler, step=None, before=chain.text, after=decode(filler), note=_note(len(filler), text)
    )


# Each further place costs a tail to read, and the mean over a few evenly spread ones is as good a mean over problems.
_PLACES = 4


def _tails(body: Chain, supplies: Supplies, form: str) -> list[Edit]:
    # Never after all of the steps: nothing would be filled, and the untouched chain would count among the fills.
    kept = spread(0, len(body.steps), _PLACES)
    return [fill_tail(body, num, supplies.pieces, supplies.encode, supplies.decode, FILLERS[form]) for num in kept]


def _dots(body: Chain, supplies: Supplies) -> list[Edit]:
    return _tails(body, supplies, "dots")


def _underscores(body: Chain, supplies: Supplies) -> list[Edit]:
    # The kind of the edit names the operator too, so that two fillers of one chain are told apart.
    return [replace(edit, kind="fill_tail_underscores") for edit in _tails(body, supplies, "underscores")]


def _wholes(body: Chain, supplies: Supplies) -> list[Edit]:
    lengths = [length for length in filler_lengths(len(body.ids), most=_PLACES + 1) if length]
    return [fill_whole(body, supplies.encode, supplies.decode, length=length) for length in lengths]


FILL_TAIL = EditKind("fill_tail", _dots)
"""The chain with all behind its first i of K steps replaced by dots, up to four i < K."""

FILL_TAIL_UNDERSCORES = EditKind("fill_tail_underscores", _underscores)
"""The same with underscores: a check on the form of the filler."""

FILL_WHOLE = EditKind("fill_whole", _wholes)
"""Nothing but dots, up to four lengths, the longest as long as the chain."""
