"""A model whose every word and reading is kept, so that nothing is computed twice and a killed run goes on where it stopped.

Batches are cut from the whole list of what is wanted, never from what happens to be missing, and each is committed at once. A
resumed run therefore meets the same batches as an uninterrupted one: numbers that depend on a batch's shape in their last bits
come out the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from soundness.models.base import Model
from soundness.models.store import GenerationRequest, Store
from soundness.records import Generation, Probe, Reading

__all__ = ["Recorded"]

Progress = Callable[[int, int], None]


@dataclass
class Recorded:
    """`model`, through `store`."""

    model: Model
    """Who answers what is not stored yet."""
    store: Store
    """What is stored."""
    batch_size: int = 8
    """Prefixes continued at once."""
    cases_at_once: int = 16
    """Groups of probes read at once: what they share, such as a system prompt, is read once for all of them."""
    counts: dict[str, int] = field(default_factory=lambda: {"tokens_written": 0, "probes_read": 0})
    """What was computed now, not found."""

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix as `Model.generate` does, all missing ones as one batch."""
        requests = [
            GenerationRequest(
                model=self.model.fingerprint,
                prefix=tuple(prefix),
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                key=keys[index] if keys is not None and temperature > 0 else "",
                until=until,
            )
            for index, prefix in enumerate(prefixes)
        ]
        found = self.store.get_generations(requests)
        lacking = [index for index, generation in enumerate(found) if generation is None]
        if lacking:
            made = self.model.generate(
                [requests[index].prefix for index in lacking],
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                keys=[keys[index] for index in lacking] if keys is not None else None,
                until=until,
            )
            self.store.put_generations(zip([requests[index] for index in lacking], made, strict=True))
            self.counts["tokens_written"] += sum(len(generation.ids) for generation in made)
            for index, generation in zip(lacking, made, strict=True):
                found[index] = generation
        return [generation for generation in found if generation is not None]

    def continue_all(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | None = None,
        on_progress: Progress | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix, longest prefixes first, `batch_size` at a time; equal requests are made once."""
        wanted = [(tuple(prefix), keys[index] if keys is not None else "") for index, prefix in enumerate(prefixes)]
        distinct = list(dict.fromkeys(wanted))
        if len(distinct) < len(wanted):
            made_once = self.continue_all(
                [prefix for prefix, _ in distinct],
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                keys=[key for _, key in distinct] if keys is not None else None,
                until=until,
                on_progress=on_progress,
            )
            by_request = dict(zip(distinct, made_once, strict=True))
            return [by_request[request] for request in wanted]
        order = sorted(range(len(prefixes)), key=lambda index: -len(prefixes[index]))
        made: dict[int, Generation] = {}
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            generations = self.generate(
                [prefixes[index] for index in batch],
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                keys=[keys[index] for index in batch] if keys is not None else None,
                until=until,
            )
            made.update(zip(batch, generations, strict=True))
            if on_progress is not None:
                on_progress(len(made), len(order))
        return [made[index] for index in range(len(prefixes))]

    def read(self, groups: Sequence[Sequence[Probe]], *, on_progress: Progress | None = None) -> dict[Probe, Reading]:
        """Return what the model believes of every probe in `groups` (one group per chain), each distinct probe read once."""
        readings: dict[Probe, Reading] = {}
        for start in range(0, len(groups), self.cases_at_once):
            batch = groups[start : start + self.cases_at_once]
            wanted = list(dict.fromkeys(probe for group in batch for probe in group if probe not in readings))
            found = self.store.get_readings(self.model.fingerprint, wanted)
            lacking = [probe for probe, reading in zip(wanted, found, strict=True) if reading is None]
            made = self.model.read(lacking) if lacking else []
            if lacking:
                self.store.put_readings(self.model.fingerprint, lacking, made)
                self.counts["probes_read"] += len(lacking)
            readings.update((probe, reading) for probe, reading in zip(wanted, found, strict=True) if reading is not None)
            readings.update(zip(lacking, made, strict=True))
            if on_progress is not None:
                on_progress(min(start + self.cases_at_once, len(groups)), len(groups))
        return readings
