from __future__ import annotations

import codecs
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from soundness.records import Generation, Probe, Prompt, Reading

# The chat templates beside this file are read while tests are collected.
sys.path.insert(0, str(Path(__file__).parent))

END = 256


class ByteModel:
    """One id per byte. Greedy it counts up to the question's length; above temperature 0 it says what its key draws."""

    name = "bytes"
    fingerprint = "0"
    vocabulary = "0"
    context_length = None

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.lengths: list[int] = []

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")

    def pieces(self, ids: Sequence[int]) -> list[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return [decoder.decode(bytes([token]), final=place == len(ids) - 1) for place, token in enumerate(ids)]

    def render(self, message: str) -> Prompt:
        text = f"Q: {message}\n"
        return Prompt(text, tuple(self.encode(text)))

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | None = None,
    ) -> list[Generation]:
        assert keys is not None
        self.calls.append(list(keys))
        self.lengths += [len(prefix) for prefix in prefixes]
        made = []
        for prefix, key in zip(prefixes, keys, strict=True):
            number = len(prefix) if temperature == 0 else random.Random(key).randrange(10**6)
            ids = tuple(self.encode(f"I count bytes.\nThere are {number}.\nAnswer: {number}"))
            made.append(Generation(ids[:max_tokens], "stop" if len(ids) <= max_tokens else "length"))
        return made

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        return [Reading((0.0,) * len(probe.continuation), (True,) * len(probe.continuation)) for probe in probes]


@pytest.fixture
def model() -> ByteModel:
    return ByteModel()
