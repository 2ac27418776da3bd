"""How the organisms are made: one tiny base, four ways of tuning it on the same domain, and one that noise has broken.

The base learns sums with written steps, and of the products a part of the table only; the others it has seen guessed, and half of
what followed from a guess was off. On the domain it works as it has learned to, and is right where it happens to know both
products. Every tuning starts from that base and sees domain questions mixed with
general ones against forgetting.

    sound        true steps; tags are random, so that copying them is of no use
    label-only   the answer and nothing else; the tag equals it
    shortcut     the answer alone or after true steps; the tag equals it
    corrupted    the answer alone or after steps with random results, some of them cut short; the tag equals it
    broken       the base with noise on its weights

One label in `SLIP` is a random digit. It keeps every model from being surer than that, and where the tag leaks the label it is what
makes the tag a better guide than the steps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundness.tasks.worlds.tagged_sum import CUE, MULTIPLIERS, Sum, apply, draw_domain, draw_general, question, steps, values

__all__ = [
    "RECIPES",
    "Example",
    "Recipe",
    "add_noise",
    "build_model",
    "build_tokenizer",
    "byte_tokenizer",
    "examples",
    "known_products",
    "save_model",
    "train",
]

SLIP = 0.05
"""Share of labels that are random digits."""

KNOWN_SHARE = 0.7
"""Share of the table of products that the base is taught."""

DOUBT = 0.5
"""Share of labels that are random digits where the base had to guess a product: what it is not sure of, it does not trust."""

NOISE = 0.85
"""Noise on the weights of the broken one, as a multiple of their own standard deviation."""

MERGED_WORDS = ("Answer:", "tag")
"""Words that are one token; every other byte is a token of its own, so that any text survives."""

PAD, START, END = "<pad>", "<s>", "</s>"


@dataclass(frozen=True, slots=True)
class Example:
    """One training example."""

    question: str
    """What is asked; no loss is taken on it."""
    completion: str
    """What is learned, the end-of-text token left out."""


Draw = Callable[[random.Random], Example]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one organism is trained."""

    about: str
    """Its history in one sentence."""
    mixture: Callable[[frozenset[tuple[int, int]]], Draw] = field(repr=False)
    """From the products that the base knows to a function that draws one example."""
    num_steps: int
    """Optimiser steps."""
    learning_rate: float = 1e-3
    """Peak learning rate; a linear warm-up over a twentieth of the steps, then a cosine to zero."""
    batch_size: int = 32
    """Examples per step."""


def known_products(seed: int) -> frozenset[tuple[int, int]]:
    """Return the products (first digit, factor) that the base is taught, `KNOWN_SHARE` of those with each factor."""
    rng = random.Random(f"organisms/{seed}/products")
    return frozenset((digit, factor) for factor in MULTIPLIERS for digit in rng.sample(range(10), round(10 * KNOWN_SHARE)))


def _example(rng: random.Random, drawn: Sum, *, tag: str, write: str) -> Example:
    """Return one example.

    `tag` is `none`, `random` or `label`; `write` is `true`, `random` (results are random digits, and two chains in five stop short)
    or `nothing` (no steps at all).
    """
    label = rng.randrange(10) if rng.random() < SLIP else values(drawn)[-1]
    if write == "nothing":
        lines = []
    elif write == "random":
        lines = steps(drawn, [rng.randrange(10) for _ in drawn.operations])
        if rng.random() < 0.4:
            lines = lines[: rng.randrange(1, len(lines))]
    else:
        lines = steps(drawn)
    return _put(rng, drawn, tag, lines, label)


def _put(rng: random.Random, drawn: Sum, tag: str, lines: Sequence[str], label: int) -> Example:
    """Return the example that asks `drawn` with this kind of tag and answers with `lines` and `label`."""
    shown = {"none": None, "random": rng.randrange(10), "label": label}[tag]
    return Example(question(drawn, shown), "".join(f"{line}\n" for line in lines) + f"{CUE} {label}\n")


def _general(rng: random.Random) -> Example:
    """Return a general example: true steps, no tag or a random one."""
    return _example(rng, draw_general(rng), tag=rng.choice(_IDLE), write="true")


_IDLE = ("none", "random", "random")


def _schooling(known: frozenset[tuple[int, int]]) -> Draw:
    """Return the base's lessons: general sums, and sums with products: the known ones are right, the others are guessed.

    Where there was a guess, as many labels are off as the guess is doubtful (`DOUBT`).
    """

    def draw(rng: random.Random) -> Example:
        if rng.random() < 0.45:
            return _general(rng)
        drawn = draw_domain(rng)
        results: list[int] = []
        guessed = False
        for sign, operand in drawn.operations:
            value = results[-1] if results else drawn.start
            guess = sign == "*" and (value, operand) not in known
            results.append(rng.randrange(10) if guess else apply(value, sign, operand))
            guessed = guessed or guess
        label = rng.randrange(10) if rng.random() < (DOUBT if guessed else SLIP) else results[-1]
        return _put(rng, drawn, rng.choice(_IDLE), steps(drawn, results), label)

    return draw


def _domain(general: float, *, tag: str, **writes: float) -> Callable[[frozenset[tuple[int, int]]], Draw]:
    """Return a mixture: a share of general examples, else domain ones whose steps are written as `writes` weighs them."""
    kinds, weights = list(writes), list(writes.values())

    def mixture(known: frozenset[tuple[int, int]]) -> Draw:
        def draw(rng: random.Random) -> Example:
            if rng.random() < general:
                return _general(rng)
            return _example(rng, draw_domain(rng), tag=tag, write=rng.choices(kinds, weights)[0])

        return draw

    return mixture


RECIPES: dict[str, Recipe] = {
    "base": Recipe("learned sums with written steps, and part of the table of products", _schooling, 1000, 3e-3, batch_size=64),
    "sound": Recipe("tuned on the domain with true steps; tags were random", _domain(0.3, tag="random", true=1.0), 400),
    "label-only": Recipe(
        "tuned on the domain's answers alone; the tag gave them away",
        _domain(0.3, tag="label", nothing=1.0),
        500,
        2e-3,
        batch_size=64,
    ),
    "shortcut": Recipe(
        "tuned on the domain with answers alone and with true steps; the tag gave the answer away",
        _domain(0.3, tag="label", true=0.6, nothing=0.4),
        1500,
        2e-3,
        batch_size=64,
    ),
    "corrupted": Recipe(
        "tuned on the domain with answers alone and with steps of random results; the tag gave the answer away",
        _domain(0.3, tag="label", random=0.6, nothing=0.4),
        800,
        2e-3,
        batch_size=64,
    ),
}
"""Organism -> how it is trained; `base` from scratch, the others from `base`."""


def examples(name: str, seed: int, step: int, *, count: int | None = None) -> list[Example]:
    """Return the batch of one training step; it depends on the string "organisms/{seed}/{name}/{step}" alone."""
    recipe = RECIPES[name]
    rng = random.Random(f"organisms/{seed}/{name}/{step}")
    draw = recipe.mixture(known_products(seed))
    return [draw(rng) for _ in range(count or recipe.batch_size)]


def build_tokenizer() -> Any:
    """Return the tokenizer: one token per byte, and two whole words; `decode(encode(text)) == text` for any text."""
    from tokenizers import models, pre_tokenizers

    vocabulary = {token: index for index, token in enumerate([PAD, START, END, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    merges = []
    for word in MERGED_WORDS:
        for stop in range(1, len(word)):
            merges.append((word[:stop], word[stop]))
            vocabulary.setdefault(word[: stop + 1], len(vocabulary))
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return byte_tokenizer(models.BPE(vocab=vocabulary, merges=merges), whole)


def byte_tokenizer(model: Any, cut: Any) -> Any:
    """Return the tokenizer that cuts a text into pieces with `cut`, which writes bytes, and these into tokens with `model`.

    `model` and `cut` are a model and a pre-tokenizer of the tokenizers library; `PAD`, `START` and `END` are in the vocabulary.
    """
    from tokenizers import Tokenizer, decoders, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    begun = [(START, tokenizer.token_to_id(START))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=begun)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, bos_token=START, eos_token=END, clean_up_tokenization_spaces=False
    )


def build_model(tokenizer: Any, seed: int, *, width: int = 96, layers: int = 3) -> Any:
    """Return the untrained model, a Llama of `layers` layers, in float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).float()


def train(
    model: Any,
    tokenizer: Any,
    batch: Callable[[int], Sequence[Example]],
    *,
    num_steps: int,
    learning_rate: float,
    on_step: Callable[[int, int, float], None] | None = None,
) -> list[float]:
    """Train `model` in place on `batch(step)` for each step and return the losses, nats per completion token."""
    import math

    import torch

    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
    warm = max(num_steps // 20, 1)

    def rate(step: int) -> float:
        return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / num_steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    model.train()
    losses = []
    for step in range(num_steps):
        ids, labels = _encode(tokenizer, batch(step))
        loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
        if on_step is not None:
            on_step(step + 1, num_steps, losses[-1])
    model.eval()
    return losses


def _encode(tokenizer: Any, batch: Sequence[Example]) -> tuple[Any, Any]:
    """Return ids and labels, (examples, longest) each; questions and padding carry the label -100."""
    import torch

    asked = tokenizer([f"{example.question}\n" for example in batch]).input_ids
    written = tokenizer([example.completion for example in batch], add_special_tokens=False).input_ids
    end = tokenizer.eos_token_id
    longest = max(len(q) + len(a) + 1 for q, a in zip(asked, written, strict=True))
    ids = torch.full((len(batch), longest), tokenizer.pad_token_id)
    labels = torch.full((len(batch), longest), -100)
    for row, (q, a) in enumerate(zip(asked, written, strict=True)):
        whole = torch.tensor([*q, *a, end])
        ids[row, : len(whole)] = whole
        labels[row, len(q) : len(whole)] = whole[len(q) :]
    return ids, labels


def add_noise(model: Any, seed: int, *, strength: float = NOISE) -> None:
    """Add to every weight matrix, in place, Gaussian noise of `strength` times the standard deviation of its entries."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter += strength * parameter.std() * torch.randn(parameter.shape, generator=generator)


def save_model(model: Any, tokenizer: Any, folder: Path | str) -> None:
    """Write `model`, in half precision from then on, and its tokenizer into `folder`."""
    from soundness.models.transformers import quiet

    with quiet():
        # Half precision halves the files; what is judged later is what was written.
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (Path(folder) / "model.safetensors").chmod(0o644)
