"""Tiny decoders: training through the Trainer beside a bare loop, sampling in batches, and how fast mazes are made."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from soundness.tasks.worlds.maze import GENERATORS, answer_words, draws, query_words, search, vocabulary
from soundness.training.tiny_decoders import Pair, batches_of, build_decoder, collate, complete, train_ids, word_tokenizer

ROUNDS = 5
STEPS = 20
SIZE = 6
MAZES = 10_000


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of this part."""

    parameters: int
    tokens_per_step: float
    """Padding left out."""
    bare: float
    """Tokens per second, as all speeds below."""
    trainer: float
    ratio: float
    """Trainer over bare loop; median over rounds."""
    completed: float
    generated: float
    """By the library's own `generate`."""
    mazes: dict[str, float]
    """Generator -> seconds for `MAZES` 8 by 8 mazes with their searches in words."""


def decoder(vocab_size: int) -> Any:
    """Return the decoder of all figures."""
    return build_decoder(vocab_size, layers=4, heads=4, width=128, positions=512)


def bare_loop(model: Any, batches: Sequence[Sequence[Pair]]) -> None:
    """Train as `train_ids` does, with nothing around it."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True)
    model.train()
    for batch in batches:
        loss = model(**collate(batch)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def seconds(work: Any) -> float:
    """Return how long this process computed: others on the machine do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def library(model: Any, prefixes: Sequence[Sequence[int]], max_tokens: int) -> None:
    """Complete prefixes of one length with the library's `generate`, greedily, without a stop."""
    ids = torch.tensor([list(one) for one in prefixes])
    with torch.inference_mode():
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )


def measure() -> Measured:
    """Return every figure; rounds of the two ways of training are interleaved."""
    tokenizer = word_tokenizer(vocabulary(SIZE))
    ids = tokenizer.get_vocab()
    pairs: list[Pair] = []
    for maze in draws("wilson", SIZE, seed=0, count=1_000):
        row = [ids[word] for word in (*query_words(maze), *answer_words(*search(maze)))]
        pairs.append((row, row))
    batches = list(islice(batches_of(pairs, 16, seed=0), STEPS))
    tokens = sum(len(row) for batch in batches for row, _ in batch)
    model = decoder(len(ids))
    bare, trainer = [], []
    for _ in range(ROUNDS):
        bare.append(tokens / seconds(lambda: bare_loop(decoder(len(ids)), batches)))
        trainer.append(
            tokens / seconds(lambda: train_ids(decoder(len(ids)), batches.__getitem__, num_steps=STEPS, device="cpu"))
        )
    prefixes = [row[:64] for row, _ in pairs[:128]]
    complete(model, prefixes[:2], max_tokens=2)
    written = 128 * 128
    completed = [written / seconds(lambda: complete(model, prefixes, max_tokens=128, stops=())) for _ in range(3)]
    generated = [written / seconds(lambda: library(model, prefixes, 128)) for _ in range(3)]

    def make(generator: str) -> None:
        for maze in draws(generator, 8, seed=0, count=MAZES):
            query_words(maze)
            answer_words(*search(maze))

    return Measured(
        parameters=model.num_parameters(),
        tokens_per_step=tokens / STEPS,
        bare=statistics.median(bare),
        trainer=statistics.median(trainer),
        ratio=statistics.median(one / other for one, other in zip(trainer, bare, strict=True)),
        completed=statistics.median(completed),
        generated=statistics.median(generated),
        mazes={generator: seconds(lambda: make(generator)) for generator in GENERATORS},  # noqa: B023
    )


def section() -> str:
    """Return the part on tiny decoders and mazes."""
    found = measure()

    def against(value: float, target: float, digits: str, *, at_most: bool = False) -> str:
        reached = value <= target if at_most else value >= target
        return (
            f"{value:{digits}} ({'reached' if reached else 'missed'}: {'at most' if at_most else 'at least'} {target:{digits}})"
        )

    return "\n".join(
        [
            "## Tiny decoders and mazes",
            "",
            f"A Llama of {found.parameters:,} parameters on {SIZE} by {SIZE} mazes with their searches, batches of 16 ({found.tokens_per_step:,.0f} tokens), "
            f"float32, one thread.",
            "Tokens per second of processor time, so that other work on the machine does not count; "
            f"medians of {ROUNDS} interleaved rounds of {STEPS} steps,",
            "the Trainer's start included. Sampling: 128 prefixes of 64 tokens, 128 more each, greedy.",
            "",
            "| | tokens/s |",
            "|---|---|",
            f"| training, bare PyTorch loop | {found.bare:,.0f} |",
            f"| training, `train_ids` | {found.trainer:,.0f} |",
            f"| sampling, `complete` | {against(found.completed, 3000, ',.0f')} |",
            f"| sampling, the library's `generate` | {found.generated:,.0f} |",
            "",
            f"`train_ids` / bare loop: {against(found.ratio, 0.8, '.2f')}.",
            "",
            f"Seconds of one core for {MAZES:,} 8 by 8 mazes with their searches in words: "
            + ", ".join(f"{name} {against(taken, 10, '.1f', at_most=True)}" for name, taken in found.mazes.items())
            + ".",
        ]
    )
