"""How strongly one answer is believed after a prefix: an open answer by its tokens, a choice among all choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soundness.records import Probe, Reading

__all__ = ["Belief"]

Read = Callable[[Probe], Reading]


@dataclass(frozen=True, slots=True)
class Belief:
    """An answer that can be looked for after any prefix."""

    ids: tuple[int, ...]
    """The answer's scored tokens."""
    rivals: tuple[tuple[int, ...], ...] = ()
    """The scored tokens of every choice, this one included; empty for an open answer."""

    def probes(self, prefix: Sequence[int]) -> tuple[Probe, ...]:
        """Return the probes that `nats`, `share` and `given` need after `prefix`."""
        asked = tuple(prefix)
        return tuple(Probe(asked, ids) for ids in (self.rivals or (self.ids,)))

    def nats(self, prefix: Sequence[int], read: Read) -> float:
        """Return log p of the answer's tokens after `prefix`, nats."""
        return read(Probe(tuple(prefix), self.ids)).nats

    def share(self, prefix: Sequence[int], read: Read) -> float:
        """Return the log of the answer's probability among the choices (nats), or `nats` for an open answer.

        Among choices the liking for the format cancels, which tuning changes.
        """
        own = self.nats(prefix, read)
        if not self.rivals:
            return own
        values = [read(Probe(tuple(prefix), ids)).nats for ids in self.rivals]
        best = max(values)
        return own - best - math.log(math.fsum(math.exp(value - best) for value in values))

    def given(self, prefix: Sequence[int], read: Read) -> bool:
        """Return whether this is the answer given after `prefix`: the greedy one, or the most likely choice."""
        if not self.rivals:
            return read(Probe(tuple(prefix), self.ids)).top
        own = self.nats(prefix, read)
        return all(own >= read(Probe(tuple(prefix), ids)).nats for ids in self.rivals)

    def likeliest(self, prefix: Sequence[int], read: Read) -> int:
        """Return the index of the most likely choice after `prefix`; ties go to the first."""
        values = [read(Probe(tuple(prefix), ids)).nats for ids in self.rivals]
        return values.index(max(values))
