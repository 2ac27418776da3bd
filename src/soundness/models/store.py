"""What models wrote and read, kept by content: whatever was asked before is not asked again.

One SQLite file with a write-ahead log. A row's key is a hash of everything that determines its value (model, ids, settings,
draw), so a row never changes; the first one written stays. Each `put` is one transaction: after a kill the file holds every `put`
that returned. Each row carries a checksum that is verified when it is read: a damaged row counts as missing, is remembered in
`damaged` and makes room for the one that is computed again. A file that is removed, replaced or cut short while it is written to
is an error, at the next `put` or at the end.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import sys
import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from soundness.errors import RunError
from soundness.records import Finish, Generation, Probe, Reading, Stop

__all__ = ["GenerationRequest", "Store"]

FORMAT = 2
"""Version of the file's layout, kept in SQLite's `user_version`. Layout 1 (soundness 0.1) had no checksums and can be read."""

READABLE = (1, FORMAT)

KEYS_PER_QUERY = 500

LAYOUT = """
CREATE TABLE generations (
    key BLOB PRIMARY KEY,      -- blake2b-16 of model, prefix, max_tokens, temperature, top_p, draw key, until
    ids BLOB NOT NULL,         -- uint32, little-endian
    finish TEXT NOT NULL CHECK (finish IN ('stop', 'length')),
    checksum BLOB NOT NULL     -- blake2b-8 of key, ids, finish
) WITHOUT ROWID;
CREATE TABLE readings (
    key BLOB PRIMARY KEY,      -- blake2b-16 of scorer, prefix, continuation
    token_nats BLOB NOT NULL,  -- float64, little-endian
    token_top BLOB NOT NULL,   -- one byte per token, 0 or 1
    checksum BLOB NOT NULL     -- blake2b-8 of key, token_nats, token_top
) WITHOUT ROWID;
CREATE TABLE commits (         -- one row: how many transactions this file has seen
    count INTEGER NOT NULL
);
INSERT INTO commits VALUES (0);
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
    until: str | Stop | None = None
    """What ends the generation."""

    def digest(self) -> bytes:
        """Return 16 bytes that are the same exactly for requests with the same answer."""
        greedy = self.temperature == 0
        drawn = (0.0, 1.0, "") if greedy else (float(self.temperature), float(self.top_p), self.key)
        digest = hashlib.blake2b(digest_size=16, person=b"generation")
        for part in (_utf8(self.model), _uint32(self.prefix), _utf8(drawn[2])):
            digest.update(struct.pack("<Q", len(part)))
            digest.update(part)
        digest.update(struct.pack("<Qdd", self.max_tokens, drawn[0], drawn[1]))
        if isinstance(self.until, Stop):
            digest.update(b"\2" + _utf8(self.until.key))
        else:
            digest.update(b"\0" if self.until is None else b"\1" + _utf8(self.until))
        return digest.digest()


class Store:
    """Generations and readings in one file; one writer at a time, held by the run folder's lock. Threads may share it.

    Raises RunError, saying what to do, where the file is no store, is damaged, cannot be written or the disk is full. Use it as
    a context manager or close it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path = Path(path)
        """The SQLite file."""
        self.read_only = read_only
        """Whether `put_...` is refused."""
        self.damaged: list[str] = []
        """What was read and found damaged so far, such as "reading 3f0c..."; each counts as missing."""
        self._lock = threading.RLock()
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._commits: int | None = None
        if read_only and not self.path.is_file():
            raise RunError(f"{self.path} is missing: this run folder has no traces; run the audit with this folder as --out")
        if self.path.exists() and not self.path.is_file():
            raise RunError(f"{self.path} is no file: remove it, and the same command computes again what it held")
        try:
            self._connection = self._open()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def get_generations(self, requests: Sequence[GenerationRequest]) -> list[Generation | None]:
        """Return the stored generation of each request, in order, or None where there is none."""
        return self._get("generations", ("ids", "finish"), [r.digest() for r in requests], _generation)

    def put_generations(self, pairs: Iterable[tuple[GenerationRequest, Generation]]) -> None:
        """Keep all of these or, on an error, none of them."""
        self._put("generations", [(request.digest(), _uint32(made.ids), made.finish.encode()) for request, made in pairs])

    def get_readings(self, scorer: str, probes: Sequence[Probe]) -> list[Reading | None]:
        """Return the stored reading of each probe by the model with fingerprint `scorer`, in order, or None."""
        return self._get("readings", ("token_nats", "token_top"), _probe_digests(scorer, probes), _reading)

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

    def check(self) -> None:
        """Raise RunError where the file is no longer the one that was written to, or has lost some of what was written.

        A store that nothing was written to, or that was opened for reading only, is never complained of.
        """
        with self._lock:
            self._check_same_file()
            if self._commits is None:
                return
            try:
                # A connection of its own opens what now goes by this name.
                with closing(self._open_read_only()) as fresh:
                    found = _num_commits(fresh)
            except sqlite3.Error as error:
                raise self._explain(error) from error
            if found != self._commits:
                raise self._lost(f"it holds {found} of the {self._commits} transactions that were written")

    def close(self) -> None:
        """Fold the log into the file and let go of it; closing twice does nothing.

        Raises RunError, having let go of it, where the file was removed, replaced or cut short meanwhile.
        """
        with self._lock:
            try:
                self._check_same_file()
            finally:
                self._seen.clear()
                try:
                    self._connection.close()
                except sqlite3.Error as error:
                    raise self._explain(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except RunError:
            if error is None:  # what went wrong first is what the user has to know
                raise

    def _open(self) -> sqlite3.Connection:
        if self.read_only:
            return self._open_read_only()
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=30, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA journal_size_limit=-1")  # as it is almost everywhere: a log that shrinks was cut short
            if _version(connection) == 0:
                # Two statements and a version in one transaction: a kill in between leaves an empty file, not half a layout.
                connection.executescript(f"BEGIN IMMEDIATE;{LAYOUT}PRAGMA user_version={FORMAT};COMMIT;")
            self._check_version(connection)
            self._look()
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_read_only(self) -> sqlite3.Connection:
        address = self.path.resolve().as_uri()
        options: dict[str, Any] = {"uri": True, "isolation_level": None, "timeout": 30, "check_same_thread": False}
        connection: sqlite3.Connection = sqlite3.connect(f"{address}?mode=ro", **options)
        try:
            self._check_version(connection)
        except sqlite3.OperationalError:
            connection.close()
            if self._log.exists() and self._log.stat().st_size:
                raise
            # In a folder that may not be written SQLite cannot make its log; without one the file itself is the whole truth.
            connection = sqlite3.connect(f"{address}?immutable=1", **options)
            self._check_version(connection)
        return connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        found = _version(connection)
        if found not in (READABLE if self.read_only else (FORMAT,)):
            connection.close()
            raise RunError(
                f"{self.path} has layout {found}, this version of soundness writes layout {FORMAT}: "
                "use another --out, or the version of soundness named in its run.json"
            )
        self._has_checksums = found > 1

    def _get(
        self, table: str, columns: tuple[str, str], keys: Sequence[bytes], make: Callable[[bytes, bytes], Row]
    ) -> list[Row | None]:
        found: dict[bytes, Row] = {}
        damaged: list[bytes] = []
        distinct = list(dict.fromkeys(keys))
        wanted = ("key", *columns, "checksum") if self._has_checksums else ("key", *columns)
        # As bytes, whatever a damaged row says of its columns' types.
        selected = ", ".join(f"CAST({name} AS BLOB)" for name in wanted)
        with self._lock:
            try:
                for start in range(0, len(distinct), KEYS_PER_QUERY):
                    some = distinct[start : start + KEYS_PER_QUERY]
                    query = f"SELECT {selected} FROM {table} WHERE key IN ({','.join('?' * len(some))})"
                    for key, one, two, *checksum in self._connection.execute(query, some):
                        if None in (one, two) or (checksum and checksum[0] != _checksum(key, one, two)):
                            damaged.append(key)
                        else:
                            found[key] = make(one, two)
            except (sqlite3.Error, ValueError) as error:  # ValueError: half a number, in a file without checksums
                raise self._explain(error) from error
            if damaged:
                self._drop(table, damaged)
        return [found.get(key) for key in keys]

    def _drop(self, table: str, keys: Sequence[bytes]) -> None:
        """Remember damaged rows and, where this store may be written, make room for those that are computed again."""
        self.damaged += [f"{table.removesuffix('s')} {key.hex()}" for key in keys]
        if not self.read_only:
            self._write(lambda: self._connection.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys]))

    def _put(self, table: str, rows: Sequence[tuple[bytes, bytes, bytes]]) -> None:
        if self.read_only:
            raise RunError(f"{self.path} was opened for reading only: open the run with Run.create_or_resume to write")
        whole = [(*row, _checksum(*row)) for row in rows]
        second = "CAST(? AS TEXT)" if table == "generations" else "?"
        insert = f"INSERT INTO {table} VALUES (?, ?, {second}, ?) ON CONFLICT (key) DO NOTHING"
        self._write(lambda: self._connection.executemany(insert, whole))

    def _write(self, change: Callable[[], object]) -> None:
        """Make `change` in one transaction, in the file that was opened and in no other."""
        with self._lock:
            self._check_same_file()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                change()
                self._connection.execute("UPDATE commits SET count = count + 1")
                commits = _num_commits(self._connection)
                self._connection.execute("COMMIT")
            except BaseException as error:
                # SQLite has already rolled back by itself after some errors, a full disk among them.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._explain(error) from error
                raise
            self._commits = commits
            self._look()

    def _look(self) -> None:
        """Remember which files this store lies in, and how long they are."""
        for path in (self.path, self._log):
            with suppress(OSError):
                now = path.stat()
                self._seen[path] = (now.st_dev, now.st_ino, now.st_size)

    def _check_same_file(self) -> None:
        """Raise RunError where a file that was written to is gone, is another one, or is shorter than it was."""
        for path, (device, number, size) in self._seen.items():
            try:
                now = path.stat()
            except OSError:
                raise self._lost(f"{path.name} was removed") from None
            if (now.st_dev, now.st_ino) != (device, number):
                raise self._lost(f"{path.name} was replaced by another file")
            if now.st_size < size:
                raise self._lost(f"{path.name} was cut short, from {size:,} to {now.st_size:,} bytes")

    def _lost(self, what: str) -> RunError:
        return RunError(
            f"{self.path} was changed by another program while it was being written: {what}; what was computed since is lost. "
            "Run the same command again: it computes what is missing"
        )

    @property
    def _log(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def _explain(self, error: Exception) -> RunError:
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
            return RunError(
                f"{self.path} is damaged or no store ({error}): restore it from a copy, or remove it, and the same command computes "
                "again what it held"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RunError(f"{self.path} is being written by another process ({error}): wait for it to end; {kept}")
        return RunError(f"{self.path} cannot be used ({error}): run the same command again, or use another --out; {kept}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _num_commits(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count FROM commits").fetchone() or (None,)
    if not isinstance(count, int):
        raise sqlite3.DatabaseError("the number of its transactions is missing")
    return count


def _checksum(key: bytes, one: bytes, two: bytes) -> bytes:
    """Return 8 bytes that no single row keeps when one of its bits changes."""
    digest = hashlib.blake2b(digest_size=8, person=b"row")
    for part in (key, one, two):
        digest.update(struct.pack("<Q", len(part)))
        digest.update(part)
    return digest.digest()


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
    kind: Finish = "stop" if finish == b"stop" else "length"
    return Generation(tuple(words), kind)


def _reading(token_nats: bytes, token_top: bytes) -> Reading:
    words: array[float] = array("d")
    words.frombytes(token_nats)
    _little("d", words)
    return Reading(tuple(words), tuple(map(bool, token_top)))
