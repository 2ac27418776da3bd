"""Picking tokens: draws that come from a row's own key, and where a text ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, StoppingCriteria

from soundness.records import Stop

__all__ = ["Draw", "Until", "pick_tokens"]

_LOOK_BACK = 96
"""Tokens at the end of a text in which its end is looked for at every step; an answer line is shorter."""


class Draw(LogitsProcessor):
    """Picks each row's next token by that row's own random numbers, so that neighbours in the batch do not matter."""

    def __init__(self, keys: Sequence[str], temperature: float, top_p: float, max_tokens: int, prompt_length: int):
        draws = [
            np.random.Generator(
                np.random.Philox(key=int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))
            ).random(max_tokens)
            for key in keys
        ]
        self.uniform = torch.from_numpy(np.stack(draws))
        self.temperature = temperature
        self.top_p = top_p
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores that leave each row the one token it drew."""
        probability = torch.softmax(scores.float() / self.temperature, dim=-1)  # (rows, vocabulary)
        if self.top_p < 1.0:
            ranked, order = probability.sort(dim=-1, descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self.top_p
            probability = probability.masked_fill(outside.scatter(1, order, outside), 0.0)
        chosen = pick_tokens(probability, self.uniform[:, input_ids.shape[1] - self.prompt_length])
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


def pick_tokens(probability: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return for each row of probabilities, (rows, vocabulary), the token at which their sum passes `uniform`, (rows,).

    Sums are float64, so that one draw picks one token in any batch; MPS has none, so there the CPU sums.
    """
    mass = (probability.cpu() if probability.device.type == "mps" else probability).double().cumsum(dim=-1)
    passed = uniform.to(mass.device)[:, None] * mass[:, -1:]
    chosen = torch.searchsorted(mass, passed, right=True)[:, 0].clamp_(max=mass.shape[1] - 1)
    return chosen.to(probability.device)


class Until(StoppingCriteria):
    """Ends each row once its own text contains a string, or what a `Stop` looks for."""

    def __init__(self, text_of: Callable[[Sequence[int]], str], until: str | Stop, prompt_length: int):
        self.text_of, self.until, self.prompt_length = text_of, until, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return which rows have ended."""
        written = input_ids[:, self.prompt_length :].tolist()
        return torch.tensor([self._ends(row) for row in written], device=input_ids.device)

    def _ends(self, row: list[int]) -> bool:
        if isinstance(self.until, str):
            return self.until in self.text_of(row)
        if row and row[-1] in self.until.ids:
            return True
        # The end of the text first, which is cheap; what seems to begin there may have begun earlier.
        return self.until.end(self.text_of(row[-_LOOK_BACK:])) is not None and (
            len(row) <= _LOOK_BACK or self.until.end(self.text_of(row)) is not None
        )
