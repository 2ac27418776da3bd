"""What model servers answer to: vLLM, SGLang, llama.cpp, and OpenAI's completions wherever they are spoken.

A dialect turns token ids into requests and answers into ids and log-probabilities. Everything that comes back is checked before it
is believed: servers were seen to return shorter lists, empty entries and other tokens than those asked for without any error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from soundness.errors import ModelError
from soundness.models.transport import Transport
from soundness.records import Finish, Probe, Reading, Stop

__all__ = ["Dialect", "LlamaCpp", "OpenAICompletions", "SGLang", "VLLM", "Wanted", "Written", "find_dialect"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One generation to be asked for."""

    ids: tuple[int, ...]
    """The prefix."""
    max_tokens: int
    """Most tokens to write."""
    temperature: float
    """0 is greedy."""
    top_p: float
    """Nucleus mass."""
    seed: int
    """Of this draw alone."""
    stop: Stop
    """Where it ends besides the model's own end; what a server cannot be told is applied to what it returns."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a server wrote."""

    text: str
    """As the server decoded it."""
    ids: tuple[int, ...] | None
    """Its token ids, or None from a server that does not tell them."""
    finish: Finish
    """`length` where the token limit ended it."""


class Dialect(Protocol):
    """One way of talking to a server."""

    name: str
    reads: bool
    """Whether it can say how likely a chosen continuation is."""

    def write(self, wanted: Wanted) -> Written:
        """Return what the model writes."""
        ...

    def read(self, probe: Probe) -> Reading:
        """Return the log-probability of each token of the continuation, and whether it is the most likely one (ties count)."""
        ...

    def encode(self, text: str, *, special: bool) -> list[int] | None:
        """Return the server's own ids of a text, or None where it does not tell; `special` adds what begins a text."""
        ...

    def decode(self, ids: Sequence[int]) -> str | None:
        """Return the server's own text of ids, or None where it does not tell."""
        ...

    def fill_template(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> list[int] | str | None:
        """Return a conversation in the model's own chat template as ids or text, or None where the server does not tell."""
        ...

    @property
    def beginning(self) -> str:
        """The text of the token that begins a text, or nothing where the server does not tell."""
        ...

    @property
    def context_length(self) -> int | None:
        """The most tokens that prompt and continuation may have together, or None where the server does not tell."""
        ...

    @property
    def tokenizer_source(self) -> str | None:
        """Where the server says that it took its tokenizer from, or None."""
        ...


def find_dialect(transport: Transport, model: str | None) -> Dialect:
    """Return the dialect that the server at the other end speaks, told by what it answers.

    Raises ModelError where nobody answers, or the server has no model of that name.
    """
    props = transport.get("/props")
    if isinstance(props, dict) and "default_generation_settings" in props:
        return LlamaCpp(transport, props)
    info = transport.get("/get_model_info") or transport.get("/model_info")
    if isinstance(info, dict) and "model_path" in info:
        return SGLang(transport, info, model)
    listed = transport.get("/v1/models")
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        raise ModelError(f"{transport.root} lists no models at /v1/models, so it is no server that is known here")
    models = {str(one.get("id")): one for one in listed["data"] if isinstance(one, dict)}
    if model is None:
        if len(models) != 1:
            raise ModelError(f"{transport.root} serves {', '.join(models) or 'no model'}: name one, as in server:URL#NAME")
        model = next(iter(models))
    if model not in models:
        raise ModelError(f"{transport.root} serves no {model!r}; it serves {', '.join(models) or 'nothing'}")
    about = models[model]
    base = models.get(str(about.get("parent")), about)  # an adapter has its base's tokenizer and length
    version = transport.get("/version")
    if about.get("owned_by") == "vllm" or (isinstance(version, dict) and "version" in version and "max_model_len" in base):
        return VLLM(transport, model, base)
    return OpenAICompletions(transport, model)


def _finite(value: Any, what: str) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ModelError(f"{what}: the server returned {value!r} in place of a log-probability; nothing of this answer is used")
    return float(value)


def _field(answer: Any, *path: str | int) -> Any:
    """Return what stands at `path` in a server's answer. Raises ModelError naming the place where it stops."""
    found = answer
    for place in path:
        try:
            found = found[place]
        except (KeyError, IndexError, TypeError):
            where = ".".join(map(str, path))
            raise ModelError(
                f"the server's answer has no {where}; a server of another version than those known here?"
            ) from None
    return found


def _ids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise ModelError("the server returned token ids that are none")
    return tuple(value)


class LlamaCpp:
    """llama.cpp's own server: ids in and out; a chosen token is forced by a bias and reported with its unbiased log-probability.

    One request a token of the continuation: the prefix stays in the server's cache between them.
    """

    name = "llama.cpp"
    reads = True
    # Every other rule that llama.cpp applies to a draw by default; greedy would not be greedy with some of them.
    _PLAIN = {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
              "dry_multiplier": 0.0, "xtc_probability": 0.0, "top_n_sigma": -1.0, "mirostat": 0, "cache_prompt": True}  # fmt: skip
    _FORCE = 1e4  # far beyond any logit, so that the forced token is drawn whatever the model says

    def __init__(self, transport: Transport, props: Mapping[str, Any]) -> None:
        self._transport = transport
        self._props = props

    def write(self, wanted: Wanted) -> Written:
        """Return what the model writes."""
        answer = self._transport.post(
            "/completion",
            {
                **self._PLAIN,
                "prompt": list(wanted.ids),
                "n_predict": wanted.max_tokens,
                "temperature": wanted.temperature,
                "top_p": wanted.top_p,
                "seed": wanted.seed & 0x7FFFFFFF,
                "return_tokens": True,
            },
        )
        if answer.get("truncated"):
            raise ModelError("the server cut the prompt down to its context: start it with a larger context (--ctx-size)")
        finish: Finish = "length" if _field(answer, "stop_type") == "limit" else "stop"
        return Written(str(_field(answer, "content")), _ids(_field(answer, "tokens")), finish)

    def read(self, probe: Probe) -> Reading:
        """Return one log-probability a token, each from a request that forces it."""
        nats, top = [], []
        for place, token in enumerate(probe.continuation):
            answer = self._transport.post(
                "/completion",
                {
                    **self._PLAIN,
                    "prompt": [*probe.prefix, *probe.continuation[:place]],
                    "n_predict": 1,
                    "temperature": 0.0,
                    "n_probs": 1,
                    "post_sampling_probs": False,
                    "logit_bias": [[token, self._FORCE]],
                    "return_tokens": True,
                },
            )
            entry = _field(answer, "completion_probabilities", 0)
            if _field(entry, "id") != token:
                raise ModelError(f"the server scored token {entry['id']} where {token} was asked for")
            value = _finite(_field(entry, "logprob"), f"token {token}")
            best = _finite(_field(entry, "top_logprobs", 0, "logprob"), f"the likeliest token beside {token}")
            nats.append(value)
            top.append(value >= best)
        return Reading(tuple(nats), tuple(top))

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the server's ids; names of special tokens in the text are those tokens, as in a chat template."""
        answer = self._transport.post("/tokenize", {"content": text, "add_special": special, "parse_special": True})
        return list(_ids(_field(answer, "tokens")))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the server's text."""
        return str(_field(self._transport.post("/detokenize", {"tokens": list(ids)}), "content"))

    def fill_template(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> str | None:
        """Return the conversation as text."""
        if not self._props.get("chat_template"):
            return None
        body = {"messages": list(messages), **({"chat_template_kwargs": dict(variables)} if variables else {})}
        return str(_field(self._transport.post("/apply-template", body), "prompt"))

    @property
    def beginning(self) -> str:
        """The text of the token that begins a text, or nothing."""
        return str(self._props.get("bos_token") or "")

    @property
    def context_length(self) -> int | None:
        """As the server was started: its whole context over its slots."""
        length = self._props.get("default_generation_settings", {}).get("n_ctx")
        return int(length) if isinstance(length, int) and length > 0 else None

    @property
    def tokenizer_source(self) -> str | None:
        """None: the server's own ids are used."""
        return None


class OpenAICompletions:
    """`/v1/completions` with `echo` and `logprobs`: slow, since no prefix is reused, and without ids in its answers."""

    name = "completions"
    reads = True
    _ECHO: Mapping[str, Any] = {"echo": True, "logprobs": 1, "max_tokens": 0}

    def __init__(self, transport: Transport, model: str) -> None:
        self._transport = transport
        self._model = model

    def write(self, wanted: Wanted) -> Written:
        """Return what the model writes; without ids."""
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": list(wanted.ids),
            "max_tokens": wanted.max_tokens,
            "temperature": wanted.temperature,
            "top_p": wanted.top_p,
            "seed": wanted.seed & 0x7FFFFFFF,
            **self._more(wanted),
        }
        choice = _field(self._transport.post("/v1/completions", body), "choices", 0)
        finish: Finish = "length" if choice.get("finish_reason") == "length" else "stop"
        return Written(str(_field(choice, "text")), self._written_ids(choice), finish)

    def _more(self, wanted: Wanted) -> dict[str, Any]:
        # OpenAI's protocol allows four texts; `Stop` is applied to what comes back in any case.
        return {"stop": list(wanted.stop.strings[:4])} if wanted.stop.strings else {}

    def _written_ids(self, choice: Mapping[str, Any]) -> tuple[int, ...] | None:
        return None

    def read(self, probe: Probe) -> Reading:
        """Return the log-probabilities of the continuation from an echo of prefix and continuation."""
        asked = [*probe.prefix, *probe.continuation]
        answer = self._transport.post(
            "/v1/completions", {"model": self._model, "prompt": asked, "temperature": 0.0, **self._ECHO}
        )
        echoed = _field(answer, "choices", 0, "logprobs")
        values, best = _field(echoed, "token_logprobs"), _field(echoed, "top_logprobs")
        extra = len(values) - len(asked)  # a server that must write one token lists it behind the echo
        if extra not in (0, 1) or len(best) != len(values):
            raise ModelError(f"the server returned {len(values)} log-probabilities for {len(asked)} tokens")
        places = range(len(probe.prefix), len(asked))
        nats = [_finite(values[place], f"place {place}") for place in places]
        tops = [_finite(max(dict(_field(best, place)).values(), default=None), f"place {place}") for place in places]
        return Reading(tuple(nats), tuple(value >= top for value, top in zip(nats, tops, strict=True)))

    def encode(self, text: str, *, special: bool) -> list[int] | None:
        """Return None: the protocol has no such request."""
        return None

    def decode(self, ids: Sequence[int]) -> str | None:
        """Return None: the protocol has no such request."""
        return None

    def fill_template(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> list[int] | str | None:
        """Return None: the protocol has no such request."""
        return None

    @property
    def beginning(self) -> str:
        """Nothing: the server does not tell."""
        return ""

    @property
    def context_length(self) -> int | None:
        """None: the protocol does not tell."""
        return None

    @property
    def tokenizer_source(self) -> str | None:
        """The model's name, which is often that of its folder."""
        return self._model


class VLLM(OpenAICompletions):
    """vLLM's completions: ids both ways, and log-probabilities of the prompt's tokens by id."""

    name = "vllm"

    def __init__(self, transport: Transport, model: str, about: Mapping[str, Any]) -> None:
        super().__init__(transport, model)
        self._about = about

    def _more(self, wanted: Wanted) -> dict[str, Any]:
        return {
            "return_token_ids": True,
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            **({"stop": list(wanted.stop.strings)} if wanted.stop.strings else {}),
            **({"stop_token_ids": list(wanted.stop.ids)} if wanted.stop.ids else {}),
        }

    def _written_ids(self, choice: Mapping[str, Any]) -> tuple[int, ...] | None:
        return _ids(choice["token_ids"]) if choice.get("token_ids") is not None else None

    def read(self, probe: Probe) -> Reading:
        """Return the log-probabilities of the continuation's ids, aligned from the end.

        With the prefix cache on, the entries of cached tokens are missing from the list or hold memory that nobody wrote, so they
        are skipped by asking for the request to be computed whole.
        """
        asked = [*probe.prefix, *probe.continuation]
        answer = self._transport.post(
            "/v1/completions",
            {
                "model": self._model,
                "prompt": asked,
                "max_tokens": 1,
                "temperature": 0.0,
                "prompt_logprobs": 1,
                "skip_reading_prefix_cache": True,
            },
        )
        choice = _field(answer, "choices", 0)
        rows = choice.get("prompt_logprobs") or answer.get("prompt_logprobs")
        if not isinstance(rows, list) or len(rows) < len(probe.continuation):
            found = "none" if not isinstance(rows, list) else str(len(rows))
            raise ModelError(f"the server returned {found} of {len(probe.continuation)} log-probabilities asked for")
        nats, top = [], []
        for token, row in zip(probe.continuation, rows[-len(probe.continuation) :], strict=True):
            entry = row.get(str(token)) if isinstance(row, dict) else None
            if not isinstance(entry, dict):
                raise ModelError(f"the server returned no log-probability of token {token}; nothing of this answer is used")
            value = _finite(entry.get("logprob"), f"token {token}")
            best = max(_finite(one.get("logprob"), "the likeliest token") for one in row.values())
            nats.append(value)
            top.append(value >= best)  # not its rank: ranks count ties as worse
        return Reading(tuple(nats), tuple(top))

    def encode(self, text: str, *, special: bool) -> list[int] | None:
        """Return the server's ids."""
        body = {"model": self._model, "prompt": text, "add_special_tokens": special}
        return list(_ids(_field(self._transport.post("/tokenize", body), "tokens")))

    def decode(self, ids: Sequence[int]) -> str | None:
        """Return the server's text."""
        return str(_field(self._transport.post("/detokenize", {"model": self._model, "tokens": list(ids)}), "prompt"))

    def fill_template(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> list[int] | None:
        """Return the conversation as ids."""
        body = {"model": self._model, "messages": list(messages), "add_generation_prompt": True}
        if variables:
            body["chat_template_kwargs"] = dict(variables)
        return list(_ids(_field(self._transport.post("/tokenize", body), "tokens")))

    @property
    def context_length(self) -> int | None:
        """As the server was started."""
        length = self._about.get("max_model_len")
        return int(length) if isinstance(length, int) and length > 0 else None

    @property
    def tokenizer_source(self) -> str | None:
        """The folder or hub name that the server loaded."""
        return str(self._about.get("root") or "") or None


class SGLang:
    """SGLang's own `/generate`: ids both ways, log-probabilities from a chosen place on, everything before it from the cache."""

    name = "sglang"
    reads = True

    def __init__(self, transport: Transport, info: Mapping[str, Any], model: str | None) -> None:
        self._transport = transport
        self._info = info
        served = str(info.get("served_model_name") or info["model_path"])
        self._adapter = {"lora_path": model} if model and model not in (served, info["model_path"], "base") else {}

    def write(self, wanted: Wanted) -> Written:
        """Return what the model writes."""
        sampling: dict[str, Any] = {
            "max_new_tokens": wanted.max_tokens,
            "temperature": wanted.temperature,
            "top_p": wanted.top_p,
            "sampling_seed": wanted.seed & 0x7FFFFFFF,
            "no_stop_trim": True,
            "skip_special_tokens": False,
            **({"stop": list(wanted.stop.strings)} if wanted.stop.strings else {}),
            **({"stop_token_ids": list(wanted.stop.ids)} if wanted.stop.ids else {}),
        }
        answer = self._transport.post(
            "/generate", {"input_ids": list(wanted.ids), "sampling_params": sampling, **self._adapter}
        )
        reason = _field(answer, "meta_info", "finish_reason")
        kind = reason.get("type") if isinstance(reason, dict) else reason
        if kind == "abort":
            raise ModelError(f"the server gave up on a prompt of {len(wanted.ids)} tokens: {str(reason)[:200]}")
        return Written(
            str(_field(answer, "text")), _ids(_field(answer, "output_ids")), "length" if kind == "length" else "stop"
        )

    def read(self, probe: Probe) -> Reading:
        """Return the log-probabilities of the continuation's ids."""
        asked = [*probe.prefix, *probe.continuation]
        answer = self._transport.post(
            "/generate",
            {
                "input_ids": asked,
                "sampling_params": {"max_new_tokens": 0, "temperature": 0.0},
                "return_logprob": True,
                # The entry at the start itself is empty, so it begins with the prefix's last token.
                "logprob_start_len": max(len(probe.prefix) - 1, 0),
                "top_logprobs_num": 1,
                **self._adapter,
            },
        )
        meta = _field(answer, "meta_info")
        rows, best = _field(meta, "input_token_logprobs"), _field(meta, "input_top_logprobs")
        num = len(probe.continuation)
        if len(rows) < num or len(best) != len(rows):
            raise ModelError(f"the server returned {len(rows)} log-probabilities, and {num} were asked for")
        nats, top = [], []
        for token, row, likeliest in zip(probe.continuation, rows[-num:], best[-num:], strict=True):
            if _field(row, 1) != token:
                raise ModelError(f"the server scored token {row[1]} where {token} was asked for")
            value = _finite(_field(row, 0), f"token {token}")
            nats.append(value)
            top.append(value >= _finite(_field(likeliest, 0, 0), "the likeliest token"))
        return Reading(tuple(nats), tuple(top))

    def encode(self, text: str, *, special: bool) -> list[int] | None:
        """Return None: the tokenizer is read from where the server took it."""
        return None

    def decode(self, ids: Sequence[int]) -> str | None:
        """Return None: the tokenizer is read from where the server took it."""
        return None

    def fill_template(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> list[int] | str | None:
        """Return None: the tokenizer is read from where the server took it."""
        return None

    @property
    def beginning(self) -> str:
        """Nothing: the server does not tell."""
        return ""

    @property
    def context_length(self) -> int | None:
        """As the server was started, where it says so."""
        length = self._info.get("max_context_length") or self._info.get("context_length")
        return int(length) if isinstance(length, int) and length > 0 else None

    @property
    def tokenizer_source(self) -> str | None:
        """The folder or hub name of the server's tokenizer."""
        return str(self._info.get("tokenizer_path") or self._info["model_path"])
