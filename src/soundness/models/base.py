"""What a model is to us: a handful of verbs.

Anything with these can be audited. `soundness.models.scripted` does it without a network, in plain Python;
`soundness.models.transformers` wraps a real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from soundness.records import Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting

__all__ = ["Model"]


@runtime_checkable
class Model(Protocol):
    """A language model that can write and can say how likely a text is."""

    @property
    def name(self) -> str:
        """The specification it was loaded from, short enough for a table."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest that changes with weights, adapter, dtype or vocabulary."""
        ...

    @property
    def vocabulary(self) -> str:
        """Hex digest of the tokenizer; ids of one model mean the same to another exactly if these agree."""
        ...

    @property
    def context_length(self) -> int | None:
        """The most tokens that prompt and continuation may have together, or None where there is no limit."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the ids of a fragment of text: no special tokens added, no dummy space in front."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens shown."""
        ...

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return one string per id whose join is `decode(ids)`; a character split over ids belongs to the last of them."""
        ...

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`, a user's message or a conversation that ends in one.

        That is the chat template where there is one, plain text otherwise; `prompting` says which and with what variables.
        """
        ...

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix, in order.

        Greedy at temperature 0. Otherwise the draw for prefix i depends on `keys[i]` alone, not on its neighbours. A generation
        ends at the model's end-of-text token, at `max_tokens`, or once its text contains `until` (finish `stop`; the tokens
        that hold it are kept). A `Stop` ends it where it says, and leaves out what stands behind that end.
        """
        ...

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe, in the order asked."""
        ...
