"""What a transformers model writes and how text becomes ids: batches, draws, templates, odd tokenizers, adapters."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from soundness.chains.sample import sample_chains
from soundness.errors import ModelError
from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.models.transformers import pick_dtype, render_prompt
from soundness.records import Probe, Problem
from soundness.tasks.base import Task


@pytest.fixture
def task():
    return Task("sums", tuple(Problem(f"p{i}", "What is " + " + ".join("1" * (i + 1)) + "?", str(i + 1)) for i in range(7)))


def nats(model, probes):
    return np.array([reading.nats for reading in model.read(probes)])


PROBES = [Probe(tuple(range(3, 3 + n)), (50, 60)) for n in (1, 20, 40)]

# --- text and ids -----------------------------------------------------------------------------------------------------


def test_it_is_a_model(tiny):
    assert isinstance(tiny.load("llama"), Model)


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(st.sampled_from("ab 1\n.é√🙂中")))
def test_fragments_come_back_and_pieces_join(tiny, text):
    model = tiny.load("llama")
    ids = model.encode(text)
    assert model.decode(ids) == text
    pieces = model.pieces(ids)
    assert (len(pieces), "".join(pieces)) == (len(ids), text)


@settings(max_examples=60, deadline=None, database=None)
@given(st.lists(st.integers(0, 258), max_size=60))
def test_pieces_join_whatever_was_written(tiny, ids):
    model = tiny.load("llama")
    assert len(model.pieces(ids)) == len(ids)
    assert "".join(model.pieces(ids)) == model.decode(ids)


@pytest.mark.smollm2
def test_pieces_join_on_a_real_vocabulary(smollm2):
    text = "3 + 4 = 7 🙂 — naïve √2, 中文.\n\n<|im_start|>so 18." * 3
    ids = smollm2.encode(text)
    pieces = smollm2.pieces(ids)
    assert (len(pieces), "".join(pieces), smollm2.decode(ids)) == (len(ids), text, text)


def test_nothing_encodes_to_nothing(tiny):
    assert tiny.load("llama").encode("") == []
    assert tiny.load("llama").pieces([]) == []


def test_a_prompt_without_a_chat_template_is_plain_text_behind_one_start_token(tiny):
    prompt = tiny.load("llama").render("What is 2 + 2?")
    assert prompt.text == "What is 2 + 2?\n"
    assert prompt.ids == (0, *tiny.load("llama").encode(prompt.text))


def test_a_prompt_follows_the_chat_template(tiny):
    prompt = render_prompt(tiny.byte_tokenizer(chat=True), "What is 2 + 2?")
    assert prompt.text == "[user] What is 2 + 2?\n[assistant] "
    assert 0 not in prompt.ids, "the template says where the start token stands"


@pytest.mark.smollm2
def test_the_prompt_of_smollm2_has_each_special_token_once(smollm2):
    prompt = smollm2.render("Hi")
    assert prompt.text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert smollm2.decode(prompt.ids) == prompt.text


def test_no_end_of_text_token_closes_a_prompt(tiny):
    from tokenizers import processors

    tokenizer = tiny.byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    assert tokenizer.encode("a")[-1] == 1
    assert render_prompt(tokenizer, "a").ids == tuple(tokenizer.encode("a\n")[:-1])


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_same_seed_other_batch_size_same_chains(tiny, task, kind, temperature):
    model = tiny.load(kind)
    samples = 1 if temperature == 0 else 2
    by_size = [
        sample_chains(model, task, samples=samples, seed=3, temperature=temperature, max_tokens=30, batch_size=size)
        for size in (1, 3, 16)
    ]
    assert by_size[0] == by_size[1] == by_size[2]
    if temperature:
        assert len({chain.ids for chain in by_size[0]}) == 14
        part = Task("part", task.problems[4:])
        alone = sample_chains(model, part, samples=1, seed=3, temperature=1.0, max_tokens=30)
        assert alone == [chain for chain in by_size[0][8:] if chain.sample == 0]
        other = sample_chains(model, task, samples=2, seed=4, temperature=1.0, max_tokens=30)
        assert not {chain.ids for chain in other} & {chain.ids for chain in by_size[0]}


def test_draws_follow_the_models_probabilities(tiny):
    model = tiny.load("llama")
    prefix = tuple(range(10, 30))
    with torch.inference_mode():
        logits = model.module(input_ids=torch.tensor([prefix])).logits[0, -1].double()
    for temperature in (1.0, 2.0):
        expected = torch.softmax(logits / temperature, dim=-1).numpy()
        made = model.generate([prefix] * 2000, max_tokens=1, temperature=temperature, keys=[f"k{i}" for i in range(2000)])
        seen = Counter(generation.ids[0] if generation.ids else 1 for generation in made)
        common = [number for number in np.argsort(-expected) if expected[number] * 2000 >= 8]
        observed = np.array([seen[number] for number in common])
        wanted = expected[common] * 2000
        rest, rest_wanted = 2000 - observed.sum(), 2000 - wanted.sum()
        assert chisquare([*observed, rest], [*wanted, rest_wanted]).pvalue > 1e-3


def test_nucleus_keeps_the_fewest_tokens_of_that_mass(tiny):
    model = tiny.load("llama")
    prefix = tuple(range(10, 30))
    with torch.inference_mode():
        probability = torch.softmax(model.module(input_ids=torch.tensor([prefix])).logits[0, -1].double(), dim=-1)
    ranked, order = probability.sort(descending=True)
    size = int((ranked.cumsum(0) - ranked < 0.6).sum())
    made = model.generate([prefix] * 400, max_tokens=1, temperature=1.0, top_p=0.6, keys=[f"k{i}" for i in range(400)])
    drawn = {generation.ids[0] if generation.ids else 1 for generation in made}
    assert drawn <= set(order[:size].tolist())
    assert len(drawn) > 1


def test_greedy_writes_the_most_likely_tokens(tiny):
    model = tiny.load("llama")
    prefix = tuple(range(10, 30))
    (written,) = model.generate([prefix], max_tokens=12)
    assert written.ids
    assert model.read([Probe(prefix, written.ids)])[0].top


def test_a_limit_is_told_from_an_end(tiny):
    model = tiny.load("llama")
    made = model.generate([(0, 5)] * 60, max_tokens=25, temperature=2.0, keys=[str(i) for i in range(60)])
    for generation in made:
        assert not {0, 1} & set(generation.ids[-1:]) or generation.finish == "length"
        assert (generation.finish == "length") == (len(generation.ids) == 25)
        assert 1 not in generation.ids
    assert {generation.finish for generation in made} == {"stop", "length"}


def test_until_ends_each_row_by_itself(tiny):
    model = tiny.load("llama")
    prefixes = [(0, number) for number in range(10, 40)]
    keys = [str(number) for number in prefixes]
    free = model.generate(prefixes, max_tokens=40, temperature=2.0, keys=keys)
    held = model.generate(prefixes, max_tokens=40, temperature=2.0, keys=keys, until="b")
    cut = 0
    for whole, part in zip(free, held, strict=True):
        text = model.decode(whole.ids)
        if "b" in text:
            cut += 1
            assert (model.decode(part.ids), part.finish) == (text[: text.index("b") + 1], "stop")
        else:
            assert part == whole
    assert 0 < cut < len(prefixes)


def test_an_empty_prefix_starts_a_text(tiny):
    model = tiny.load("llama")
    assert model.generate([()], max_tokens=5) == model.generate([(model.start_id,)], max_tokens=5)
    assert model.generate([], max_tokens=5) == []


def test_a_draw_needs_its_key(tiny):
    with pytest.raises(ValueError, match="draw key"):
        tiny.load("llama").generate([(0, 5)], max_tokens=2, temperature=1.0)


def test_a_tokenizer_without_a_pad_token_batches_and_reads_the_same(tiny, task):
    folder = tiny.folder("llama", tokenizer=tiny.byte_tokenizer(pad=False), name="no-pad")
    model = load_model(str(folder), dtype="float32", device="cpu", reader="plain")
    assert model.tokenizer.pad_token_id is None
    batched = sample_chains(model, task, seed=1, temperature=1.0, max_tokens=20, batch_size=7)
    assert batched == sample_chains(model, task, seed=1, temperature=1.0, max_tokens=20, batch_size=1)
    np.testing.assert_allclose(nats(model, PROBES), [nats(model, [p])[0] for p in PROBES], atol=1e-4)


def test_sampling_defaults_of_a_checkpoint_change_nothing(tiny):
    from transformers import GenerationConfig

    folder = tiny.folder("llama", name="opinionated")
    GenerationConfig(eos_token_id=1, repetition_penalty=3.0, max_new_tokens=2).save_pretrained(folder)
    opinionated = load_model(str(folder), dtype="float32", device="cpu")
    prefix = [tuple(range(10, 30))]
    assert opinionated.generate(prefix, max_tokens=20) == tiny.load("llama").generate(prefix, max_tokens=20)


# --- identity ---------------------------------------------------------------------------------------------------------


def test_a_fingerprint_names_weights_and_dtype_and_vocabulary(tiny):
    same = load_model(str(tiny.folder("llama", name="copy")), dtype="float32", device="cpu")
    other = load_model(str(tiny.folder("llama", seed=1)), dtype="float32", device="cpu")
    half = tiny.load("llama", dtype="bfloat16")
    model = tiny.load("llama")
    assert same.fingerprint == model.fingerprint
    assert len({model.fingerprint, other.fingerprint, half.fingerprint}) == 3
    assert model.vocabulary == other.vocabulary
    before = model.fingerprint
    changed = load_model(str(tiny.folder("llama", name="changed")), dtype="float32", device="cpu")
    with torch.no_grad():
        changed.module.lm_head.weight[7, 7] += 1e-3
    assert changed.fingerprint != before


def test_tiny_models_run_in_float32_and_large_ones_as_the_machine_likes():
    cpu = torch.device("cpu")
    assert pick_dtype(None, cpu, 1_000_000) is torch.float32
    assert pick_dtype("bfloat16", cpu, 1_000_000) is torch.bfloat16
    with pytest.raises(ModelError, match="unknown dtype 'int8'.*float32"):
        pick_dtype("int8", cpu)


# --- adapters ---------------------------------------------------------------------------------------------------------


def test_adapters_swap_on_one_base_and_leave_it_as_it_was(tiny, make_adapter):
    folder = tiny.folder("llama", name="adapted")
    one, two = make_adapter(folder, "one", seed=1), make_adapter(folder, "two", seed=2)
    base = load_model(str(folder), dtype="float32", device="cpu")
    before, fingerprint = nats(base, PROBES), base.fingerprint
    written = base.generate([(0, 9, 9)], max_tokens=10)
    first = load_model(f"{folder}+{one}", dtype="float32", device="cpu")
    second = load_model(str(two), dtype="float32", device="cpu")  # its base is found by itself
    assert first.shared is base.shared is second.shared, "the base is loaded once"
    tuned = [nats(first, PROBES), nats(second, PROBES)]
    assert np.abs(tuned[0] - before).max() > 0.1
    assert np.abs(tuned[0] - tuned[1]).max() > 0.1
    for _ in range(2):
        np.testing.assert_array_equal(nats(base, PROBES), before)
        np.testing.assert_array_equal(nats(second, PROBES), tuned[1])
        np.testing.assert_array_equal(nats(first, PROBES), tuned[0])
    assert base.generate([(0, 9, 9)], max_tokens=10) == written != first.generate([(0, 9, 9)], max_tokens=10)
    fresh = load_model(str(tiny.folder("llama", name="adapted-again")), dtype="float32", device="cpu")
    assert base.fingerprint == fingerprint == fresh.fingerprint
    assert len({base.fingerprint, first.fingerprint, second.fingerprint}) == 3
    assert (first.choice.reader, first.notes, base.choice.reader) == ("packed", [], "packed")


def test_a_model_with_an_adapter_reads_the_same_in_three_ways_and_as_if_merged(tiny, make_adapter):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tiny.folder("gemma3", name="adapted-gemma")
    adapter = make_adapter(folder, "one", seed=1)
    model = load_model(f"{folder}+{adapter}", dtype="float32", device="cpu")
    found = {}
    for model.reader in ("packed", "cached", "plain"):
        found[model.reader] = nats(model, PROBES)
    merged = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), adapter
    ).merge_and_unload()
    for probe, packed, cached, plain in zip(PROBES, *found.values(), strict=True):
        with torch.inference_mode():
            logits = merged(input_ids=torch.tensor([[*probe.prefix, *probe.continuation]])).logits[0].double()
        logp = torch.log_softmax(logits, dim=-1)[len(probe.prefix) - 1 : -1]
        wanted = logp.gather(1, torch.tensor(probe.continuation)[:, None]).sum().item()
        assert [packed, cached, plain] == pytest.approx([wanted] * 3, abs=2e-4)


def test_module_is_the_model_asked_for_whatever_else_is_loaded(tiny, make_adapter):
    folder = tiny.folder("llama", name="module")
    base = load_model(str(folder), dtype="float32", device="cpu")
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        wanted = base.module(input_ids=ids).logits
        tuned = load_model(f"{folder}+{make_adapter(folder, 'one')}", dtype="float32", device="cpu")
        changed = tuned.module(input_ids=ids).logits
        assert not torch.equal(changed, wanted)
        assert torch.equal(base.module(input_ids=ids).logits, wanted)
        base.read(PROBES)
        assert torch.equal(tuned.module(input_ids=ids).logits, changed)


def test_an_adapter_that_changes_nothing_is_told(tiny, make_adapter, caplog):
    folder = tiny.folder("llama", name="idle")
    with caplog.at_level(logging.WARNING, logger="soundness"):
        model = load_model(f"{folder}+{make_adapter(folder, 'zero', zero=True)}", dtype="float32", device="cpu")
    assert "changes no logit of its base" in model.notes[0]
    assert model.notes[0] in caplog.text
    assert not load_model(f"{folder}+{make_adapter(folder, 'one')}", dtype="float32", device="cpu").notes


def test_a_prompt_tuning_adapter_is_never_read_piece_by_piece(tiny, make_adapter):
    folder = tiny.folder("llama", name="prompted-forced")
    adapter = make_adapter(folder, "prompt", prompt=True)
    for reader in ("packed", "cached"):
        model = load_model(f"{folder}+{adapter}", dtype="float32", device="cpu", reader=reader)
        with pytest.raises(ModelError, match="virtual tokens.*--reader .*plain"):
            model.read(PROBES)


def test_a_prompt_tuning_adapter_falls_back_and_says_so(tiny, make_adapter):
    folder = tiny.folder("llama", name="prompted")
    base = load_model(str(folder), dtype="float32", device="cpu")
    before = nats(base, PROBES)
    model = load_model(f"{folder}+{make_adapter(folder, 'prompt', prompt=True)}", dtype="float32", device="cpu")
    found = nats(model, PROBES)
    assert "virtual tokens in front" in model.notes[0]
    assert model.choice.reader != "packed"
    for probe, value in zip(PROBES, found, strict=True):
        with torch.inference_mode():
            logits = model.module(input_ids=torch.tensor([[*probe.prefix, *probe.continuation]])).logits[0].double()
        logp = torch.log_softmax(logits, dim=-1)[-len(probe.continuation) - 1 : -1]
        assert value == pytest.approx(logp.gather(1, torch.tensor(probe.continuation)[:, None]).sum().item(), abs=2e-4)
    np.testing.assert_array_equal(nats(base, PROBES), before)
