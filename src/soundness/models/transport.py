"""Requests to a model server: bounded in number, time and retries; a key goes to the host it was given for and nowhere else."""

from __future__ import annotations

import ipaddress
import os
import random
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from soundness.errors import ModelError

__all__ = ["KEY_VARIABLE", "Limits", "Transport"]

KEY_VARIABLE = "SOUNDNESS_API_KEY"
"""Environment variable that holds the key; it is read when a request is made and stored nowhere."""

T = TypeVar("T")
R = TypeVar("R")

_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Statuses that another try may mend: overload, a gateway's time-out, a worker that restarts."""

_MOST_BYTES = 64 << 20
"""Largest answer that is read (64 MiB); the log-probabilities of a 32,000-token prompt take about 4."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a client is."""

    concurrency: int = 32
    """Requests under way at once."""
    timeout: float = 600.0
    """Seconds that one request may take; a long chain takes minutes on a busy server."""
    retries: int = 5
    """Further tries of one request."""
    patience: float = 300.0
    """Seconds that one request may spend waiting between its tries."""


class Transport:
    """JSON in, JSON out, from one host. Every failure is a ModelError of one line that names the address, never the key."""

    def __init__(self, address: str, limits: Limits | None = None, *, sleep: Callable[[float], None] = time.sleep) -> None:
        import httpx

        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ModelError(f"{address!r} is no server's address: it looks like http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ModelError(f"the address of {parts.hostname} holds a password; put a key into {KEY_VARIABLE} instead")
        self.root = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/").removesuffix("/v1"), "", ""))
        """The address without a trailing /v1."""
        self.limits = limits or Limits()
        self._sleep = sleep
        # A redirect is never followed: it would carry prompts, and on the same host perhaps the key, to where nobody sent them.
        self._client = httpx.Client(
            follow_redirects=False,
            timeout=httpx.Timeout(self.limits.timeout, connect=10.0),
            limits=httpx.Limits(max_connections=self.limits.concurrency),
            trust_env=False,
        )
        weakref.finalize(self, self._client.close)  # its sockets would stay open until the process ends
        self._protected = parts.scheme == "https" or _is_loopback(parts.hostname)

    def get(self, path: str) -> Any | None:
        """Return what lies at `path`, or None where the server has nothing there (404, 405, or no JSON)."""
        try:
            return self._request("GET", path, None, tries=1, missing=True)
        except _Missing:
            return None

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to `body`."""
        return self._request("POST", path, body, tries=1 + self.limits.retries)

    def has(self, path: str, body: Mapping[str, Any]) -> bool:
        """Return whether the server answers a POST to `path`, whatever it says of `body`."""
        try:
            self._request("POST", path, body, tries=1, missing=True)
        except _Missing:
            return False
        except ModelError as error:
            if isinstance(error, _Refused):
                return True
            raise
        return True

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[int, R]]:
        """Yield (place, work(item)) as they end, `concurrency` under way at once; the first failure ends all of it."""
        left = iter(enumerate(items))
        with ThreadPoolExecutor(self.limits.concurrency) as pool:
            running: dict[Future[R], int] = {}
            try:
                while True:
                    for place, item in left:
                        running[pool.submit(work, item)] = place
                        if len(running) >= self.limits.concurrency:
                            break
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), future.result()
            finally:
                for future in running:
                    future.cancel()

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None, *, tries: int, missing: bool = False) -> Any:
        import httpx

        waited, advised, problem = 0.0, 0.0, "no answer"
        for attempt in range(tries):
            if attempt:
                # Full jitter (half to all of a doubling pause), so that many workers do not come back at the same moment.
                pause = min(2.0**attempt, 60.0) * random.uniform(0.5, 1.0)  # no result depends on it
                pause = max(pause, advised)
                if waited + pause > self.limits.patience:
                    break
                waited += pause
                self._sleep(pause)
            advised = 0.0
            try:
                response = self._client.request(method, self.root + path, json=body, headers=self._headers())
            except httpx.TimeoutException:
                problem = f"no answer within {self.limits.timeout:g} s"
                continue
            except httpx.HTTPError as error:
                problem = str(error) or type(error).__name__
                continue
            status = response.status_code
            if status in _AGAIN:
                problem, advised = f"status {status}: {_said(response)}", _retry_after(response)
                continue
            if 300 <= status < 400:
                raise ModelError(
                    f"{self.root}{path} sends on to {response.headers.get('location', 'another address')!r}, which is not followed: "
                    "give that address itself if you trust it"
                )
            if status in (404, 405) and missing:
                raise _Missing(path)
            if status in (401, 403):
                raise ModelError(f"{self.root} refuses the request (status {status}): put its key into {KEY_VARIABLE}")
            if status >= 400:
                raise _Refused(f"{self.root}{path} refuses the request (status {status}): {_said(response)}")
            if len(response.content) > _MOST_BYTES:
                raise ModelError(
                    f"{self.root}{path} answers with {len(response.content) >> 20} MiB, more than any answer needs"
                )
            try:
                return response.json()
            except ValueError:
                if missing:
                    raise _Missing(path) from None
                problem = "an answer that is no JSON"
                continue
        raise ModelError(
            f"{self.root}{path} gave no usable answer ({problem}): is the server running, and is this its address? "
            "What was computed is kept; the same command goes on"
        )

    def _headers(self) -> dict[str, str]:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            return {}
        if not self._protected:
            raise ModelError(
                f"{self.root} is not encrypted: a key is only sent over https, or to this machine; unset {KEY_VARIABLE}"
            )
        return {"Authorization": f"Bearer {key}"}


class _Missing(Exception):
    """The server has nothing at that path."""


class _Refused(ModelError):
    """The server understood the request and will not carry it out."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(response: Any) -> float:
    """Return the seconds that a server asks to wait, 0 where it names none or a date."""
    try:
        return min(float(response.headers.get("retry-after", 0)), 60.0)
    except ValueError:
        return 0.0


def _said(response: Any) -> str:
    """Return the first words of a server's complaint, without line breaks or control characters."""
    try:
        found = response.json()
        error = found.get("error", found) if isinstance(found, dict) else found
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except ValueError:
        text = response.text
    return " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())[:200] or "no reason given"
