"""A run folder and the handle on it.

    run.json           settings, seeds, versions, models with their fingerprints, timings, verdicts
    comparisons.json   one object per base, tuned model, metric and scorer; the same run gives the same bytes
    *.parquet          problems, chains, readings, scores, cases, edits
    store.sqlite       raw traces by content, what a resumed run starts from
    .lock, .writer     who is writing it now; store.sqlite-wal and -shm are SQLite's own and may stay behind, empty

One process writes at a time; anyone may read. Every file but the store is replaced whole.
"""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from soundness.errors import FileError, MetricError, RunError, near
from soundness.files import is_leftover, read_json, remove_leftovers, write_json, write_text
from soundness.models.store import Store
from soundness.records import Chain, Comparison, Estimate, Problem, Score, Verdict, Word
from soundness.runs.tables import (
    CASES,
    CHAINS,
    EDITS,
    PROBLEMS,
    READINGS,
    SCORES,
    CaseRow,
    EditRow,
    ReadingRow,
    Table,
    read_rows,
    write_table,
)

__all__ = ["Run", "open_run", "versions", "without_secrets"]

RUN_FILE = "run.json"
COMPARISONS_FILE = "comparisons.json"
STORE_FILE = "store.sqlite"
LOCK_FILE = ".lock"
WRITER_FILE = ".writer"

GROWING = ("metrics", "samples")
"""Settings that a resumed run may extend: names are united, counts grow; neither ever shrinks."""

FREE = ("out", "resume", "batch_size", "dry_run", "quiet")
"""Settings that change nothing that is measured; a resumed run takes the new ones."""

PACKAGES = (
    "soundness",
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "tokenizers",
    "numpy",
    "scipy",
    "pyarrow",
    "math-verify",
)

HIDDEN = "(hidden)"

_MOST_SHOWN = 3
"""Differing entries of one setting that a message names."""

# `key` and `auth` only as whole words: there are keywords and authors.
SECRET_WORDS = {"key", "keys", "apikey", "auth", "authorization", "bearer", "cookie", "cookies", "pat"}
SECRET_PARTS = ("password", "passwd", "passphrase", "secret", "credential")
SECRET_TOKEN = re.compile(r"token(?!i[sz])", re.IGNORECASE)

Record = TypeVar("Record")


class Run:
    """A handle on one run folder: `Run.create_or_resume` to write, `open_run` to read.

    A writing handle holds the folder's lock until it is closed; use it as a context manager.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], lock: Any | None = None) -> None:
        self.path = path
        """The folder."""
        self._document = dict(document)
        self._lock = lock
        self._store: Store | None = None
        self._comparisons: list[Comparison] | None = None

    @classmethod
    def create_or_resume(
        cls,
        path: str | Path,
        settings: Mapping[str, Any],
        *,
        growing: Sequence[str] = GROWING,
        free: Sequence[str] = FREE,
    ) -> Run:
        """Return a writing handle on the folder `path`: made where it is absent or empty, resumed where its settings agree.

        `settings` are JSON values (paths and enumerations become text). Those named in `growing` may be extended, those in
        `free` may differ; all others define what is measured. What looks like a secret is never written. Raises RunError, with
        nothing in the folder touched, where it holds something else, is being written by another process, or was made with
        other settings.
        """
        path = Path(path)
        wanted = without_secrets(settings)
        _check_is_ours(path)
        _document(path, wanted, growing, free)  # refuses other settings before anything is written
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be made ({error.strerror}): use another --out") from error
        lock = _lock(path)
        try:
            # Read again under the lock: another process may have finished in between.
            run = cls(path, _document(path, wanted, growing, free), lock)
            run._save()
        except BaseException:
            _unlock(path, lock)
            raise
        return run

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as written, secrets left out."""
        return dict(self._document["settings"])

    @property
    def document(self) -> dict[str, Any]:
        """All of run.json: settings, created, seeds, versions, models, timings, verdicts."""
        return dict(self._document)

    @property
    def finished(self) -> bool:
        """Whether the results are those of these settings; False while a run is going on or after it was killed."""
        return self._document.get("finished") is not None

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict per tuned model, in the order judged; empty until a run is first finished."""
        return [
            Verdict(
                tuned=row["tuned"],
                word=Word(row["word"]),
                sentence=row["sentence"],
                evidence_for=tuple(row["evidence_for"]),
                evidence_against=tuple(row["evidence_against"]),
            )
            for row in self._document.get("verdicts", [])
        ]

    @property
    def comparisons(self) -> list[Comparison]:
        """Every comparison, sorted by base, tuned, metric and scorer; empty until a run is first finished."""
        if self._comparisons is None:
            path = self.path / COMPARISONS_FILE
            rows = _read_json(path) if path.exists() else []
            try:
                self._comparisons = [_comparison(row) for row in rows]
            except (KeyError, TypeError) as error:
                raise RunError(f"{path} is damaged ({error!r}): run the same soundness command again to rebuild it") from error
        return list(self._comparisons)

    def comparison(self, metric: str, tuned: str | None = None, scorer: str | None = None) -> Comparison:
        """Return the comparison of one metric.

        Without `tuned` the first tuned model's; without `scorer` the one under `self`, else `-`, else `base`. Raises
        MetricError, with near names, where there is none.
        """
        rows = self.comparisons
        if not rows:
            raise MetricError(f"{self.path} holds no comparisons yet: finish the run with the same soundness command again")
        names = [verdict.tuned for verdict in self.verdicts] or [row.tuned for row in rows]
        wanted = names[0] if tuned is None else tuned
        if wanted not in {row.tuned for row in rows}:
            known = sorted({row.tuned for row in rows})
            raise MetricError(f"no tuned model {wanted!r} in {self.path}{near(wanted, known)}; there are: {', '.join(known)}")
        rows = [row for row in rows if row.tuned == wanted]
        found = {row.scorer: row for row in rows if row.metric == metric}
        if not found:
            known = sorted({row.metric for row in rows})
            raise MetricError(f"no metric {metric!r} in {self.path}{near(metric, known)}; there are: {', '.join(known)}")
        if scorer is not None and scorer not in found:
            raise MetricError(
                f"{metric} was not read by the scorer {scorer!r} in {self.path}; there are: {', '.join(sorted(found))}"
            )
        preference = [scorer] if scorer is not None else ["self", "-", "base", *sorted(found)]
        return next(found[name] for name in preference if name in found)

    def problems(self) -> list[Problem]:
        """Return the problems asked, in order."""
        return read_rows(self.path / PROBLEMS.file, PROBLEMS)

    def chains(self) -> list[Chain]:
        """Return every chain that entered the scores."""
        return read_rows(self.path / CHAINS.file, CHAINS)

    def readings(self) -> list[ReadingRow]:
        """Return every reading with the chain that it bears on."""
        return read_rows(self.path / READINGS.file, READINGS)

    def scores(self) -> list[Score]:
        """Return every score: one per metric, chain and scorer."""
        return read_rows(self.path / SCORES.file, SCORES)

    def cases(self) -> list[CaseRow]:
        """Return every chain as each scorer saw it: steps and beliefs."""
        return read_rows(self.path / CASES.file, CASES)

    def edits(self) -> list[EditRow]:
        """Return what each intervention made of each chain, and what followed."""
        return read_rows(self.path / EDITS.file, EDITS)

    @property
    def store(self) -> Store:
        """The raw traces; opened at first use, for reading only where this handle is."""
        if self._store is None:
            self._store = Store(self.path / STORE_FILE, read_only=self._lock is None)
        return self._store

    def write_tables(
        self,
        *,
        problems: Iterable[Problem] | None = None,
        chains: Iterable[Chain] | None = None,
        readings: Iterable[ReadingRow] | None = None,
        scores: Iterable[Score] | None = None,
        cases: Iterable[CaseRow] | None = None,
        edits: Iterable[EditRow] | None = None,
    ) -> None:
        """Replace those tables that are given."""
        self._check_writable()
        self._write_table(PROBLEMS, problems)
        self._write_table(CHAINS, chains)
        self._write_table(READINGS, readings)
        self._write_table(SCORES, scores)
        self._write_table(CASES, cases)
        self._write_table(EDITS, edits)

    def write_results(
        self,
        comparisons: Iterable[Comparison],
        verdicts: Iterable[Verdict],
        *,
        timings: Mapping[str, float] | None = None,
        models: Mapping[str, Any] | None = None,
        seeds: Mapping[str, int] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """Write comparisons.json and then run.json with the verdicts, each whole or not at all.

        `timings` are seconds by phase, `models` maps a model's name to its fingerprint or to more about it, `more` is kept in
        run.json as it is. comparisons.json holds nothing that differs between two runs of the same thing.
        """
        self._check_writable()
        rows = sorted(comparisons, key=lambda c: (c.base, c.tuned, c.metric, c.scorer))
        write_json(self.path / COMPARISONS_FILE, [_comparison_row(row) for row in rows], sort_keys=True)
        self._comparisons = None
        self._document.update(without_secrets(more or {}))
        self._document.update(
            seeds=dict(seeds or {"seed": self._document["settings"].get("seed")}),
            models=without_secrets(models or {}),
            timings=dict(timings or {}),
            finished=_now(),
            verdicts=[{**asdict(verdict), "word": verdict.word.value} for verdict in verdicts],
        )
        self._save()

    def close(self) -> None:
        """Close the store and let go of the folder; closing twice does nothing."""
        try:
            if self._store is not None:
                self._store.close()
                self._store = None
        finally:
            if self._lock is not None:
                _unlock(self.path, self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "reading" if self._lock is None else "writing"
        words = ", ".join(f"{verdict.tuned}: {verdict.word}" for verdict in self.verdicts) or "no verdict yet"
        return f"Run({str(self.path)!r}, {state}, {words})"

    def _save(self) -> None:
        write_json(self.path / RUN_FILE, self._document, sort_keys=True)

    def _write_table(self, table: Table[Record], rows: Iterable[Record] | None) -> None:
        if rows is not None:
            write_table(self.path / table.file, rows, table)

    def _check_writable(self) -> None:
        if self._lock is None:
            raise RunError(f"{self.path} was opened for reading only or is closed: write through Run.create_or_resume")


def open_run(path: str | Path) -> Run:
    """Return a reading handle on a run folder, finished or not; it takes no lock and changes nothing.

    Raises RunError where the folder holds no run.
    """
    path = Path(path)
    if not (path / RUN_FILE).is_file():
        raise RunError(
            f"{path} holds no {RUN_FILE}, so it is no run folder: name one that soundness wrote (the --out of an audit)"
        )
    return Run(path, _read_document(path))


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of each package a result depends on, None where one is not installed; imports none."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` as plain JSON values without anything that looks like a secret.

    Left out are entries whose name speaks of a password, secret, credential, key or token, unless they are plain numbers (such
    as `max_tokens`). Text that holds the value of an environment variable of such a name, or a password inside an address, is
    hidden.

    >>> without_secrets({"max_tokens": 64, "api_key": "abc", "server": "http://me:pw@host/v1"})
    {'max_tokens': 64, 'server': 'http://(hidden)@host/v1'}
    """
    secrets = [value for name, value in os.environ.items() if len(value) >= 8 and _is_secret(name, value)]
    plain = json.loads(json.dumps(dict(settings), allow_nan=False, default=_plain))
    cleaned = _clean(plain, secrets)
    assert isinstance(cleaned, dict)
    return cleaned


def _clean(value: Any, secrets: Sequence[str]) -> Any:
    """Return a JSON value without secret entries and with secret texts hidden."""
    if isinstance(value, dict):
        return {name: _clean(part, secrets) for name, part in value.items() if not _is_secret(name, part)}
    if isinstance(value, list):
        return [_clean(part, secrets) for part in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return re.sub(r"(?<=://)[^/\s@]+(?=@)", HIDDEN, value)
    return value


def _is_secret(name: str, value: Any) -> bool:
    """Return whether an entry's name says that it is a secret; numbers, switches and absences are none, passwords apart."""
    if any(part in name.lower() for part in SECRET_PARTS):
        return True
    if value is None or isinstance(value, (bool, int, float)):
        return False
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))
    return bool(words & SECRET_WORDS) or SECRET_TOKEN.search(name) is not None


def _plain(value: Any) -> Any:
    """Return a JSON value for what `json` does not know: a path as text, a set sorted."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a run's settings are JSON values, and {value!r} is none")


def _check_is_ours(path: Path) -> None:
    """Raise RunError where `path` is neither absent, nor an empty folder, nor a run folder."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is a file: --out names a folder, new or of an earlier run")
    # A run killed at birth leaves no run.json, only these.
    ours = {LOCK_FILE, WRITER_FILE}
    strangers = sorted(p.name for p in path.iterdir() if p.name not in ours and not is_leftover(p))
    if strangers and not (path / RUN_FILE).is_file():
        raise RunError(
            f"{path} is not empty and no run folder (it holds {', '.join(strangers[:3])}{' ...' if len(strangers) > 3 else ''} "
            f"and no {RUN_FILE}): nothing in it was touched, use another --out"
        )


def _lock(path: Path) -> Any:
    """Return the held lock of a folder; raises RunError where another process, or another handle, holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path / LOCK_FILE, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        with suppress(OSError):
            writer = (path / WRITER_FILE).read_text(encoding="utf-8").strip()
            raise RunError(f"{path} is being written by {writer}: wait for it to end, or use another --out") from error
        raise RunError(f"{path} is being written by another process: wait for it to end, or use another --out") from error
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror or error}): use another --out") from error
    try:
        remove_leftovers(path)
        # Beside the lock and not in it: taking a lock empties its file.
        write_text(path / WRITER_FILE, f"process {os.getpid()} on {socket.gethostname()}\n")
    except BaseException:
        lock.release()
        raise
    return lock


def _unlock(path: Path, lock: Any) -> None:
    """Let go of a folder's lock."""
    with suppress(OSError):
        (path / WRITER_FILE).unlink(missing_ok=True)
    lock.release()


def _merge(
    path: Path, old: Mapping[str, Any], new: Mapping[str, Any], growing: Sequence[str], free: Sequence[str]
) -> dict[str, Any]:
    """Return the settings of a resumed run; raises RunError listing every one that defines the measurement and differs."""
    merged: dict[str, Any] = {}
    differing = []
    for name in dict.fromkeys([*old, *new]):
        one, two = old.get(name), new.get(name)
        if name in free:
            merged[name] = two if name in new else one
        elif name in growing and name in old and name in new and (grown := _grow(one, two)) is not None:
            merged[name] = grown
        elif (name in old) != (name in new) or one != two:
            differing.extend(_differences(old, new, name))
        else:
            merged[name] = one
    if differing:
        raise RunError(
            f"{path} was made with other settings: {'; '.join(differing)}; "
            "use another --out for a new run, or the settings given there to resume this one"
        )
    return merged


def _grow(old: Any, new: Any) -> Any | None:
    """Return the union of two lists of names or the greater of two counts, or None where they are neither."""
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *(name for name in new if name not in old)]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in (old, new)):
        return max(old, new)
    return None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> list[str]:
    """Return how a setting differs, for a message; of a mapping the first entries that do."""
    one, two = old.get(name), new.get(name)
    if not (isinstance(one, dict) and isinstance(two, dict)):
        return [f"{name} is {_shown(old, name)} there, {_shown(new, name)} now"]
    keys = [key for key in dict.fromkeys([*one, *two]) if (key in one) != (key in two) or one.get(key) != two.get(key)]
    more = [f"and {len(keys) - _MOST_SHOWN} more of {name}"] if len(keys) > _MOST_SHOWN else []
    return [f"{name}[{key!r}] is {_shown(one, key)} there, {_shown(two, key)} now" for key in keys[:_MOST_SHOWN]] + more


def _shown(settings: Mapping[str, Any], name: str) -> str:
    """Return a setting's value for a message."""
    return json.dumps(settings[name], ensure_ascii=False) if name in settings else "absent"


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as it stands in comparisons.json."""
    row = asdict(replace(comparison, missing={}))
    row["missing"] = dict(sorted(comparison.missing.items()))
    return row


def _comparison(row: Mapping[str, Any]) -> Comparison:
    """Return the comparison of a row of comparisons.json."""
    estimates = {name: Estimate(**row[name]) for name in ("base_estimate", "tuned_estimate", "difference")}
    return Comparison(**{**row, **estimates})


def _document(path: Path, settings: Mapping[str, Any], growing: Sequence[str], free: Sequence[str]) -> dict[str, Any]:
    """Return run.json as it stands when writing begins: what an earlier run left, with the settings of both."""
    if not (path / RUN_FILE).exists():
        document: dict[str, Any] = {"settings": dict(settings), "created": _now(), "verdicts": []}
    else:
        document = _read_document(path)
        document["settings"] = _merge(path, document["settings"], settings, growing, free)
    return {**document, "versions": versions(), "finished": None}


def _now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_document(path: Path) -> dict[str, Any]:
    """Return run.json; raises RunError where it is damaged."""
    document = _read_json(path / RUN_FILE)
    if not isinstance(document, dict) or not isinstance(document.get("settings"), dict):
        raise RunError(f"{path / RUN_FILE} has no settings, so it was not written by soundness: use another folder")
    return document


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FileError as error:
        raise RunError(f"{error}, or use another folder") from error
