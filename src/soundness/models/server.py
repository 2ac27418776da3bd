"""A model behind a server: `server:http://localhost:8000/v1#NAME`. vLLM, SGLang, llama.cpp or any OpenAI-compatible completions.

Which of them it is is found by asking. Token ids go in and come back; where a server does not tell the ids of what it wrote, its text
is tokenised again and the model's notes say so. A key is taken from the environment (SOUNDNESS_API_KEY) and kept nowhere.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from soundness.errors import ModelError
from soundness.models.chat import render_prompt
from soundness.models.dialects import Dialect, Wanted, Written, find_dialect
from soundness.models.options import LoadOptions
from soundness.models.tokens import decode, encode_fragment, token_pieces, vocabulary_digest
from soundness.models.transport import Limits, Transport
from soundness.records import Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting, plain_text

__all__ = ["IDENTITY", "ServerModel", "load"]

IDENTITY = ("The capital of France is", "3 + 4 =", "def add(a, b):\n    return", "Once upon a time there was a")
"""Texts whose continuation tells one model from another behind the same name."""

# Two vocabularies that agree on all of this agree on what is asked here: scripts, digits, blanks, line ends, signs.
_SAMPLE = (
    "The 12,345 quick brown foxes' naïve café — 3.14 × 2 = 6.28?\n\n\tdef f(x):\n    return x**2  # ok\n"
    "中文 тест 🙂 <|im_end|> </s>"
)


def load(spec: str, options: LoadOptions) -> ServerModel:
    """Return the model that `server:URL` or `server:URL#NAME` names."""
    address, _, model = spec.removeprefix("server:").partition("#")
    return ServerModel(address, model or None, name=spec, tokenizer=options.tokenizer)


class ServerModel:
    """A model that is asked over HTTP.

    `generate_each` and `read_each` hand everything over at once and yield what is done, so that a server can batch as it likes and a
    caller can keep each answer as it comes. Sampled draws depend on their key through the request's seed, as far as the server keeps
    its promise that they do. Raises ModelError for a server that is down, answers wrongly or lacks what is asked of it.
    """

    def __init__(
        self,
        address: str,
        model: str | None = None,
        *,
        name: str = "",
        tokenizer: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._transport = Transport(address, limits)
        self._dialect: Dialect = find_dialect(self._transport, model)
        self._model = model or ""
        self._name = name or f"server:{address}" + (f"#{model}" if model else "")
        self._tokens = _tokens(self._dialect, tokenizer)
        self.notes: tuple[str, ...] = ()
        """What a reader of its numbers should know."""
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The specification."""
        return self._name

    @property
    def fingerprint(self) -> str:
        """Digest of address, name and vocabulary; the weights behind them are told by `identity`, which a run checks."""
        parts = (self._transport.root, self._model, self._dialect.name, self.vocabulary)
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()

    @property
    def vocabulary(self) -> str:
        """Digest of the tokenizer."""
        return self._tokens.digest

    @property
    def context_length(self) -> int | None:
        """As the server was started, or None where it does not tell."""
        return self._dialect.context_length

    @property
    def instructed(self) -> bool:
        """Whether there is a chat template."""
        return self._tokens.instructed

    def identity(self) -> list[Probe]:
        """Return probes that another model behind the same name would read otherwise."""
        continuation = tuple(self.encode(" the"))
        return [Probe(tuple(self.encode(text)), continuation) for text in IDENTITY]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a fragment of text."""
        return self._tokens.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
        return self._tokens.decode(ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return one string per id whose join is `decode(ids)`."""
        return token_pieces(self._tokens.decode, ids)

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`."""
        return self._tokens.render(message, prompting)

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
        """Return one continuation per prefix, in order."""
        found: dict[int, Generation] = dict(
            self.generate_each(prefixes, max_tokens=max_tokens, temperature=temperature, top_p=top_p, keys=keys, until=until)
        )
        return [found[place] for place in range(len(prefixes))]

    def generate_each(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
    ) -> Iterator[tuple[int, Generation]]:
        """Yield (place, continuation) as each is done."""
        if temperature > 0 and keys is None:
            raise ValueError("sampling at a temperature needs one draw key per prefix")
        stop = until if isinstance(until, Stop) else Stop()
        wanted = []
        for place, prefix in enumerate(prefixes):
            seed = int.from_bytes(hashlib.blake2b((keys[place] if keys else "").encode(), digest_size=4).digest(), "little")
            if not prefix:
                prefix = (self._start(),)
            self._check_length(len(prefix), 1)
            room = max_tokens if self.context_length is None else min(max_tokens, self.context_length - len(prefix))
            wanted.append(Wanted(tuple(prefix), room, temperature, top_p if temperature > 0 else 1.0, seed, stop))

        def write(one: Wanted) -> Generation:
            return self._generation(self._dialect.write(one), until)

        yield from self._transport.each(write, wanted)

    def _generation(self, written: Written, until: str | Stop | None) -> Generation:
        ids = written.ids
        if ids is None:
            self._note("the server does not tell the ids of what it wrote: its text was tokenised again")
            ids = tuple(self.encode(written.text))
        else:
            # The end-of-text token is told as an id and stands in no text.
            while (
                written.finish == "stop" and ids and self.decode(ids) != written.text and self.decode(ids[:-1]) == written.text
            ):
                ids = ids[:-1]
        finish = written.finish
        if isinstance(until, str) and until:
            pieces, seen = self.pieces(ids), ""
            for place, piece in enumerate(pieces):
                seen += piece
                if until in seen:
                    return Generation(ids[: place + 1], "stop")
        elif isinstance(until, Stop):
            ends = [place for place, token in enumerate(ids) if token in until.ids]
            if ends:
                ids, finish = ids[: ends[0]], "stop"
            kept = until.kept(self.pieces(ids))
            if kept is not None:
                ids, finish = ids[:kept], "stop"
        return Generation(ids, finish)

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe, in the order asked."""
        found = dict(self.read_each(probes))
        return [found[place] for place in range(len(probes))]

    def read_each(self, probes: Sequence[Probe]) -> Iterator[tuple[int, Reading]]:
        """Yield (place, reading) as each is done."""
        if not self._dialect.reads:
            raise ModelError(
                f"{self.name} can write and cannot say how likely a text is: name a model that reads, with --reader-model"
            )
        asked = []
        for probe in probes:
            asked.append(probe if probe.prefix else replace(probe, prefix=(self._start(),)))
            self._check_length(len(asked[-1].prefix), len(probe.continuation))
        yield from self._transport.each(self._dialect.read, asked)

    def _start(self) -> int:
        if self._tokens.start is None:
            raise ModelError(f"{self.name} has no token that begins a text, so nothing is read or written without a prefix")
        return self._tokens.start

    def _check_length(self, prefix: int, more: int) -> None:
        length = self.context_length
        if length is not None and prefix + more > length:
            raise ModelError(
                f"{self.name} takes {length:,} tokens and was asked for {prefix + more:,}: start the server with a longer context, "
                "or ask for shorter chains (--max-tokens)"
            )

    def _note(self, note: str) -> None:
        with self._lock:
            if note not in self.notes:
                self.notes = (*self.notes, note)


class _Tokens(Protocol):
    """A tokenizer, here or there."""

    digest: str
    start: int | None

    @property
    def instructed(self) -> bool: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def render(self, message: str | Sequence[Turn], prompting: Prompting | None) -> Prompt: ...


class _LocalTokens:
    """The server's tokenizer, loaded here."""

    def __init__(self, source: str) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        self.digest = vocabulary_digest(self._tokenizer)
        start = self._tokenizer.bos_token_id
        self.start: int | None = start if start is not None else self._tokenizer.eos_token_id

    @property
    def instructed(self) -> bool:
        return bool(getattr(self._tokenizer, "chat_template", None))

    def encode(self, text: str) -> list[int]:
        return encode_fragment(self._tokenizer, text)

    def decode(self, ids: Sequence[int]) -> str:
        return decode(self._tokenizer, ids)

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None) -> Prompt:
        return render_prompt(self._tokenizer, message, prompting)


class _RemoteTokens:
    """The server's tokenizer, asked over HTTP; answers are remembered."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        # A server returns "" or an error for what it cannot do; both are found out here, before anything is computed.
        self._encoded = lru_cache(maxsize=100_000)(lambda text: tuple(dialect.encode(text, special=False) or ()))
        self._decoded = lru_cache(maxsize=100_000)(lambda ids: str(dialect.decode(ids) or ""))
        sample = self._encoded(_SAMPLE)
        if not sample or self.decode(sample) != _SAMPLE:
            raise ModelError(
                "the server's tokenizer does not return what it was given: name the tokenizer's folder with --tokenizer"
            )
        self.digest = hashlib.blake2b(repr(sample).encode(), digest_size=16).hexdigest()
        first = dialect.encode("", special=True) or dialect.encode(dialect.beginning, special=False)
        self.start: int | None = first[0] if first else None
        self._instructed = dialect.fill_template([{"role": "user", "content": "Hi"}], {}) is not None

    @property
    def instructed(self) -> bool:
        return self._instructed

    def encode(self, text: str) -> list[int]:
        return list(self._encoded(text)) if text else []

    def decode(self, ids: Sequence[int]) -> str:
        return self._decoded(tuple(ids)) if ids else ""

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None) -> Prompt:
        turns = [Turn("user", message)] if isinstance(message, str) else list(message)
        if prompting is not None and prompting.chat_template is not None:
            raise ModelError("a chat template of your own needs the tokenizer here: name its folder with --tokenizer")
        plain = prompting is not None and prompting.template == "none"
        variables = dict(prompting.chat_template_kwargs) if prompting is not None else {}
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        filled = None if plain else self._dialect.fill_template(messages, variables)
        if isinstance(filled, list):
            return Prompt(self.decode(filled), tuple(filled))
        if filled is None:
            text = plain_text(turns)
            return Prompt(text, tuple(self._dialect.encode(text, special=True) or ()))
        begun = bool(self._dialect.beginning) and filled.startswith(self._dialect.beginning)
        return Prompt(filled, tuple(self._dialect.encode(filled, special=not begun) or ()))


def _tokens(dialect: Dialect, tokenizer: str | None) -> _Tokens:
    """Return the tokenizer that is named, else the one in the server's own folder where that lies here, else the server's."""
    source = tokenizer or dialect.tokenizer_source
    if tokenizer or (source and Path(source).is_dir()):
        try:
            return _LocalTokens(str(source))
        except (OSError, ValueError) as error:
            raise ModelError(f"no tokenizer can be loaded from {source!r}: {str(error).splitlines()[0][:200]}") from error
    if dialect.encode("a", special=False) is None:
        raise ModelError(
            f"the server ({dialect.name}) does not tokenise texts: name the folder or hub name of its tokenizer with --tokenizer"
            + (f" (it calls its own {source!r})" if source else "")
        )
    return _RemoteTokens(dialect)
