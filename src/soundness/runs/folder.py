"""A run folder and the handle on it.

    run.json           layout, settings, seeds, versions, models with their fingerprints, timings, verdicts, a digest of each file
    comparisons.json   one object per base, tuned model, metric and reader; the same run gives the same bytes
    *.parquet          problems, chains, readings, scores, cases, edits
    store.sqlite       raw traces by content, what a resumed run starts from
    .lock, .writer     who is writing it now; store.sqlite-wal and -shm are SQLite's own and may stay behind, empty

One process writes at a time; anyone may read. Every file but the store is replaced whole. What a finished run holds stays until the
new results are complete: a folder that is taken up again and killed is as finished as it was.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from soundness.errors import FileError, MetricError, RunError, near
from soundness.files import (
    file_digest,
    inside,
    is_leftover,
    json_digest,
    json_text,
    read_json,
    remove_leftovers,
    unfinished_name,
    write_bytes,
    write_json,
    write_text,
)
from soundness.models.store import Store
from soundness.records import Chain, Comparison, Problem, Score, Verdict
from soundness.runs.settings import EXTENDED, FREE, GROWING, code_digest, merge, versions, without_secrets
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

__all__ = ["Run", "open_run"]

RUN_FILE = "run.json"
COMPARISONS_FILE = "comparisons.json"
STORE_FILE = "store.sqlite"
LOCK_FILE = ".lock"
WRITER_FILE = ".writer"

LAYOUT = 2
"""Version of the folder's layout, kept in run.json. Layout 1 (soundness 0.1, which wrote no number) can be opened, not resumed."""

_MOST_NAMED = 20
"""Damaged entries of the store that run.json names."""

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
        self._keeps_results = False
        self._pending: dict[str, Path] = {}
        self._digests: dict[str, str] = {}

    @classmethod
    def create_or_resume(
        cls,
        path: str | Path,
        settings: Mapping[str, Any],
        *,
        growing: Sequence[str] = GROWING,
        extended: Sequence[str] = EXTENDED,
        free: Sequence[str] = FREE,
        first_problems: Callable[[int], str] | None = None,
    ) -> Run:
        """Return a writing handle on the folder `path`: made where it is absent or empty, resumed where its settings agree.

        `settings` are JSON values (paths and enumerations become text). Those named in `growing` are united with what is there,
        those in `extended` may have entries added, those in `free` may differ; all others define what is measured. With
        `first_problems`, which returns the fingerprint of the first n problems asked now, problems may be added behind those of
        the folder. What looks like a secret is never written.

        Where the folder already holds the results of these very settings, made by this code and unchanged since, the handle is
        `finished`, and there is nothing to do. What a finished run holds stays as it is until `write_results` puts all of the new
        in its place. Raises RunError, with nothing in the folder touched, where it holds something else, is being written by
        another process, or was made with other settings or by another layout.
        """
        path = Path(path)
        wanted = without_secrets(settings)

        def look() -> tuple[dict[str, Any] | None, dict[str, Any]]:
            """Return what the folder holds, and the settings of both; refuses other settings."""
            before = _read_document(path) if (path / RUN_FILE).exists() else None
            if before is None:
                return None, wanted
            _check_layout_is_written(path, before)
            rules = {"growing": growing, "extended": extended, "free": free}
            return before, merge(path, before["settings"], wanted, **rules, first_problems=first_problems)

        _check_is_ours(path)
        look()  # before anything is written
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be made ({error.strerror}): use another --out") from error
        lock = _lock(path)
        try:
            before, merged = look()  # again, under the lock: another process may have finished in between
            run = cls(path, _begun(before, merged), lock)
            if before is None or before.get("finished") is None:
                run._save()
            else:
                run._keeps_results = True
                if _holds_results_of(run._document, before, free) and not _edits(path, before):
                    run._document = before
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
    def layout(self) -> int:
        """The layout of the folder: 1 where soundness 0.1 wrote it, otherwise the number that it carries."""
        return int(self._document.get("layout", 1))

    def changes(self) -> list[str]:
        """Return, one sentence each, what in the folder is not as the run left it, and what was damaged and computed again.

        Empty where all is as it was written. Every file is read for it. A run that is not finished has nothing to be held to.
        """
        return [*self.changed_files(), *_mended(self._document)]

    def changed_files(self) -> list[str]:
        """Return, one sentence each, which files are not as the finished run left them; of a folder of 0.1 nothing can be said."""
        return _edits(self.path, self._document)

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict per tuned model, in the order judged; empty until a run is first finished."""
        verdicts: list[Verdict] = _checked(list[Verdict], self._document.get("verdicts", []), self.path / RUN_FILE)
        return verdicts

    @property
    def base(self) -> str | None:
        """The name of the model that the others are compared with, or None where nothing is compared."""
        if self.comparisons:
            return self.comparisons[0].base
        name = self.settings.get("base")  # every tuned model may be broken
        return name if isinstance(name, str) and self.verdicts else None

    @property
    def comparisons(self) -> list[Comparison]:
        """Every comparison, sorted by base, tuned, metric and reader; empty until a run is first finished."""
        if self._comparisons is None:
            path = self.path / COMPARISONS_FILE
            self._comparisons = _checked(list[Comparison], _current(_read_json(path)) if path.exists() else [], path)
        return list(self._comparisons)

    def comparison(self, metric: str, tuned: str | None = None, reader: str | None = None) -> Comparison:
        """Return the comparison of one metric.

        Without `tuned` the first tuned model's; without `reader` the one under `self`, else `-`, else `base`. Raises
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
        found = {row.reader.value: row for row in rows if row.metric == metric}
        if not found:
            known = sorted({row.metric for row in rows})
            raise MetricError(f"no metric {metric!r} in {self.path}{near(metric, known)}; there are: {', '.join(known)}")
        if reader is not None and reader not in found:
            raise MetricError(f"{metric} was not read by {reader!r} in {self.path}; there are: {', '.join(sorted(found))}")
        preference = [reader] if reader is not None else ["self", "-", "base", *sorted(found)]
        return next(found[name] for name in preference if name in found)

    def problems(self) -> list[Problem]:
        """Return the problems asked, in order."""
        return self._read_table(PROBLEMS)

    def chains(self) -> list[Chain]:
        """Return every chain that entered the scores."""
        return self._read_table(CHAINS)

    def readings(self) -> list[ReadingRow]:
        """Return every reading with the chain that it bears on."""
        return self._read_table(READINGS)

    def scores(self) -> list[Score]:
        """Return every score: one per metric, chain and reader."""
        return self._read_table(SCORES)

    def cases(self) -> list[CaseRow]:
        """Return every chain as each reader saw it: steps and beliefs."""
        return self._read_table(CASES)

    def edits(self) -> list[EditRow]:
        """Return what each intervention made of each chain, and what followed."""
        return self._read_table(EDITS)

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
        """Replace those tables that are given; where the folder holds results, together with them in `write_results`."""
        self._check_writable()
        self._write_table(PROBLEMS, problems)
        self._write_table(CHAINS, chains)
        self._write_table(READINGS, readings)
        self._write_table(SCORES, scores)
        self._write_table(CASES, cases)
        self._write_table(EDITS, edits)

    def write_file(self, name: str, text: str) -> None:
        """Replace the file `name` of this folder by `text`, when and as the tables are."""
        self._check_writable()
        self._write(inside(self.path, name).name, lambda path: write_text(path, text))

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
        run.json as it is. comparisons.json holds nothing that differs between two runs of the same thing. Raises RunError, with
        the run left unfinished, where the store is no longer the one that was written to.
        """
        self._check_writable()
        damaged = []
        if self._store is not None:
            self._store.check()
            damaged = self._store.damaged
        rows = sorted(comparisons, key=lambda c: (c.base, c.tuned, c.metric, c.reader))
        content = json_text([_comparison_row(row) for row in rows], sort_keys=True)
        self._write(COMPARISONS_FILE, lambda path: write_bytes(path, content.encode("utf-8", "backslashreplace")))
        self._comparisons = None
        self._document.update(without_secrets(more or {}))
        self._document.update(
            seeds=dict(seeds or {"seed": self._document["settings"].get("seed")}),
            models=without_secrets(models or {}),
            timings=dict(timings or {}),
            finished=_now(),
            verdicts=[{**asdict(verdict), "word": verdict.word.value} for verdict in verdicts],
            digests={**self._document.get("digests", {}), **self._digests},
            repaired={"count": len(damaged), "first": damaged[:_MOST_NAMED]},
        )
        while self._pending:
            name, path = next(iter(self._pending.items()))
            try:
                path.replace(self.path / name)
            except OSError as error:
                raise RunError(
                    f"{self.path / name} cannot be written ({error.strerror}): run the same command again"
                ) from error
            del self._pending[name]
        self._save()

    def close(self) -> None:
        """Close the store and let go of the folder; closing twice does nothing."""
        try:
            if self._store is not None:
                self._store.close()
                self._store = None
        finally:
            for path in self._pending.values():
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            self._pending.clear()
            if self._lock is not None:
                _unlock(self.path, self._lock)
                self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except RunError:
            if error is None:  # what went wrong first is what the user has to know
                raise

    def __repr__(self) -> str:
        state = "reading" if self._lock is None else "writing"
        words = ", ".join(f"{verdict.tuned}: {verdict.word}" for verdict in self.verdicts) or "no verdict yet"
        return f"Run({str(self.path)!r}, {state}, {words})"

    def _save(self) -> None:
        self._document.pop("digest", None)
        self._document["digest"] = _own_digest(self._document)
        write_json(self.path / RUN_FILE, self._document, sort_keys=True)

    def _write_table(self, table: Table[Record], rows: Iterable[Record] | None) -> None:
        if rows is not None:
            self._write(table.file, lambda path: write_table(path, rows, table))

    def _write(self, name: str, write: Callable[[Path], None]) -> None:
        """Have a file written: in its place, or beside it until the results are complete, where there are some to be kept."""
        path = self._pending.get(name) or (unfinished_name(self.path) if self._keeps_results else self.path / name)
        write(path)
        if self._keeps_results:
            self._pending[name] = path
        self._digests[name] = file_digest(path)

    def _read_table(self, table: Table[Record]) -> list[Record]:
        """Return a table's records; raises RunError where the file is not the one that the finished run wrote."""
        path = self._pending.get(table.file, self.path / table.file)
        digest = self._digests.get(table.file) or self._document.get("digests", {}).get(table.file)
        if digest is not None and self.finished and path.is_file() and file_digest(path) != digest:
            raise RunError(
                f"{path} was changed after the run was finished: restore it from a copy, or run the same soundness command again to "
                "rebuild it from the traces"
            )
        return read_rows(path, table)

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


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as it stands in comparisons.json."""
    row = asdict(replace(comparison, missing={}))
    row["missing"] = dict(sorted(comparison.missing.items()))
    return row


def _current(rows: Any) -> Any:
    """Return the rows of comparisons.json under today's names: soundness 0.1 said `scorer` and told a direction in words."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows
    return [
        {
            **{name: v for name, v in row.items() if name not in ("scorer", "higher_is")},
            "reader": row["scorer"],
            "direction": "none",
        }
        if "scorer" in row
        else row
        for row in rows
    ]


def _begun(before: Mapping[str, Any] | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.json as it stands when computing begins: what an earlier run left, with the settings of both."""
    old = before if before is not None else {"created": _now(), "verdicts": []}
    new = {"layout": LAYOUT, "settings": dict(settings), "versions": versions(), "code": code_digest(), "finished": None}
    return {**old, **new}


def _holds_results_of(begun: Mapping[str, Any], before: Mapping[str, Any], free: Sequence[str]) -> bool:
    """Return whether what was finished `before` are the results of what has `begun`."""
    old, new = ({k: v for k, v in document["settings"].items() if k not in free} for document in (before, begun))
    return old == new and all(before.get(name) == begun[name] for name in ("layout", "versions", "code"))


def _own_digest(document: Mapping[str, Any]) -> str:
    """Return the digest of run.json that stands in it: of all else, as it is read back."""
    return json_digest(json.loads(json.dumps({name: value for name, value in document.items() if name != "digest"})))


def _mended(document: Mapping[str, Any]) -> list[str]:
    """Return what was damaged and computed again before a run was finished, and what cannot be told of it."""
    if document.get("finished") is None:
        return []
    if document.get("layout", 1) < LAYOUT:
        return ["soundness 0.1 wrote this folder and kept no digests: whether a file was changed since then cannot be told"]
    count = document.get("repaired", {}).get("count", 0)
    what = "entry of the store was" if count == 1 else "entries of the store were"
    return [f"{count} {what} damaged and computed again"] if count else []


def _edits(path: Path, document: Mapping[str, Any]) -> list[str]:
    """Return what in a run folder is not as its run.json says."""
    if document.get("finished") is None or document.get("layout", 1) < LAYOUT:
        return []
    sentences = []
    if document.get("digest") != _own_digest(document):
        sentences.append(f"{RUN_FILE} was changed after the run was finished")
    for name, digest in sorted(document.get("digests", {}).items()):
        try:
            if file_digest(inside(path, name)) != digest:
                sentences.append(f"{name} was changed after the run was finished")
        except FileError:
            sentences.append(f"{name} is missing or cannot be read")
    if sentences:
        sentences[-1] += "; the same soundness command computes the results again"
    return sentences


def _checked(kind: Any, value: Any, path: Path) -> Any:
    """Return a JSON value as records of `kind`; raises RunError where it is anything else."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = " ".join(str(part) for part in first["loc"])
        raise RunError(
            f"{path} is damaged ({place}: {first['msg']}): run the same soundness command again to rebuild it"
        ) from None


def _check_layout_is_written(path: Path, document: Mapping[str, Any]) -> None:
    """Raise RunError where a folder has another layout than this version writes."""
    layout = document.get("layout", 1)
    if layout < LAYOUT:
        raise RunError(
            f"{path} was written by soundness 0.1 (layout {layout}; this version writes layout {LAYOUT}), so it can be looked at "
            "(soundness show, soundness report) and not continued: use another --out"
        )


def _now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class _Document:
    """What run.json may hold, as far as anybody relies on it."""

    settings: dict[str, Any]
    layout: int = 1
    finished: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    models: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, Any] = field(default_factory=dict)
    estimates: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, Any] = field(default_factory=dict)


def _read_document(path: Path) -> dict[str, Any]:
    """Return run.json; raises RunError where it is damaged or of a later layout."""
    document = _read_json(path / RUN_FILE)
    if not isinstance(document, dict) or not isinstance(document.get("settings"), dict):
        raise RunError(f"{path / RUN_FILE} has no settings, so it was not written by soundness: use another folder")
    _checked(_Document, document, path / RUN_FILE)
    if document.get("layout", 1) > LAYOUT:
        raise RunError(
            f"{path} was written by a later version of soundness (layout {document['layout']}, this version knows {LAYOUT}): "
            "update soundness"
        )
    return document


def _read_json(path: Path) -> Any:
    try:
        return read_json(path)
    except FileError as error:
        raise RunError(f"{error}, or use another folder") from error
