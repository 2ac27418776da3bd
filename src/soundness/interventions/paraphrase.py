"""Say steps in other words and keep everything else: a chain that is used for its meaning does not notice."""

from __future__ import annotations

from collections.abc import Sequence

from soundness.interventions import Decode, Encode, NoEdit, check_step
from soundness.records import Chain, Edit

__all__ = ["paraphrase"]


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
