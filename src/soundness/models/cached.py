"""A model whose every word and reading is kept, so that nothing is computed twice and a killed run goes on where it stopped.

Batches are cut from the front of what is missing, sorted, and each is committed at once. A resumed run finds whole batches done
and the rest in the same order, so it meets the batches that an uninterrupted one meets: numbers that depend on a batch's shape in
their last bits come out the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from soundness.errors import BrokenModelError, ModelError
from soundness.models.base import Model
from soundness.models.store import GenerationRequest, Store
from soundness.probes.forest import build
from soundness.records import Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting

__all__ = ["CachedModel", "Work", "as_cached"]

Progress = Callable[[int, int], None]

SAME_WEIGHTS = 0.5
"""Nats that one reading of the same weights may move with the engine's batches: bfloat16 moves a token by some hundredths, quantised
activations by up to 0.3; other weights move one of four unrelated texts by more."""


@runtime_checkable
class Streams(Protocol):
    """A model that takes everything at once and hands each answer over when it is done, as servers do."""

    def generate_each(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (place among the prefixes, continuation) in the order in which they end."""
        ...

    def read_each(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Reading]]:
        """Yield (place among the probes, reading) in the order in which they end."""
        ...


@runtime_checkable
class HasIdentity(Protocol):
    """A model whose weights cannot be looked at."""

    def identity(self) -> list[Probe]:
        """Return probes that another model would read otherwise."""
        ...


@dataclass
class Work:
    """What was computed, not found."""

    tokens_written: int = 0
    """Tokens that the model wrote."""
    probes_read: int = 0
    """Probes that it read."""
    tokens_read: int = 0
    """Tokens of the forests that it read, where they are counted."""
    seconds_writing: float = 0.0
    """Time spent in the model's `generate`."""
    seconds_reading: float = 0.0
    """Time spent in the model's `read`."""


class CachedModel:
    """`model` through `store`; without a store (None), the same batches and the same answers, and nothing is kept.

    `batch_size` prefixes are continued at once, longest first, and `groups_at_once` groups of probes are read at once: what they
    share, such as a system prompt, is read once for all of them. What is asked under another `scope` is stored apart, so that it
    is computed again. `count_tokens_read` counts the tokens of the forests that are read, which takes as long as building them.
    """

    def __init__(
        self,
        model: Model,
        store: Store | None = None,
        *,
        batch_size: int = 8,
        groups_at_once: int = 16,
        scope: str = "",
        count_tokens_read: bool = False,
    ) -> None:
        self.model = model
        self.store = store
        self.batch_size = batch_size
        self.groups_at_once = groups_at_once
        self.count_tokens_read = count_tokens_read
        self.work = Work()
        self._scope = scope

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def fingerprint(self) -> str:
        """The model's fingerprint, the same with and without a store."""
        return self.model.fingerprint

    @property
    def vocabulary(self) -> str:
        """The model's vocabulary."""
        return self.model.vocabulary

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model reads, or None where there is no limit."""
        return self.model.context_length

    def encode(self, text: str) -> list[int]:
        """Return the model's ids of a fragment of text."""
        return self.model.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
        return self.model.decode(ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return one string per id whose join is `decode(ids)`."""
        return self.model.pieces(ids)

    @property
    def instructed(self) -> bool:
        """Whether the model was taught to answer a message."""
        return bool(getattr(self.model, "instructed", True))

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the model's prompt that asks `message`."""
        return self.model.render(message) if prompting is None else self.model.render(message, prompting)

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
        on_progress: Progress | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix as `Model.generate` does, equal requests made once.

        `on_progress(requests done, requests in all)` is called after each batch, and once where nothing is missing.
        """
        requests = [
            GenerationRequest(
                model=self._storage_name,
                prefix=tuple(prefix),
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                key=keys[index] if keys is not None and temperature > 0 else "",
                until=until,
            )
            for index, prefix in enumerate(prefixes)
        ]
        distinct = list(dict.fromkeys(requests))
        stored = self.store.get_generations(distinct) if self.store is not None else [None] * len(distinct)
        known = {request: found for request, found in zip(distinct, stored, strict=True) if found is not None}
        missing = sorted((request for request in distinct if request not in known), key=lambda request: -len(request.prefix))
        if on_progress is not None and distinct and not missing:
            on_progress(len(distinct), len(distinct))
        if isinstance(self.model, Streams):
            for request, generation in self._written_each(missing, keyed=keys is not None):
                known[request] = generation
                if on_progress is not None:
                    on_progress(len(known), len(distinct))
            missing = []
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            known.update(zip(batch, self._write(batch, keyed=keys is not None), strict=True))
            if on_progress is not None:
                on_progress(len(known), len(distinct))
        return [known[request] for request in requests]

    def _written_each(
        self, requests: Sequence[GenerationRequest], *, keyed: bool
    ) -> Iterator[tuple[GenerationRequest, Generation]]:
        """Yield each request with its continuation as the model has it, kept at once: a kill loses what is under way and no more."""
        assert isinstance(self.model, Streams)
        begun = time.perf_counter()
        for place, generation in self.model.generate_each(
            [request.prefix for request in requests], **_common(requests, keyed=keyed)
        ):
            self.work.tokens_written += len(generation.ids)
            if self.store is not None:
                self.store.put_generations([(requests[place], generation)])
            yield requests[place], generation
        self.work.seconds_writing += time.perf_counter() - begun

    def _write(self, batch: Sequence[GenerationRequest], *, keyed: bool) -> list[Generation]:
        """Return the model's continuations of requests that differ in prefix and key alone, and keep them."""
        begun = time.perf_counter()
        generations = self.model.generate([request.prefix for request in batch], **_common(batch, keyed=keyed))
        self.work.seconds_writing += time.perf_counter() - begun
        self.work.tokens_written += sum(len(generation.ids) for generation in generations)
        if self.store is not None:
            self.store.put_generations(zip(batch, generations, strict=True))
        return generations

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe, in the order asked, each distinct probe read once."""
        readings = self.read_groups([probes])
        return [readings[probe] for probe in probes]

    def read_groups(self, groups: Sequence[Sequence[Probe]], *, on_progress: Progress | None = None) -> dict[Probe, Reading]:
        """Return what the model believes of every probe in `groups` (one group per chain), each distinct probe read once."""
        readings: dict[Probe, Reading] = {}
        for start in range(0, len(groups), self.groups_at_once):
            batch = groups[start : start + self.groups_at_once]
            wanted = list(dict.fromkeys(probe for group in batch for probe in group if probe not in readings))
            stored = self.store.get_readings(self._storage_name, wanted) if self.store is not None else [None] * len(wanted)
            readings.update((probe, found) for probe, found in zip(wanted, stored, strict=True) if found is not None)
            missing = [probe for probe in wanted if probe not in readings]
            if missing:
                readings.update(zip(missing, self._read(missing), strict=True))
            if on_progress is not None:
                on_progress(min(start + self.groups_at_once, len(groups)), len(groups))
        return readings

    def _read(self, probes: Sequence[Probe]) -> list[Reading]:
        begun = time.perf_counter()
        if isinstance(self.model, Streams):
            known: dict[int, Reading] = {}
            for place, reading in self.model.read_each(probes):
                known[place] = reading
                self._check_numbers([reading])
                if self.store is not None:
                    self.store.put_readings(self._storage_name, [probes[place]], [reading])
            readings = [known[place] for place in range(len(probes))]
        else:
            readings = self.model.read(probes)
            self._check_numbers(readings)
        self.work.seconds_reading += time.perf_counter() - begun
        self.work.probes_read += len(probes)
        if self.count_tokens_read:
            self.work.tokens_read += build([p if p.prefix else replace(p, prefix=(0,)) for p in probes]).num_tokens
        if self.store is not None and not isinstance(self.model, Streams):
            self.store.put_readings(self._storage_name, probes, readings)
        return readings

    def check_identity(self) -> None:
        """Raise ModelError where the model that answers now is another than the one whose answers are kept under its name.

        Weights that lie here are told by their fingerprint. Those behind a server are told by a few readings, kept at the first call
        and made anew at every later one.
        """
        if not isinstance(self.model, HasIdentity) or self.store is None:
            return
        probes = self.model.identity()
        scope = f"{self.model.fingerprint}/identity"
        now = self.model.read(probes)
        kept = self.store.get_readings(scope, probes)
        for before, after in zip(kept, now, strict=True):
            if before is not None and abs(before.nats - after.nats) > SAME_WEIGHTS:
                raise ModelError(
                    f"{self.name} is another model than the one that this folder was begun with (a probe that it read at "
                    f"{before.nats:.2f} nats is at {after.nats:.2f} now): serve that one again, or use another --out"
                )
        self.store.put_readings(scope, probes, now)

    def _check_numbers(self, readings: Sequence[Reading]) -> None:
        """Raise BrokenModelError, with nothing kept, where a log-probability is no finite number."""
        odd = [nats for reading in readings for nats in reading.token_nats if not math.isfinite(nats)]
        if odd:
            raise BrokenModelError(
                f"{self.model.name} gives {odd[0]} where a log-probability was wanted ({len(odd)} of "
                f"{sum(len(reading.token_nats) for reading in readings)} in one batch): its weights hold NaN or infinities, or "
                "overflow in the dtype that it is loaded in; load it with --dtype float32, or look at how it was trained",
                self.model.fingerprint,
            )

    @property
    def _storage_name(self) -> str:
        if self.store is None:
            return ""  # the fingerprint of a model in training changes with every step, and takes a pass over its weights
        return f"{self.model.fingerprint}/{self._scope}" if self._scope else self.model.fingerprint


def _common(requests: Sequence[GenerationRequest], *, keyed: bool) -> dict[str, Any]:
    """Return the arguments of `generate` that all of `requests` share, and their keys."""
    first = requests[0] if requests else GenerationRequest("", (), 0)
    return {
        "max_tokens": first.max_tokens,
        "temperature": first.temperature,
        "top_p": first.top_p,
        "keys": [request.key for request in requests] if keyed else None,
        "until": first.until,
    }


def as_cached(model: Model, batch_size: int = 8) -> CachedModel:
    """Return `model` itself where it is a `CachedModel`, else one over it that keeps nothing."""
    return model if isinstance(model, CachedModel) else CachedModel(model, batch_size=batch_size)
