"""The fastest reader that is right is picked, whatever rounding there is; a wrong one never is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundness.models.packed import CannotPack
from soundness.models.readers import check_probes, choose_reader

PROBES = check_probes(1000)
SIZE = sum(len(probe.continuation) for probe in PROBES)
TRUTH = -np.linspace(1, 20, SIZE)


def reads(*, batch=0.0, packed=0.0, cached=0.0, seed=0):
    """Return a way to read whose batches and readers are off by so many nats (or raise)."""
    rng = np.random.default_rng(seed)
    noise = {name: rng.uniform(-1, 1, SIZE) for name in ("batch", "packed", "cached")}
    asked = []

    def read(reader, probes, rows):
        asked.append((reader, len(probes), rows))
        off = {"plain": 0.0 if rows == 1 else batch, "packed": packed, "cached": cached}[reader]
        if isinstance(off, Exception):
            raise off
        start = next(i for i, probe in enumerate(PROBES) if probe == probes[0]) * 8
        part = slice(start, start + 8 * len(probes))
        name = "batch" if reader == "plain" else reader
        return TRUTH[part] + (off if callable(off) is False and np.ndim(off) else off * noise[name][part])

    read.asked = asked
    return read


@pytest.mark.parametrize(
    ("dtype", "options", "reader"),
    [
        (torch.float32, {}, "packed"),
        (torch.float32, {"packed": 1e-4}, "packed"),
        (torch.float32, {"packed": 0.02}, "cached"),
        (torch.float32, {"packed": 0.02, "batch": 0.02}, "packed"),  # autocast: what the weights' type does not tell
        (torch.float32, {"packed": 0.02, "cached": 0.02}, "plain"),
        (torch.bfloat16, {"packed": 0.1, "batch": 0.1}, "packed"),
        (torch.bfloat16, {"packed": 3.0, "batch": 0.1, "cached": 0.1}, "cached"),
        (torch.bfloat16, {"packed": CannotPack("no"), "cached": 1.5, "batch": 0.1}, "plain"),  # a state that is dropped
        (torch.float32, {"packed": TypeError("no such argument"), "cached": CannotPack("no cache")}, "plain"),
    ],
)
def test_the_fastest_right_one_is_picked(dtype, options, reader):
    choice = choose_reader(reads(**options), PROBES, dtype)
    assert choice.reader == reader
    assert len(choice.why) == {"packed": 0, "cached": 1, "plain": 2}[reader]


@pytest.mark.parametrize("batch", [5.0, RuntimeError("rows of unequal length")])
def test_a_model_that_batches_wrongly_is_read_row_by_row(batch):
    choice = choose_reader(reads(batch=batch, packed=CannotPack("no"), cached=CannotPack("no")), PROBES, torch.float32)
    assert (choice.reader, choice.plain_batch) == ("plain", 1)


def test_one_token_that_is_far_off_is_enough():
    """0.1 took the mean: one token of 24 that is off by two nats passed in bfloat16."""
    off = np.zeros(SIZE)
    off[7] = 2.0
    choice = choose_reader(reads(packed=CannotPack("no"), cached=off), PROBES, torch.bfloat16)
    assert choice.reader == "plain"
    assert "up to 2 nats off a bare pass" in choice.why[-1]


def test_an_error_of_our_own_is_not_taken_for_the_models():
    with pytest.raises(ZeroDivisionError):
        choose_reader(reads(packed=ZeroDivisionError()), PROBES, torch.float32)


@pytest.mark.parametrize(("windows", "longest"), [((), 80), ((16,), 80), ((128,), 160), ((128, 4096), 160), ((4096,), 80)])
def test_a_check_reaches_beyond_small_windows_and_stays_small(windows, longest):
    probes = check_probes(50_000, windows)
    assert max(len(probe.prefix) for probe in probes) == longest
    assert all(token < 1000 for probe in probes for token in (*probe.prefix, *probe.continuation))
