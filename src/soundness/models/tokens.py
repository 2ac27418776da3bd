"""Texts and token ids of a Hugging Face tokenizer, exact at the seams: fragments in the middle of a text, and a piece per token.

Without torch: a tokenizer alone is enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

__all__ = ["decode", "encode_fragment", "token_pieces", "vocabulary_digest"]

_WINDOW = 24
"""Tokens decoded together to find the text of the last one; all of them would cost quadratic time."""

_CONTEXT = 4
"""Tokens kept when the window moves on: what a decoder strips or joins depends on the one or two before."""


def encode_fragment(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of `text` in the middle of a text: no special tokens, and no dummy space that some tokenizers put in front.

    The fragment is encoded behind a newline whose ids are then cut off; where the newline merges with what follows, the plain
    encoding stands.
    """
    if not text:
        return []
    plain: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if decode(tokenizer, plain) == text:
        alone = tokenizer.convert_ids_to_tokens(plain[0]) if plain else ""
        if not str(alone).startswith("▁") or text.startswith(" "):
            return plain
    marker: list[int] = tokenizer.encode("\n", add_special_tokens=False)
    joined: list[int] = tokenizer.encode("\n" + text, add_special_tokens=False)
    return joined[len(marker) :] if joined[: len(marker)] == marker else plain


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of `ids`, special tokens shown, blanks as the model wrote them."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def token_pieces(text_of: Callable[[Sequence[int]], str], ids: Sequence[int]) -> list[str]:
    """Return one string per id whose join is `text_of(ids)`; a character split over ids belongs to the last of them."""
    pieces: list[str] = []
    window, known = 0, ""  # text of ids[window:len(pieces)] that has been given out
    for stop in range(1, len(ids) + 1):
        text = text_of(ids[window:stop])
        if text.endswith("\N{REPLACEMENT CHARACTER}") or not text.startswith(known):
            pieces.append("")  # a character is still open
            continue
        pieces.append(text[len(known) :])
        known = text
        if stop - window >= _WINDOW:
            window = stop - _CONTEXT
            known = text_of(ids[window:stop])
    whole = text_of(ids)
    joined = "".join(pieces)
    if pieces and joined != whole:
        if whole.startswith(joined):
            pieces[-1] += whole[len(joined) :]
        else:  # the tokenizer's text depends on more context than the window holds
            ends = [0, *(len(text_of(ids[:stop])) for stop in range(1, len(ids))), len(whole)]
            ends = list(accumulate((min(end, len(whole)) for end in ends), max))
            pieces = [whole[low:high] for low, high in zip(ends, ends[1:], strict=False)]
    return pieces


def vocabulary_digest(tokenizer: Any) -> str:
    """Return a digest of the token strings in id order."""
    items = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return hashlib.blake2b(repr(items).encode(), digest_size=16).hexdigest()
