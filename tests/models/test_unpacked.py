"""Three ways of reading, one answer: each agrees with a bare forward pass over one probe at a time."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soundness.errors import ModelError
from soundness.models.load import load_model
from soundness.records import Probe

KINDS = ("llama", "qwen2", "gemma3", "gemma2", "mistral")
READERS = ("packed", "cached", "plain")
TOLERANCE = 1e-4  # nats a token, float32

quick = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
token = st.integers(3, 258)
text = st.text(st.sampled_from("ab 12=\n.é√🙂中"), max_size=12).map(lambda t: [b + 3 for b in t.encode()])
trunk = st.lists(token, min_size=20, max_size=60)


@st.composite
def forests(draw):
    """Return probes with shared prefixes, duplicates, empty prefixes, short and long continuations, and unicode text."""
    shared = draw(trunk)
    probes = []
    for _ in range(draw(st.integers(1, 7))):
        cut = draw(st.integers(0, len(shared)))
        prefix = shared[:cut] + draw(st.one_of(st.just([]), text, st.lists(token, max_size=3)))
        continuation = draw(st.one_of(st.lists(token, min_size=1, max_size=1), st.lists(token, min_size=1, max_size=30)))
        probes.append(Probe(tuple(prefix), tuple(continuation)))
    probes += draw(st.lists(st.sampled_from(probes), max_size=3))
    return probes


def bare(model, probe):
    """Return (nats, is the most likely) per continuation token from one plain forward pass, nothing of ours in between."""
    prefix = list(probe.prefix) or [model.start_id]
    ids = torch.tensor([[*prefix, *probe.continuation]])
    with torch.inference_mode():
        logits = model.module(input_ids=ids).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)[len(prefix) - 1 : -1]
    chosen = logp.gather(1, torch.tensor(probe.continuation)[:, None])[:, 0]
    return chosen.tolist(), (chosen >= logp.amax(dim=1)).tolist()


def read(model, probes, reader):
    before, model.reader = model.reader, reader
    try:
        return model.read(probes)
    finally:
        model.reader = before


def agree(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.token_nats, b.token_nats, atol=TOLERANCE, rtol=0)
        assert a.token_top == b.token_top


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(probes=forests())
def test_every_reader_agrees_with_a_bare_forward_pass(tiny, kind, probes):
    model = tiny.load(kind)
    wanted = [bare(model, probe) for probe in probes]
    for reader in READERS:
        for reading, (nats, top) in zip(read(model, probes, reader), wanted, strict=True):
            np.testing.assert_allclose(reading.token_nats, nats, atol=TOLERANCE, rtol=0, err_msg=reader)
            assert list(reading.token_top) == top


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
@settings(quick, max_examples=4)
@given(probes=forests(), seed=st.integers(0, 99))
def test_a_probe_alone_equals_the_probe_in_company_in_any_order(tiny, kind, reader, probes, seed):
    model = tiny.load(kind)
    together = read(model, probes, reader)
    agree(together, [read(model, [probe], reader)[0] for probe in probes])
    order = np.random.default_rng(seed).permutation(len(probes)).tolist()
    agree([together[i] for i in order], read(model, [probes[i] for i in order], reader))


@pytest.mark.smollm2
def test_smollm2_reads_the_same_in_three_ways(smollm2):
    prompt = smollm2.render("Ana has 3 apples — buys 4 more 🍏. How many?").ids
    steps = smollm2.encode("She starts with 3.\nShe buys 4, so 3 + 4 = 7.\nThat is √49 = 7.\n")
    cue, answers = smollm2.encode("\nAnswer:"), [smollm2.encode(" 7\n"), smollm2.encode(" twelve apples\n")]
    probes = [Probe((*prompt, *steps[:cut], *cue), tuple(a)) for cut in (0, 7, 19, len(steps)) for a in answers]
    probes += [probes[2], Probe((), tuple(answers[0])), Probe(tuple(cue), tuple(steps))]
    plain = read(smollm2, probes, "plain")
    for reader in ("packed", "cached"):
        agree(read(smollm2, probes, reader), plain)
    agree([plain[0], plain[5]], [read(smollm2, [probes[i]], "packed")[0] for i in (0, 5)])
    for reading, probe in zip(plain[:3], probes[:3], strict=True):
        np.testing.assert_allclose(reading.token_nats, bare(smollm2, probe)[0], atol=TOLERANCE, rtol=0)


def test_readings_are_proper_log_probabilities(tiny):
    model = tiny.load("llama")
    everything = read(model, [Probe((5, 6), (number,)) for number in range(259)], "packed")
    assert sum(np.exp(reading.nats) for reading in everything) == pytest.approx(1, abs=1e-5)
    assert sum(reading.top for reading in everything) == 1


@pytest.mark.parametrize("reader", READERS)
def test_bfloat16_runs_and_is_near_float32(tiny, reader):
    half, full = tiny.load("llama", dtype="bfloat16"), tiny.load("llama")
    probes = [Probe(tuple(range(3, 3 + n)), (50, 60)) for n in (1, 20, 40)]
    found, wanted = read(half, probes, reader), read(full, probes, "plain")
    assert half.dtype == torch.bfloat16
    difference = [
        abs(a - b) for x, y in zip(found, wanted, strict=True) for a, b in zip(x.token_nats, y.token_nats, strict=True)
    ]
    assert 0 < np.mean(difference) < 0.5


def test_no_probes_give_no_readings(tiny):
    assert tiny.load("llama").read([]) == []


def test_a_model_that_cannot_be_packed_falls_back_says_it_once_and_is_right(tiny, caplog):
    model = load_model(str(tiny.folder("mamba")), dtype="float32", device="cpu")
    probes = [Probe(tuple(range(3, 3 + n)), (50, 60, 70)) for n in (1, 20, 40)] + [Probe((), (9,))]
    with caplog.at_level(logging.WARNING, logger="soundness"):
        found = model.read(probes)
        assert model.read(probes) == found
    for reading, probe in zip(found, probes, strict=True):
        np.testing.assert_allclose(reading.token_nats, bare(model, probe)[0], atol=TOLERANCE, rtol=0)
    said = [record.getMessage() for record in caplog.records if record.name == "soundness"]
    assert len(said) == len(model.notes) == 1
    assert "is read plain, which is slower" in said[0]
    assert "linear_attention" in said[0]


@pytest.mark.parametrize("reader", ["packed", "cached"])
def test_a_forced_reader_that_cannot_be_is_an_error_with_the_way_out(tiny, reader):
    model = load_model(str(tiny.folder("mamba")), dtype="float32", device="cpu", reader=reader)
    with pytest.raises(ModelError, match=rf"cannot be read {reader}.*--reader .*plain"):
        model.read([Probe((4, 5), (6,))])


def test_the_packed_reader_is_picked_without_a_word_where_it_works(tiny):
    model = load_model(str(tiny.folder("gemma3")), dtype="float32", device="cpu")
    model.read([Probe((4, 5), (6,))])
    assert (model.choice.reader, model.notes) == ("packed", [])


def test_a_reader_that_disagrees_with_the_plain_one_is_not_picked(tiny, monkeypatch):
    from soundness.models import transformers

    def shifted(*arguments, **options):
        nats, top = transformers.read_plain_original(*arguments[:2], device=options["device"])
        return nats - 0.5, top

    monkeypatch.setattr(transformers, "read_plain_original", transformers.read_plain, raising=False)
    monkeypatch.setattr(transformers, "read_packed", shifted)
    model = load_model(str(tiny.folder("llama")), dtype="float32", device="cpu")
    model.read([Probe((4, 5), (6,))])
    assert model.choice.reader == "cached"
    assert "packed: up to 0.5 nats off a bare pass" in model.notes[0]


@pytest.mark.parametrize("most", [10**9, 2 * 259, 1])
def test_plain_reading_asks_for_logits_where_they_are_scored(tiny, monkeypatch, most):
    model = tiny.load("llama")
    module = model.module
    rng = np.random.default_rng(0)
    probes = [Probe(tuple(rng.integers(3, 259, n).tolist()), (4, 5, 6)) for n in (60, 61, 80)]
    wanted = read(model, probes, "packed")
    monkeypatch.setattr("soundness.models.unpacked._LOGITS", most)
    asked = []
    inner = module.forward

    def forward(*arguments, logits_to_keep=0, **options):
        asked.append((options["input_ids"].shape[0], len(logits_to_keep)))
        return inner(*arguments, logits_to_keep=logits_to_keep, **options)

    monkeypatch.setattr(module, "forward", forward)
    agree(read(model, probes, "plain"), wanted)
    if most == 10**9:
        assert asked == [(3, 7)], "one batch, the places 59 to 62 and 79 to 81 of 82"
    else:
        assert all(rows * places <= max(1, most // 259) for rows, places in asked)


def test_plain_reading_of_a_model_that_gives_all_logits(tiny, monkeypatch):
    model = tiny.load("llama")
    module = model.module
    wanted = [bare(model, probe)[0] for probe in (Probe((5, 6, 7), (8, 9)), Probe((5,), (4,)))]
    inner = module.forward
    monkeypatch.setattr(module, "forward", lambda *a, logits_to_keep=0, **options: inner(*a, **options))
    for reader in READERS:
        found = read(model, [Probe((5, 6, 7), (8, 9)), Probe((5,), (4,))], reader)
        for reading, nats in zip(found, wanted, strict=True):
            np.testing.assert_allclose(reading.token_nats, nats, atol=TOLERANCE, rtol=0, err_msg=reader)


def test_leaves_of_one_branching_point_are_read_together(tiny, monkeypatch):
    model = tiny.load("gemma3")
    module = model.module
    trunk = tuple(range(3, 33))
    probes = [Probe(trunk, (50 + n, *range(60, 60 + n))) for n in range(40)]
    wanted = read(model, probes, "plain")
    rows = []
    inner = module.forward

    def forward(*arguments, **options):
        rows.append(options["input_ids"].shape[0])
        return inner(*arguments, **options)

    monkeypatch.setattr(module, "forward", forward)
    agree(read(model, probes, "cached"), wanted)
    assert len(rows) <= 4
    assert max(rows) > 20
