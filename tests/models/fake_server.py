"""A server that speaks four dialects over a model of ours, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from soundness.models.base import Model
from soundness.records import Probe, Turn

Answer = tuple[int, Any]


class Fake:
    """What the server does; `spoil` may change any answer before it is sent, and sees the path and how often it was asked."""

    def __init__(self, model: Model, dialect: str, *, context: int = 4096) -> None:
        self.model = model
        self.dialect = dialect
        self.context = context
        self.spoil: Callable[[str, int, Answer], Answer] = lambda path, count, answer: answer
        self.headers_seen: list[dict[str, str]] = []
        self.counts: dict[str, int] = {}
        self.bodies: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.Lock()

    def respond(self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> Answer:
        with self.lock:  # our models are not asked from two threads here: order is not what is tested
            self.headers_seen.append(headers)
            if body is not None:
                self.bodies.append((path, body))
            count = self.counts[path] = self.counts.get(path, 0) + 1
            found = self.answers().get((method, path))
            answer = (404, {"error": {"message": "no such place"}}) if found is None else (200, found(body or {}))
            return self.spoil(path, count, answer)

    def answers(self) -> dict[tuple[str, str], Callable[[dict[str, Any]], Any]]:
        models = {"data": [{"id": "tiny", "owned_by": "somebody"}]}
        tokenize = {
            ("POST", "/tokenize"): self.tokenize,
            ("POST", "/detokenize"): lambda b: {
                "prompt": self.model.decode(b["tokens"]),
                "content": self.model.decode(b["tokens"]),
            },
        }
        if self.dialect == "llama.cpp":
            props = {"default_generation_settings": {"n_ctx": self.context}, "chat_template": "yes", "bos_token": self.bos()}
            return {
                ("GET", "/props"): lambda b: props,
                ("POST", "/completion"): self.llama_completion,
                ("POST", "/apply-template"): lambda b: {"prompt": self.model.render(turns(b)).text},
                **tokenize,
            }
        if self.dialect == "sglang":
            return {("GET", "/get_model_info"): lambda b: {"model_path": "tiny"}, ("POST", "/generate"): self.sglang}
        if self.dialect == "vllm":
            models = {"data": [{"id": "tiny", "owned_by": "vllm", "max_model_len": self.context, "root": "/nowhere"}]}
            return {("GET", "/v1/models"): lambda b: models, ("POST", "/v1/completions"): self.vllm, **tokenize}
        return {("GET", "/v1/models"): lambda b: models, ("POST", "/v1/completions"): self.completions}

    def bos(self) -> str:
        return self.model.decode(self.model.render("x").ids[:1])

    def tokenize(self, body: dict[str, Any]) -> Any:
        if "messages" in body:
            return {"tokens": list(self.model.render(turns(body)).ids)}
        special = body.get("add_special") or body.get("add_special_tokens")
        text = body.get("content", body.get("prompt", ""))
        start = self.model.encode(self.bos()) if special else []
        return {"tokens": [*start, *self.model.encode(text)]}

    def write(self, ids: list[int], tokens: int, temperature: float, seed: int) -> Any:
        (made,) = self.model.generate([ids], max_tokens=tokens, temperature=temperature, keys=[str(seed)])
        return made

    def read(self, prefix: list[int], tokens: list[int]) -> list[tuple[float, float]]:
        """Return the log-probability of each token and of the likeliest there, which need not be another."""
        (reading,) = self.model.read([Probe(tuple(prefix), tuple(tokens))])
        return [(nats, nats if top else nats + 0.5) for nats, top in zip(reading.token_nats, reading.token_top, strict=True)]

    def llama_completion(self, body: dict[str, Any]) -> Any:
        if body.get("logit_bias"):
            token = body["logit_bias"][0][0]
            ((value, best),) = self.read(body["prompt"], [token])
            entry = {"id": token, "logprob": value, "top_logprobs": [{"id": 0, "logprob": best}]}
            return {"content": "", "tokens": [token], "stop_type": "limit", "completion_probabilities": [entry]}
        made = self.write(body["prompt"], body["n_predict"], body["temperature"], body["seed"])
        limit = "limit" if made.finish == "length" else "eos"
        return {"content": self.model.decode(made.ids), "tokens": list(made.ids), "stop_type": limit}

    def rows(self, ids: list[int]) -> list[tuple[int, float, float]]:
        return [(token, *found) for token, found in zip(ids[1:], self.read(ids[:1], ids[1:]), strict=True)]

    def vllm(self, body: dict[str, Any]) -> Any:
        if "prompt_logprobs" in body:
            rows = [
                {str(t): {"logprob": v, "rank": 1}, "-1": {"logprob": b, "rank": 1}} for t, v, b in self.rows(body["prompt"])
            ]
            return {"choices": [{"text": "", "prompt_logprobs": [None, *rows]}]}
        made = self.write(body["prompt"], body["max_tokens"], body["temperature"], body["seed"])
        choice = {"text": self.model.decode(made.ids), "token_ids": list(made.ids), "finish_reason": made.finish}
        return {"choices": [choice]}

    def sglang(self, body: dict[str, Any]) -> Any:
        ids, sampling = body["input_ids"], body["sampling_params"]
        if body.get("return_logprob"):
            start = body["logprob_start_len"]
            rows = self.rows(ids)[start:]
            meta = {
                "input_token_logprobs": [[None, ids[start], None], *([v, t, None] for t, v, _ in rows)],
                "input_top_logprobs": [None, *([[b, 0, None]] for _, _, b in rows)],
            }
            return {"text": "", "meta_info": meta}
        made = self.write(ids, sampling["max_new_tokens"], sampling["temperature"], sampling["sampling_seed"])
        reason = {"type": made.finish}
        return {"text": self.model.decode(made.ids), "output_ids": list(made.ids), "meta_info": {"finish_reason": reason}}

    def completions(self, body: dict[str, Any]) -> Any:
        if body.get("echo"):
            rows = self.rows(body["prompt"])
            logprobs = {
                "token_logprobs": [None, *(v for _, v, _ in rows)],
                "top_logprobs": [None, *({"x": b} for _, _, b in rows)],
            }
            return {"choices": [{"text": "", "logprobs": logprobs}]}
        made = self.write(body["prompt"], body["max_tokens"], body["temperature"], body["seed"])
        return {"choices": [{"text": self.model.decode(made.ids), "finish_reason": made.finish}]}


def turns(body: dict[str, Any]) -> list[Turn]:
    return [Turn(one["role"], one["content"]) for one in body["messages"]]


@contextmanager
def serving(fake: Fake) -> Iterator[str]:
    """Yield the address of a server that does what `fake` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, method: str) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, said = fake.respond(method, self.path, body, {k.lower(): v for k, v in self.headers.items()})
            if status < 0:  # hang for so many hundredths of a second, then close without a word
                time.sleep(-status / 100)
                self.close_connection = True
                return
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "http://127.0.0.1:9/elsewhere")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer("GET")

        def do_POST(self) -> None:
            self.answer("POST")

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
