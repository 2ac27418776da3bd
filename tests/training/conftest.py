"""A tiny model that has learned something: it tosses a coin in writing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.records import Problem
from soundness.tasks.base import Task

HEADS, TAILS = "0 + 1 = 1\nAnswer: 1", "0 + 0 = 0\nAnswer: 0"


@pytest.fixture(scope="session")
def coin_task() -> Task:
    """Eight problems whose answer is 1; the last two ask for 0."""
    problems = [
        Problem(str(i), f"Toss {i}.", "1" if i < 6 else "0", steps=("0 + 1 = 1",) if i < 6 else ("0 + 0 = 0",))
        for i in range(8)
    ]
    return Task("coins", tuple(problems), instruction="")


@pytest.fixture(scope="session")
def coin_model(tmp_path_factory: pytest.TempPathFactory, tiny: Any, coin_task: Task) -> Path:
    """The folder of a Llama that writes one of two worked answers to any toss, either about half of the time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from soundness.models.transformers import render_prompt
    from soundness.training.data import closing_id

    tokenizer = tiny.byte_tokenizer(chat=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).float().train()
    rows, labels = [], []
    for problem in coin_task.problems:
        prompt = list(render_prompt(tokenizer, coin_task.message(problem)).ids)
        for text in (HEADS, TAILS):
            completion = [*tokenizer.encode(text, add_special_tokens=False), closing_id(tokenizer)]
            rows.append(prompt + completion)
            labels.append([-100] * len(prompt) + completion)
    width = max(map(len, rows))
    ids = torch.tensor([row + [2] * (width - len(row)) for row in rows])
    targets = torch.tensor([row + [-100] * (width - len(row)) for row in labels])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = model(input_ids=ids, attention_mask=(ids != 2).long(), labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    assert loss < 0.1, "the fixture has learned nothing"  # log 2 on one of about 20 tokens is left
    folder = tmp_path_factory.mktemp("coin") / "coin"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
