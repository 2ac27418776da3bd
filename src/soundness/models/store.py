"""What models wrote and read, kept by content: whatever was asked before is not asked again.

One SQLite file with a write-ahead log. A row's key is a hash of everything that determines its value (model, ids, settings,
draw), so a row is never wrong and never changes; the first one written stays. Each `put` is one transaction: after a kill the
file holds every `put` that returned.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from soundness.errors import RunError
from soundness.records import Finish, Generation, Probe, Reading

__all__ = ["GenerationRequest", "Store"]

FORMAT = 1
"""Version of the file's layout, kept in SQLite's `user_version`."""

KEYS_PER_QUERY = 500

LAYOUT = """
CREATE TABLE generations (
    key BLOB PRIMARY KEY,      -- blake2b-16 of model, prefix, max_tokens, temperature, top_p, draw key, until
    ids BLOB NOT NULL,         -- uint32, little-endian
    finish TEXT NOT NULL CHECK (finish IN ('stop', 'length'))
) WITHOUT ROWID;
CREATE TABLE readings (
    key BLOB PRIMARY KEY,      -- blake2b-16 of scorer, prefix, continuation
    token_nats BLOB NOT NULL,  -- float64, little-endian
    token_top BLOB NOT NULL    -- one byte per token, 0 or 1
) WITHOUT ROWID;
"""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Everything that determines what a model writes."""

    model: str
    """Fingerprint of the writer."""
    prefix: tuple[int, ...]
    """Token ids that it continues."""
    max_tokens: int
    """Most tokens it may write."""
    temperature: float = 0.0
    """0 is greedy; `top_p` and `key` have no effect then and are no part of the request's identity."""
    top_p: float = 1.0
    """Nucleus mass that tokens are drawn from."""
    key: str = ""
    """Names the draw."""
    until: str | None = None
    """Text that ends the generation."""

    def digest(self) -> bytes:
        """Return 16 bytes that are the same exactly for requests with the same answer."""
        greedy = self.temperature == 0
        drawn = (0.0, 1.0, "") if greedy else (float(self.temperature), float(self.top_p), self.key)
        digest = hashlib.blake2b(digest_size=16, person=b"generation")
        for part in (_utf8(self.model), _uint32(self.prefix), _utf8(drawn[2])):
            digest.update(struct.pack("<Q", len(part)))
            digest.update(part)
        digest.update(struct.pack("<Qdd", self.max_tokens, drawn[0], drawn[1]))
        digest.update(b"\0" if self.until is None else b"\1" + _utf8(self.until))
        return digest.digest()


class Store:
    """Generations and readings in one file; one writer at a time, held by the run folder's lock.

    Raises RunError, saying what to do, where the file is no store, is damaged, cannot be written or the disk is full. Use it as
    a context manager or close it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        """The SQLite file."""
        self.read_only = read_only
        """Whether `put_...` is refused."""
        if read_only and not self.path.is_file():
            raise RunError(f"{self.path} is missing: this run folder has no traces; run the audit with this folder as --out")
        try:
            self._connection = self._open()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def get_generations(self, requests: Sequence[GenerationRequest]) -> list[Generation | None]:
        """Return the stored generation of each request, in order, or None where there is none."""
        return self._get("generations", "ids, finish", [r.digest() for r in requests], _generation)

    def put_generations(self, pairs: Iterable[tuple[GenerationRequest, Generation]]) -> None:
        """Keep all of these or, on an error, none of them."""
        rows = [(request.digest(), _uint32(generation.ids), generation.finish) for request, generation in pairs]
        self._put("generations", rows)

    def get_readings(self, scorer: str, probes: Sequence[Probe]) -> list[Reading | None]:
        """Return the stored reading of each probe by the model with fingerprint `scorer`, in order, or None."""
        return self._get("readings", "token_nats, token_top", _probe_digests(scorer, probes), _reading)

    def put_readings(self, scorer: str, probes: Sequence[Probe], readings: Sequence[Reading]) -> None:
        """Keep all of these or, on an error, none of them."""
        for probe, reading in zip(probes, readings, strict=True):
            assert len(probe.continuation) == len(reading.token_nats) == len(reading.token_top), "a reading of another probe"
        digests = _probe_digests(scorer, probes)
        rows = [
            (key, _float64(reading.token_nats), bytes(reading.token_top))
            for key, reading in zip(digests, readings, strict=True)
        ]
        self._put("readings", rows)

    def counts(self) -> dict[str, int]:
        """Return how many generations and readings are kept."""
        try:
            return {
                name: self._connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ("generations", "readings")
            }
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def close(self) -> None:
        """Fold the log into the file and let go of it; closing twice does nothing."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        if self.read_only:
            return self._open_read_only()
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            if _version(connection) == 0:
                # Two statements and a version in one transaction: a kill in between leaves an empty file, not half a layout.
                connection.executescript(f"BEGIN IMMEDIATE;{LAYOUT}PRAGMA user_version={FORMAT};COMMIT;")
            self._check_version(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_read_only(self) -> sqlite3.Connection:
        address = self.path.resolve().as_uri()
        connection = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None, timeout=30)
        try:
            self._check_version(connection)
        except sqlite3.OperationalError:
            connection.close()
            log = self.path.with_name(self.path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise
            # In a folder that may not be written SQLite cannot make its log; without one the file itself is the whole truth.
            connection = sqlite3.connect(f"{address}?immutable=1", uri=True, isolation_level=None)
            self._check_version(connection)
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        found = _version(connection)
        if found != FORMAT:
            connection.close()
            raise RunError(
                f"{self.path} has layout {found}, this version of soundness writes layout {FORMAT}: "
                "use another --out, or the version of soundness named in its run.json"
            )

    def _get(self, table: str, columns: str, keys: Sequence[bytes], make: Callable[[bytes, bytes], Row]) -> list[Row | None]:
        found: dict[bytes, Row] = {}
        distinct = list(dict.fromkeys(keys))
        try:
            for start in range(0, len(distinct), KEYS_PER_QUERY):
                some = distinct[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, {columns} FROM {table} WHERE key IN ({marks})"
                found.update((key, make(one, two)) for key, one, two in self._connection.execute(query, some))
        except sqlite3.Error as error:
            raise self._explain(error) from error
        return [found.get(key) for key in keys]

    def _put(self, table: str, rows: Sequence[tuple[bytes, bytes, bytes | str]]) -> None:
        if self.read_only:
            raise RunError(f"{self.path} was opened for reading only: open the run with Run.create_or_resume to write")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", rows)
            self._connection.execute("COMMIT")
        except BaseException as error:
            # SQLite has already rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise self._explain(error) from error
            raise

    def _explain(self, error: sqlite3.Error) -> RunError:
        """Return what happened, and what to do about it, in the user's words."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the high bits only refine the primary code
        kept = "what was written before is kept"
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return RunError(
                f"{self.path} cannot grow ({error}): free some disk space and run the same command again; {kept} and continued"
            )
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return RunError(
                f"{self.path} cannot be opened or written ({error}): check the folder's permissions, or use another --out"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return RunError(f"{self.path} is damaged or no store ({error}): restore it from a copy, or use another --out")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RunError(f"{self.path} is being written by another process ({error}): wait for it to end; {kept}")
        return RunError(f"{self.path} cannot be used ({error}): run the same command again, or use another --out; {kept}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _probe_digests(scorer: str, probes: Sequence[Probe]) -> list[bytes]:
    """Return 16 bytes per probe; lengths go in first, so that no two probes differ only in where prefix ends."""
    name = _utf8(scorer)
    start = hashlib.blake2b(struct.pack("<Q", len(name)) + name, digest_size=16, person=b"reading")
    digests = []
    prefix: tuple[int, ...] | None = None
    before = start
    for probe in probes:
        if probe.prefix is not prefix:  # neighbours mostly share one prefix object, which is hashed once then
            prefix = probe.prefix
            before = start.copy()
            before.update(struct.pack("<Q", len(prefix)) + _uint32(prefix))
        digest = before.copy()
        digest.update(struct.pack("<Q", len(probe.continuation)) + _uint32(probe.continuation))
        digests.append(digest.digest())
    return digests


def _utf8(text: str) -> bytes:
    """Return text as bytes; a lone surrogate, which JSON can smuggle in, is hashed like any other character."""
    return text.encode("utf-8", "surrogatepass")


def _uint32(ids: Sequence[int]) -> bytes:
    """Return ids as little-endian 32-bit words."""
    return _little("I", array("I", ids)).tobytes()


def _float64(values: Sequence[float]) -> bytes:
    """Return numbers as little-endian doubles, to the last bit."""
    return _little("d", array("d", values)).tobytes()


def _little(code: str, words: array[int] | array[float]) -> array[int] | array[float]:
    """Return `words` in little-endian order, swapped in place where this machine is not."""
    assert words.itemsize == {"I": 4, "d": 8}[code]
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _generation(ids: bytes, finish: bytes) -> Generation:
    words: array[int] = array("I")
    words.frombytes(ids)
    _little("I", words)
    kind: Finish = "stop" if str(finish) == "stop" else "length"
    return Generation(tuple(words), kind)


def _reading(token_nats: bytes, token_top: bytes) -> Reading:
    words: array[float] = array("d")
    words.frombytes(token_nats)
    _little("d", words)
    return Reading(tuple(words), tuple(map(bool, token_top)))
