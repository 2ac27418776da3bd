"""Which way of reading a model is right for it: the fastest one that agrees with bare forward passes, as far as arithmetic allows.

Packed and cached reading rely on what a model's code does with masks, positions and caches; whether they are right is seen by
reading a few probes in each way. Two readings of one text in batches of different shape already differ by rounding, more in 16
bits and under autocast than the weights' type tells; what a faster way may differ by is measured on that, token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from soundness.models.options import Reader
from soundness.models.packed import CannotPack
from soundness.records import Probe

__all__ = ["Choice", "check_probes", "choose_reader"]

Read = Callable[[Reader, Sequence[Probe], int], np.ndarray]
"""(reader, probes, rows of a plain batch) -> nats of every scored token."""

PLAIN_BATCH = 8
"""Rows of a batch of plain reading."""

_LENGTHS = (9, 40, 80)
"""Tokens of the prefixes that are read: the last one is longer than any convolution and most tiny windows."""

_LONGEST = 384
"""Longest prefix read in a check, so that it costs seconds for the largest models; what lies beyond is kept by the masks' windows."""

_TOKENS = 8
"""Scored tokens per probe: several that follow a cache at once are what models with a state get wrong."""

_FLOORS = {torch.float32: (1e-3, 2.5e-4), torch.float16: (0.05, 0.01), torch.bfloat16: (0.3, 0.06)}
"""Nats by which readings may always differ, at most and in the mean, per type. SmolLM2-135M on random text in another batch shape:
2e-5, 0.03 and 0.19 at most, 0.07 in the mean of bfloat16; a state that is dropped: 1.5 to 5, and 0.4 and more in the mean."""

_MOST_NOISE = 1.0
"""Nats between a batch of rows and single rows beyond which batches are wrong for a model, and not merely rounded otherwise."""

_FACTOR_MOST, _FACTOR_MEAN = 4.0, 2.0
"""How far the largest and the mean difference may exceed those between two batch shapes. Of 24 tokens the largest is a noisy figure
and the mean a steady one: a state that is dropped (Jamba, Bamba) moves the mean by ten times the noise."""

_KERNEL = {torch.float16: 0.05, torch.bfloat16: 0.25}
"""Mean nats by which another kernel of attention may differ from the model's own, in 16 bits. gpt-oss softens its scores in 16 bits
where fused kernels keep 32: tiny random models of it are 0.2 apart, and both 0.3 from what 32 bits give."""

FAILURES = (CannotPack, TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError, IndexError, KeyError)
"""What a model's own code raises when it is asked in a way that it does not know."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model is read."""

    reader: Reader
    """`packed`, `cached` or `plain`."""
    plain_batch: int
    """Rows of a batch where it is read plain; 1 where other rows of a batch change what a row reads."""
    why: tuple[str, ...] = ()
    """Why faster ways are out, one line each."""
    apart: float | None = None
    """Largest difference from bare passes that was seen, nats; None where plain reading is all there is."""


def check_probes(vocabulary: int, windows: Sequence[int] = ()) -> list[Probe]:
    """Return probes of one trunk and its branches, of random ids below `vocabulary`, one beyond the smallest of `windows`."""
    rng = np.random.default_rng(0)
    reachable = [window + window // 4 for window in windows if window + window // 4 <= _LONGEST]
    lengths = (*_LENGTHS[:-1], max(_LENGTHS[-1], *reachable) if reachable else _LENGTHS[-1])
    size = min(vocabulary, 1000)
    trunk = rng.integers(0, size, lengths[-1]).tolist()
    return [Probe(tuple(trunk[:length]), tuple(rng.integers(0, size, _TOKENS).tolist())) for length in lengths]


def choose_reader(read: Read, probes: Sequence[Probe], dtype: torch.dtype) -> Choice:
    """Return the fastest way of reading that agrees with bare forward passes on `probes`, up to the noise of batch shapes."""
    bare = read("plain", probes, 1)
    most, mean = _FLOORS.get(dtype, _FLOORS[torch.bfloat16])
    batch = PLAIN_BATCH
    try:
        noise = np.abs(read("plain", probes, PLAIN_BATCH) - bare)
        if float(noise.max()) > _MOST_NOISE:
            batch = 1
        else:
            most, mean = max(most, _FACTOR_MOST * float(noise.max())), max(mean, _FACTOR_MEAN * float(noise.mean()))
    except FAILURES:
        batch = 1
    why: list[str] = []
    ways: tuple[Reader, ...] = ("packed", "cached")
    for reader in ways:
        try:
            found = read(reader, probes, batch)
            apart = np.abs(found - bare)
            if _within(apart, most, mean):
                return Choice(reader, batch, tuple(why), float(apart.max()))
            if reader == "packed" and dtype in _KERNEL:
                # Its kernel may round otherwise than the model's own. One probe alone has only the kernel's difference, and
                # among others no more than that on top.
                alone = np.concatenate([read(reader, [probe], batch) for probe in probes])
                kernel, company = np.abs(alone - bare), np.abs(found - alone)
                allowed = max(most, float(kernel.max())), max(mean, float(kernel.mean()) / 2)
                if float(kernel.mean()) <= _KERNEL[dtype] and _within(company, *allowed):
                    return Choice(reader, batch, tuple(why), float(apart.max()))
        except FAILURES as error:
            why.append(f"{reader}: {_first_line(error)}")
            continue
        why.append(f"{reader}: up to {apart.max():.2g} nats off a bare pass, where rounding explains {most:.2g}")
    return Choice("plain", batch, tuple(why))


def _within(apart: np.ndarray, most: float, mean: float) -> bool:
    return float(apart.max()) <= most and float(apart.mean()) <= mean


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
