from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from soundness.chains.steps import answer_step, split_steps, step_texts
from soundness.records import Chain, Prompt


def encode(text: str) -> list[int]:
    """One id per character, but a word takes up the one space in front of it: " a" is one token, as in real vocabularies."""
    ids: list[int] = []
    for character in text:
        if ids and ids[-1] == 32 and character.isalpha():
            ids[-1] = (1 << 21) + ord(character)
        else:
            ids.append(ord(character))
    return ids


def pieces(ids: Sequence[int]) -> list[str]:
    return [f" {chr(token - (1 << 21))}" if token >= 1 << 21 else chr(token) for token in ids]


def decode(ids: Sequence[int]) -> str:
    return "".join(pieces(ids))


def make_chain(
    text: str,
    *,
    problem_id: str = "q",
    sample: int = 0,
    answer: str | None = None,
    splitter: str = "auto",
    ids: Sequence[int] = (),
) -> Chain:
    tokens = tuple(encode(text))
    steps = split_steps(pieces(tokens), splitter)
    return Chain(
        problem_id=problem_id,
        model="fake",
        sample=sample,
        seed=0,
        prompt=Prompt("Q\n", (81, 10)),
        ids=tokens,
        text=text,
        finish="stop",
        steps=steps,
        answer=answer,
        answer_step=answer_step(step_texts(pieces(tokens), steps), answer),
    )


class Tools:
    """The fake vocabulary and chains written in it, for tests that cannot import this file."""

    encode = staticmethod(encode)
    decode = staticmethod(decode)
    pieces = staticmethod(pieces)
    chain: Callable[..., Chain] = staticmethod(make_chain)

    @staticmethod
    def steps(chain: Chain) -> tuple[str, ...]:
        return step_texts(pieces(chain.ids), chain.steps)


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()
