"""From a file, a data set, a world or rows to a task: which rows, what their columns mean, how they are asked.

A file may have a TOML of the same name beside it (`problems.toml` for `problems.jsonl`), which may be named in its place:

    name = "sums"                  # a short label
    file = "problems.jsonl"        # only where the TOML is named otherwise

    grader = "mine.py:grade"       # only with leave to run it (--grader, or trust_grader=True)

    [columns]
    answer = "gold"                # our name = the file's

    [rows]
    split = "test"                 # rows whose field `split` says so
    shuffle = true                 # or a seed
    skip = 100
    select = "0:200"
    limit = 50

    [prompt]
    system = "Be brief."           # and every other option of `soundness.tasks.prompts.Prompting`
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from soundness.answers.graders import Grader, load_grader
from soundness.errors import FileError, SettingError, SoundnessError, TaskError, describe, near
from soundness.extensions import is_file_reference, load_object
from soundness.files import read_toml
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.fields import CountedFromOne, Reader
from soundness.tasks.hub import open_hub, split_hub_spec
from soundness.tasks.prompts import DEFAULT_FEW_SHOT, Prompting, parse_prompting
from soundness.tasks.sources import SUFFIXES, Row, Source, open_file, open_rows
from soundness.tasks.worlds import WORLDS

__all__ = ["ROW_OPTIONS", "Selection", "is_file", "load", "load_problems", "read_problems", "select_rows"]

log = logging.getLogger("soundness")

ROW_OPTIONS = ("limit", "select", "skip", "shuffle", "split")
"""What `[rows]` may say."""

_TOML_KEYS = ("name", "file", "grader", "columns", "rows", "prompt")

_SPARE_EXAMPLES = 8
"""Worked examples read beyond those that are shown, for problems that are among them."""

_LOOKED_AHEAD = 5000
"""Rows behind the limit that are looked at to tell how answers count, where they are indices."""

_SLICE = re.compile(r"(\d{0,9}):(\d{0,9})")  # START:STOP, either of them left out


@dataclass(frozen=True)
class Selection:
    """Which rows are taken."""

    limit: int | None = None
    """At most so many, from the first."""
    select: str | None = None
    """START:STOP, rows counted from 0 after `shuffle` and `skip`."""
    skip: int = 0
    """Rows passed over at the start."""
    shuffle: bool | int = False
    """Whether rows are put in another order first; a number is its seed, True is seed 0."""
    split: str | None = None
    """The split of a data set, or what the field `split` of a row has to say."""

    def __post_init__(self) -> None:
        if self.limit is not None and (isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1):
            raise SettingError(f"limit must be at least 1, and it is {str(self.limit)[:40]}")
        if isinstance(self.skip, bool) or not isinstance(self.skip, int) or self.skip < 0:
            raise SettingError(f"skip must be a whole number from 0, and it is {str(self.skip)[:40]}")
        if not isinstance(self.shuffle, (bool, int)):
            raise SettingError(f"shuffle must be true, false or a seed, and it is {str(self.shuffle)[:40]!r}")
        if self.split is not None and not isinstance(self.split, str):
            raise SettingError(f"split must be a name, and it is {str(self.split)[:40]}")
        self.bounds  # noqa: B018  raises for a selection that makes no sense

    @property
    def bounds(self) -> tuple[int, int | None]:
        """Start and stop of `select`."""
        if self.select is None:
            return 0, None
        found = _SLICE.fullmatch(self.select.strip()) if isinstance(self.select, str) else None
        start, stop = (int(found[1] or 0), int(found[2]) if found[2] else None) if found else (0, 0)
        if found is None or (stop is not None and stop <= start):
            raise SettingError(f"select must be START:STOP such as 100:200, and it is {str(self.select)[:40]!r}")
        return start, stop

    def over(self, table: Mapping[str, Any], place: str) -> Selection:
        """Return this selection with what it leaves open taken from a table of options."""
        for name in table:
            if name not in ROW_OPTIONS:
                raise TaskError(f"{place}: [rows] has no {name!r}{near(name, ROW_OPTIONS)}; it has {', '.join(ROW_OPTIONS)}")
        default = Selection()
        mine = {name: value for name, value in asdict(self).items() if value != getattr(default, name)}
        try:
            return Selection(**{**table, **mine})
        except SettingError as error:
            raise TaskError(f"{place}: {error}") from None


def load(
    source: Any,
    selection: Selection,
    *,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    prompt: Prompting | Mapping[str, Any] | None = None,
    name: str | None = None,
    trust_grader: bool | None = False,
) -> Task:
    """Return the task that `source` names or holds; see `soundness.tasks.base.load_task`.

    With `trust_grader` None a grader that a task file names is passed over.
    """
    if isinstance(source, Path):
        source = str(source)
    if not isinstance(source, str):
        return _of_rows(open_rows(source, name), selection, columns, prompt, name=name)
    if is_file_reference(source):
        return _of_factory(source, selection, columns, prompt, name)
    if source.startswith("hub:"):
        return _of_hub(source, selection, columns, prompt, name)
    world = _world(source)
    if world is not None:
        return _of_world(source, world, selection, seed, columns, prompt)
    path = Path(source).expanduser()
    if _is(path, "is_dir"):
        inside = sorted(one.name for one in path.iterdir() if one.suffix in SUFFIXES)
        held = f", such as {path / inside[0]}" if inside else ""
        raise TaskError(f"{source} is a folder; a task is a file{held}, or hub:{source} for a data set saved to disk")
    if not (is_file(path) or path.suffix in (*SUFFIXES, ".toml", ".gz", ".zip") or "/" in source):
        raise TaskError(
            f"there is no task {source[:200]!r}{near(source.partition(':')[0], WORLDS) or near(source, WORLDS)}: give a file "
            f"({', '.join(SUFFIXES)}), hub:NAME[:CONFIG[:SPLIT]], or one of the worlds {', '.join(WORLDS)}"
        )
    table: Mapping[str, Any] = {}
    if path.suffix == ".toml":
        table = _toml(path)
        path = _file_of(path, table)
    elif is_file(path.with_suffix(".toml")):
        beside = path.with_suffix(".toml")
        table = _toml(beside)
        if table.get("file") not in (None, path.name):  # it is about another file
            table = {}
    grader = _grader(table.get("grader"), path.parent, trust_grader)
    task = _of_rows(open_file(path), selection, columns, prompt, name=name, table=table, path=path)
    return task if grader is None else replace(task, grader=grader)


def _of_factory(
    reference: str,
    selection: Selection,
    columns: Mapping[str, str] | None,
    prompt: Prompting | Mapping[str, Any] | None,
    name: str | None,
) -> Task:
    """Return the task, or the rows as a task, that a function in a user's own file returns."""
    try:
        factory = load_object(reference, "task")
    except SettingError as error:
        raise TaskError(str(error)) from error
    try:
        made = factory() if callable(factory) else factory
    except SoundnessError:
        raise
    except Exception as error:
        raise TaskError(f"the task {reference} raises {describe(error)}") from error
    if made is None:
        raise TaskError(
            f"the task {reference} returns nothing: a Task was wanted, or rows (dictionaries with question and answer)"
        )
    if not isinstance(made, Task):
        return _of_rows(open_rows(made, name or reference.rpartition(":")[2]), selection, columns, prompt, name=name)
    if prompt is not None:
        made = made.with_prompting(prompt if isinstance(prompt, Prompting) else Prompting(**prompt))
    return made if selection.limit is None else replace(made, problems=made.problems[: selection.limit])


def _grader(reference: str | None, folder: Path, trusted: bool | None) -> Grader | None:
    """Return the grader that a task file names; raises TaskError without leave to run its code, which may be a stranger's."""
    if reference is None or trusted is None:
        return None
    if not trusted:
        raise TaskError(
            f"the task wants to be graded by {reference[:100]!r}, a program that came with it; read it, then allow it "
            "(trust_grader), or give a grader of your own"
        )
    place, _, function = reference.rpartition(":")
    return load_grader(f"{folder / place}:{function}" if place.endswith(".py") else reference)


def load_problems(path: str | Path, limit: int | None = None) -> list[Problem]:
    """Return the problems of a file, the first `limit` of them."""
    return list(load(str(path), Selection(limit=limit)).problems)


def is_file(path: Path) -> bool:
    """Return whether there is such a file; a name that no file system takes is none."""
    return _is(path, "is_file")


def _is(path: Path, what: str) -> bool:
    try:
        return bool(getattr(path, what)())
    except (OSError, ValueError):  # a name that is too long, or holds a zero byte
        return False


def _toml(path: Path) -> dict[str, Any]:
    try:
        table = read_toml(path)
    except FileError as error:
        raise TaskError(str(error)) from None
    for key, value in table.items():
        if key not in _TOML_KEYS:
            raise TaskError(f"{path} has an unknown key {key[:60]!r}{near(key, _TOML_KEYS)}; there are {', '.join(_TOML_KEYS)}")
        wanted = str if key in ("name", "file", "grader") else dict
        if not isinstance(value, wanted):
            raise TaskError(
                f"{path}: {key} has to be {'a text' if wanted is str else 'a table'}, and it is {str(value)[:60]!r}"
            )
    return table


def _file_of(path: Path, table: Mapping[str, Any]) -> Path:
    """Return the file of rows that a TOML is about."""
    if "file" in table:
        return path.parent / Path(table["file"]).expanduser()
    beside = [path.with_suffix(suffix) for suffix in SUFFIXES if is_file(path.with_suffix(suffix))]
    if len(beside) != 1:
        found = ", ".join(one.name for one in beside) or "none"
        raise TaskError(f'{path} is about a file of the same name, and there is {found} beside it; name it with file = "NAME"')
    return beside[0]


def _of_rows(
    source: Source,
    selection: Selection,
    columns: Mapping[str, str] | None,
    prompt: Prompting | Mapping[str, Any] | None,
    *,
    name: str | None = None,
    table: Mapping[str, Any] | None = None,
    path: Path | None = None,
    hub: str | None = None,
) -> Task:
    """Return the task that a source's rows make, with the options of the source, of the TOML beside it and of the caller."""
    table = table or {}
    place = str(path or source.name)
    own, beside = source.options.get("rows", {}), table.get("rows", {})
    selection = selection.over({**own, **beside}, place) if own or beside else selection
    named = {**source.options.get("columns", {}), **table.get("columns", {}), **(columns or {})}
    if any(not isinstance(one, str) for one in named.values()):
        raise TaskError(f"{place}: [columns] maps our field names to names of columns, and {next(iter(named))} is no text")
    reader = Reader(named, source.typed)
    problems = read_problems(source, selection, reader, place)
    systems = reader.systems[: len(problems)]
    prompting = _prompting(source.options.get("prompt", {}), table.get("prompt", {}), prompt, path, systems, place)
    task = Task(name or table.get("name") or source.name, tuple(problems), notes=tuple(reader.notes))
    for note in task.notes:
        log.warning("%s: %s", task.name, note)
    if not any(problem.answer is not None for problem in problems):
        log.warning("%s: no problem has a reference answer, so accuracy and what rests on it cannot be measured", task.name)
    examples = None
    if prompting.few_shot_from is not None:
        examples = _examples(prompting, task, named, path, hub)
    return task.with_prompting(prompting, examples) if prompting != Prompting() else task


def _prompting(
    own: Mapping[str, Any],
    beside: Mapping[str, Any],
    given: Prompting | Mapping[str, Any] | None,
    path: Path | None,
    systems: Sequence[str | None],
    place: str,
) -> Prompting:
    """Return the prompting of a file's own options, those of the TOML over them and those of the caller over both."""
    folder = path.parent if path is not None else None
    first = parse_prompting({**own, **beside}, folder=folder, place=f"{place}, [prompt]") if own or beside else Prompting()
    over = given.given if isinstance(given, Prompting) else dict(parse_prompting(given).given) if given else {}
    merged = {**first.given, **over}
    if any(systems) and "system" not in merged:
        if len(set(systems)) > 1:
            raise TaskError(
                f'{place}: its rows bring different system messages; give one for all of them with system, or "" for none'
            )
        merged["system"] = systems[0]
    return parse_prompting(merged) if merged else Prompting()


def read_problems(source: Source, selection: Selection, reader: Reader, place: str) -> list[Problem]:
    """Return the problems of the selected rows, their ids unique."""
    problems: list[Problem] = []
    places: dict[str, str] = {}
    rows = select_rows(source, selection)
    for row in islice(rows, selection.limit):
        problem = reader.problem(row.fields, place=row.place, default_id=row.name)
        if problem.id in places:
            if str(row.fields.get(reader.columns.get("id", "id"))) == problem.id:
                raise TaskError(
                    f"{row.place}, field id: {problem.id[:60]!r} is the id of {places[problem.id]} too; ids must differ"
                )
            # A name that another data set does not mean to be unique, such as that of a passage.
            problem = replace(problem, id=f"{problem.id}:{row.name}")
        places[problem.id] = row.place.removeprefix(f"{place} ")
        problems.append(problem)
    if not problems:
        wanted = "no rows" if selection == Selection() else "no rows that were selected"
        raise TaskError(f"{place} has {wanted}; it needs one object a row with at least a question")
    if reader.indices and selection.limit is not None and not selection.shuffle:
        _look_ahead(rows, reader)
    reader.check()
    return problems


def _look_ahead(rows: Iterator[Row], reader: Reader) -> None:
    """Raise TaskError where a row behind the limit shows that answers count from 1; what else is wrong there does not matter here."""
    for _ in range(_LOOKED_AHEAD):
        try:
            row = next(rows, None)
            if row is None:
                return
            reader.problem(row.fields, place=row.place, default_id=row.name)
        except CountedFromOne:
            raise
        except TaskError:  # a generator that has raised is at its end
            continue


def select_rows(source: Source, selection: Selection) -> Iterator[Row]:
    """Return the rows of a selection in its order, `limit` aside."""
    rows = source.rows
    if selection.split is not None:
        rows = _of_split(rows, selection.split, source.name)
    if selection.shuffle is not False:
        seed = int(selection.shuffle) if not isinstance(selection.shuffle, bool) else 0
        # The place of a row depends on seed and name alone, so that rows added later do not move those that were there.
        rows = iter(sorted(rows, key=lambda row: blake2b(f"{seed}/{row.name}".encode(), digest_size=8).digest()))
    start, stop = selection.bounds
    return islice(rows, selection.skip + start, None if stop is None else selection.skip + stop)


def _of_split(rows: Iterator[Row], split: str, name: str) -> Iterator[Row]:
    seen: dict[str, None] = {}
    found = False
    for row in rows:
        value = row.fields.get("split")
        if value == split:
            found = True
            yield row
        seen[str(value)] = None
    if not found:
        held = ", ".join(one for one in seen if one != "None")[:120]
        raise TaskError(
            f"{name} has no row of the split {split!r}{near(split, seen)}; its field split says {held or 'nothing'}"
        )


def _examples(
    prompting: Prompting, task: Task, columns: Mapping[str, str], path: Path | None, hub: str | None
) -> list[Problem]:
    """Return the worked examples of `few_shot_from`, none of them a problem of the task."""
    where = prompting.few_shot_from or ""
    wanted = (prompting.few_shot if prompting.few_shot is not None else DEFAULT_FEW_SHOT) + _SPARE_EXAMPLES
    source, place = _example_source(where, path, hub)
    reader = Reader(columns, source.typed)
    asked = {problem.question for problem in task.problems}
    examples: list[Problem] = []
    for row in source.rows:
        try:
            problem = reader.problem(row.fields, place=row.place, default_id=row.name)
        except TaskError as error:
            raise TaskError(f"few_shot_from: {error}") from None
        if problem.answer is not None and (problem.steps or problem.rationale) and problem.question not in asked:
            examples.append(problem)
        if len(examples) == wanted:
            break
    if not examples:
        raise TaskError(
            f"few_shot_from: {place} has no row with answer and steps (or rationale) that is no problem of {task.name} itself"
        )
    return examples


def _example_source(where: str, path: Path | None, hub: str | None) -> tuple[Source, str]:
    """Return the rows that `few_shot_from` names: a file, a data set, a split of the task's data set, a file beside its own."""
    if where.startswith("hub:"):
        return open_hub(*split_hub_spec(where.removeprefix("hub:"))), where
    if is_file(Path(where).expanduser()):
        return open_file(Path(where).expanduser()), where
    if hub is not None:
        name, config, _ = split_hub_spec(hub.removeprefix("hub:"))
        return open_hub(name, config, where), f"the split {where} of {name}"
    beside = [path.with_name(f"{where}{suffix}") for suffix in SUFFIXES] if path is not None else []
    for one in beside:
        if is_file(one):
            return open_file(one), str(one)
    if path is not None:
        source = open_file(path)
        return Source(source.name, _of_split(source.rows, where, str(path)), source.typed), f"the split {where} of {path}"
    raise TaskError(f"few_shot_from: there is no file {where[:200]!r}; name a file, or hub:NAME:CONFIG:SPLIT")


def _of_hub(
    spec: str,
    selection: Selection,
    columns: Mapping[str, str] | None,
    prompt: Prompting | Mapping[str, Any] | None,
    label: str | None,
) -> Task:
    name, config, split = split_hub_spec(spec.removeprefix("hub:"))
    if selection.split is not None:
        if split is not None and split != selection.split:
            raise TaskError(f"{spec} names the split {split!r}, and split={selection.split} another; give one")
        split, selection = selection.split, replace(selection, split=None)
    shown = label or ":".join(part for part in (Path(name).name if Path(name).is_dir() else name, config, split) if part)
    return _of_rows(open_hub(name, config, split), selection, columns, prompt, name=shown, hub=spec)


def _world(spec: str) -> str | None:
    """Return the world that a specification names, or None where it names none, or a file."""
    # The longest name first: a world's own name may hold a colon ("organism:domain").
    named = max((name for name in WORLDS if f"{spec}:".startswith(f"{name}:")), key=len, default=None)
    return None if named is None or is_file(Path(spec).expanduser()) else named


def _of_world(
    spec: str,
    world: str,
    selection: Selection,
    seed: int,
    columns: Mapping[str, str] | None,
    prompt: Prompting | Mapping[str, Any] | None,
) -> Task:
    if columns:
        raise SettingError("columns are for files and data sets; a world has no columns")
    if selection.split is not None:
        raise SettingError("split is for files and data sets; a world has no splits")
    generate: Callable[..., Task] = WORLDS[world].generate
    settings = _world_settings(generate, world, spec[len(world) + 1 :])
    plain = selection == Selection(limit=selection.limit)
    if plain and selection.limit is not None:
        settings["n"] = min(selection.limit, settings.get("n", selection.limit))
    task = generate(**{"n": 100, **settings}, seed=seed)
    if not plain:
        rows = (Row(problem.id, problem.id, {"problem": problem}) for problem in task.problems)
        chosen = islice(select_rows(Source(world, rows), selection), selection.limit)
        problems = tuple(row.fields["problem"] for row in chosen)
        if not problems:
            raise TaskError(f"{spec} makes {len(task.problems)} problems, and none of them was selected")
        task = replace(task, problems=problems)
    prompting = prompt if isinstance(prompt, Prompting) else parse_prompting(prompt or {})
    if prompting.few_shot_from is not None:
        return task.with_prompting(prompting, _examples(prompting, task, {}, None, None))
    if task.instruction != "":
        # A world makes its own worked examples; its items depend on the seed, so none of these is a problem of the task.
        num = (prompting.few_shot or DEFAULT_FEW_SHOT) + _SPARE_EXAMPLES
        task = replace(task, examples=generate(**{**settings, "n": num}, seed=-1 - seed).problems)
    return task.with_prompting(prompting) if prompting != Prompting() else task


def _world_settings(generate: Callable[..., Task], world: str, options: str) -> dict[str, int]:
    known = [name for name in inspect.signature(generate).parameters if name != "seed"]
    settings: dict[str, int] = {}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name not in known:
            raise TaskError(f"the world {world} has no option {name[:60]!r}{near(name, known)}; it has {', '.join(known)}")
        flags = {"true": 1, "false": 0}
        if value.lower() in flags:
            settings[name] = flags[value.lower()]
        elif re.fullmatch(r"[-+]?\d{1,9}", value.strip()):
            settings[name] = int(value)
        else:
            raise TaskError(f"{world}:{name} needs a whole number, and it is {value[:60]!r}; write for example {name}=4")
    return settings
