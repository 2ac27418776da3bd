"""Put filler in place of a chain or its tail: is it the words that help, or only the room?"""

from __future__ import annotations

from collections.abc import Sequence

from soundness.errors import SettingError
from soundness.interventions import Decode, Encode, check_step
from soundness.records import Chain, Edit

__all__ = ["FILLERS", "fill_steps", "fill_tail", "fill_whole", "filler_ids", "filler_lengths"]

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


def fill_steps(
    chain: Chain, num_steps: int, pieces: Sequence[str], encode: Encode, decode: Decode, text: str = FILLERS["dots"]
) -> Edit:
    """Return filler of as many tokens as the chain's first `num_steps` steps: the length-matched null of `truncate`.

    Raises `SettingError` where the chain has fewer steps.
    """
    check_step(chain, num_steps, len(chain.steps) + 1)
    length = len(chain.before(num_steps))
    filler = filler_ids(encode, length, text)
    return Edit(
        kind="fill_steps",
        ids=filler,
        step=None,
        before="".join(pieces[:length]),
        after=decode(filler),
        note=f"length of the first {num_steps} of {len(chain.steps)} steps; {_note(length, text)}",
    )


def fill_whole(chain: Chain, encode: Encode, decode: Decode, text: str = FILLERS["dots"], length: int | None = None) -> Edit:
    """Return filler in place of the whole chain, of its own token count or of `length` tokens."""
    filler = filler_ids(encode, len(chain.ids) if length is None else length, text)
    return Edit(
        kind="fill_whole", ids=filler, step=None, before=chain.text, after=decode(filler), note=_note(len(filler), text)
    )
