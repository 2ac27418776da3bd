from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from soundness.errors import ModelError
from soundness.models.load import load_model
from soundness.training.data import IGNORED
from soundness.training.session import TrainingStep
from soundness.training.tiny_decoders import (
    END,
    PAD,
    Pair,
    batches_of,
    build_decoder,
    collate,
    complete,
    train_ids,
    word_tokenizer,
)

WORDS = ["copy", ":", *"abcdef"]


def tiny(architecture: Any = "llama", seed: int = 0) -> Any:
    return build_decoder(10, layers=2, heads=2, width=32, positions=64, architecture=architecture, seed=seed)


def copies(count: int, seed: int = 0) -> list[Pair]:
    """`copy a b : a b <end>`, the question unlearned."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        letters = [rng.randrange(4, 10) for _ in range(rng.randint(1, 4))]
        asked = [2, *letters, 3]
        found.append(([*asked, *letters, 1], [IGNORED] * len(asked) + [*letters, 1]))
    return found


def weights(model: Any) -> list[torch.Tensor]:
    return [one.detach().clone() for one in model.parameters()]


def same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


# Batches


def test_batches_hold_every_example_once_per_pass_and_like_lengths_together() -> None:
    examples = [([2] * length, [2] * length) for length in range(1, 129)]
    batches = list(islice(batches_of(examples, 4, seed=0), 64))
    assert [len(batch) for batch in batches] == [4] * 64
    lengths = [len(ids) for batch in batches for ids, _ in batch]
    assert Counter(lengths[:128]) == Counter(range(1, 129)) == Counter(lengths[128:])
    assert all(max(found) - min(found) <= 8 for found in ([len(ids) for ids, _ in batch] for batch in batches))
    assert batches[:8] == list(islice(batches_of(examples, 4, seed=0), 8))
    assert batches[:8] != list(islice(batches_of(examples, 4, seed=1), 8))


def test_what_is_drawn_does_not_depend_on_lengths() -> None:
    """Two sets that differ in lengths alone have seen the same examples after every 32 batches."""
    one = [([place] * (1 + place % 7), [place] * (1 + place % 7)) for place in range(500)]
    other = [([place] * (1 + place % 11), [place] * (1 + place % 11)) for place in range(500)]
    for batches in (32, 64, 160):
        drawn = [
            Counter(ids[0] for batch in islice(batches_of(examples, 8, seed=3), batches) for ids, _ in batch)
            for examples in (one, other)
        ]
        assert drawn[0] == drawn[1]


def test_more_is_drawn_than_there_is() -> None:
    assert len(next(batches_of(copies(3), 8, seed=0))) == 8


def test_collated_padding_is_not_learned_and_neither_is_the_first_place() -> None:
    batch = collate([([5, 6, 7], [5, 6, 7]), ([8], [8])])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED, IGNORED, IGNORED]]


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_padding_changes_no_loss(architecture: str) -> None:
    model = tiny(architecture).eval()
    pairs = copies(2, seed=1)
    long = ([2] * 20, [IGNORED] * 20)
    with torch.no_grad():
        alone = model(**collate(pairs)).loss
        beside = model(**collate([*pairs, long])).loss
    assert torch.allclose(alone, beside, atol=1e-6)


# Training


def test_one_step_is_the_step_of_a_bare_loop() -> None:
    """The same weights after five steps of AdamW on the same batches."""
    batches = [copies(8, seed=step) for step in range(5)]
    model, other = tiny(), tiny()
    losses = train_ids(
        model, batches.__getitem__, num_steps=5, learning_rate=1e-3, schedule="constant", warmup=0, weight_decay=0, device="cpu"
    )
    optimiser = torch.optim.AdamW(other.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0)
    bare = []
    other.train()
    for batch in batches:
        loss = other(**collate(batch)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        bare.append(loss.item())
    assert losses == pytest.approx(bare, abs=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(weights(model), weights(other), strict=True))


def test_a_copy_is_learned_saved_and_read_by_the_library(tmp_path: Path) -> None:
    told: list[TrainingStep] = []
    tokenizer = word_tokenizer(WORDS)
    model = tiny("gpt2")
    losses = train_ids(
        model,
        copies(256),
        num_steps=200,
        batch_size=16,
        learning_rate=5e-3,
        out=tmp_path,
        tokenizer=tokenizer,
        device="cpu",
        on_step=told.append,
    )
    assert len(losses) == 200 and losses[-1] < 0.2 * losses[0]
    assert [one.step for one in told] == list(range(2, 201, 2))
    assert told[0].loss == pytest.approx(sum(losses[:2]) / 2, abs=1e-6) and told[-1].learning_rate == pytest.approx(0, abs=1e-9)
    assert not model.training and model.dtype == torch.float32
    assert same(model, AutoModelForCausalLM.from_pretrained(tmp_path))
    loaded = load_model(str(tmp_path), dtype="float32")
    asked = loaded.encode("copy c :")
    assert loaded.decode(loaded.generate([asked], max_tokens=8)[0].ids).split() == ["c"]
    assert loaded.generate([asked], max_tokens=8)[0].ids == tuple(complete(model, [asked], max_tokens=8)[0])


def test_the_same_seed_gives_the_same_model_and_leaves_random_numbers_alone() -> None:
    models, losses = [tiny(), tiny(), tiny()], []
    for model, seed in zip(models, (1, 1, 2), strict=True):
        torch.manual_seed(9)
        random.seed(9)
        losses.append(train_ids(model, copies(64), num_steps=6, batch_size=4, seed=seed, device="cpu"))
        assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(9))
        assert random.random() == random.Random(9).random()
    assert losses[0] == losses[1] != losses[2]
    assert same(models[0], models[1]) and not same(models[0], models[2])


def test_the_cosine_ends_where_it_was_told_to() -> None:
    told: list[TrainingStep] = []
    train_ids(
        tiny(), copies(8), num_steps=50, batch_size=2, learning_rate=1e-3, final_rate=0.1, device="cpu", on_step=told.append
    )
    assert max(one.learning_rate for one in told) == pytest.approx(1e-3, rel=0.01)
    assert told[-1].learning_rate == pytest.approx(1e-4, rel=0.01)


def test_divergence_is_said(tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    with pytest.raises(ModelError, match="loss of step 1 is nan; use a lower learning_rate"):
        train_ids(model, copies(8), num_steps=3, batch_size=4, out=tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


# Models and tokenizers


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_decoder_is_the_same_for_the_same_seed(architecture: str) -> None:
    assert same(tiny(architecture), tiny(architecture)) and not same(tiny(architecture), tiny(architecture, seed=1))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_weights_have_the_spread_asked_for(architecture: Any) -> None:
    model = build_decoder(500, layers=1, heads=2, width=64, positions=64, architecture=architecture, spread=0.1)
    assert float(model.get_input_embeddings().weight.detach().std()) == pytest.approx(0.1, rel=0.05)


def test_dropout_is_off_unless_asked_for() -> None:
    """GPT-2 keeps 0.1 by itself."""
    model = tiny("gpt2").train()
    ids = torch.tensor([[2, 3, 4]])
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
    shaken = build_decoder(10, layers=2, heads=2, width=32, positions=64, architecture="gpt2", dropout=0.1).train()
    assert not torch.equal(shaken(input_ids=ids).logits, shaken(input_ids=ids).logits)


def test_words_are_tokens(tmp_path: Path) -> None:
    tokenizer = word_tokenizer(WORDS)
    assert tokenizer("copy a b : a b <end>").input_ids == [2, 4, 5, 3, 4, 5, 1]
    assert tokenizer.decode([2, 4, 3]).split() == ["copy", "a", ":"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, 10)
    assert tokenizer.get_vocab()[PAD] == 0 and tokenizer.get_vocab()[END] == 1
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("copy f").input_ids == [2, 9]
    with pytest.raises(Exception, match="UNK"):
        tokenizer("copy z")


# Completion


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def some_model(request: pytest.FixtureRequest) -> Any:
    """Random weights, and large: greedy choices are clear, so that padding's last digits change none."""
    model = tiny(request.param)
    with torch.no_grad():
        for one in model.parameters():
            one.mul_(6 if one.dim() > 1 else 1)
    return model


PREFIXES = [[2, 4], [5, 6, 7, 8, 9, 4], [3], [2, 7, 3], [9, 9, 4, 4, 2], [8, 2, 3]]


def slowly(model: Any, prefix: list[int], max_tokens: int, stops: tuple[int, ...]) -> list[int]:
    """Greedy continuation by a whole pass per token."""
    ids = list(prefix)
    while len(ids) < len(prefix) + max_tokens:
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token in stops:
            break
        ids.append(token)
    return ids[len(prefix) :]


@pytest.mark.parametrize("stops", [(), (1,), (4, 5, 6)])
def test_completions_are_those_of_whole_passes(some_model: Any, stops: tuple[int, ...]) -> None:
    wanted = [slowly(some_model, prefix, 12, stops) for prefix in PREFIXES]
    assert complete(some_model, PREFIXES, max_tokens=12, stops=stops) == wanted
    assert complete(some_model, PREFIXES, max_tokens=12, stops=stops, batch_size=2) == wanted


def test_samples_depend_on_seed_and_place_alone(some_model: Any) -> None:
    def sampled(**settings: Any) -> list[list[int]]:
        return complete(some_model, PREFIXES, max_tokens=10, temperature=1.0, stops=(), **settings)

    assert sampled() == sampled(batch_size=1) == sampled(batch_size=4)
    assert sampled() != sampled(seed=1)


def test_samples_follow_the_distribution() -> None:
    model = tiny()
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
        wanted = torch.softmax(model(input_ids=torch.tensor([[2, 4]])).logits[0, -1] / 2.0, -1)
    drawn = Counter(
        ids[0] for ids in complete(model, [[2, 4]] * 4000, max_tokens=1, temperature=2.0, stops=(), batch_size=1000)
    )
    found = torch.tensor([drawn[token] / 4000 for token in range(10)])
    assert float((found - wanted).abs().max()) < 0.03


def test_nothing_asked_nothing_written(some_model: Any) -> None:
    assert complete(some_model, [], max_tokens=3) == []
    assert complete(some_model, PREFIXES[:2], max_tokens=0) == [[], []]
