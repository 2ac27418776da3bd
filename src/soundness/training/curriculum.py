"""A curriculum from a knowledge graph: questions of one hop, then two, then three, with rationales that state each triple.

Any other method learns from them, in this order: sft on the rationales unless another is named.

A question names the start and the relations of a path; the rationale states the triples in order; distractors are of the answer's
type and not reached by the path. A path whose relation has several tails is left out. No question is in two splits.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from soundness.errors import SettingError, TaskError
from soundness.files import parse_json, read_text
from soundness.options import AtLeastOne, build, options
from soundness.records import LETTERS, Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds import lookup
from soundness.training.methods import load_method
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "Triple", "arrange", "graph_of", "make_stages", "read_triples"]

ABOUT = About(
    name="curriculum",
    title="questions of 1, 2, 3 hops from a knowledge graph, easy ones first",
    papers=("2507.13966",),
    needs="a triples file (head, relation, tail), or a task of a lookup world; the task only names the world and how it is asked",
    cost="as sft, or as the method that learns from the questions",
    when="the domain's knowledge is a graph and answers need several of its facts",
    differs=(
        "paths are drawn and worded by program, not by a language model",
        "the paper's gains are not everywhere: MedQA fell from 85.62 to 82.72",
    ),
)


class World(NamedTuple):
    """A lookup world."""

    seed: int
    size: int = 6


class Triple(NamedTuple):
    """One edge."""

    head: str
    relation: str
    tail: str


@options
class Config:
    """What curriculum adds to the common settings."""

    graph: str = ""
    """Triples: JSON Lines (head, relation, tail; optional type of the tail) or tab-separated; empty for the lookup world."""
    hops: tuple[AtLeastOne, ...] = (1, 2, 3)
    """Stages, in order."""
    per_stage: AtLeastOne = 100
    """Questions of each stage."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of a stage that is taken from earlier stages."""
    order: Literal["in_order", "mixed"] = "in_order"
    """mixed: the same questions in random order, the control."""
    choices: Annotated[int, Field(ge=0)] = 0
    """Answer options per question, 0 for open answers."""
    permuted: bool = False
    """Control: rationales with their triples in another order."""
    learner: str = "sft"
    """Method that learns from the questions: sft on their rationales, or any other."""
    learning: Mapping[str, Any] = field(default_factory=dict)
    """Options of that method."""

    def __post_init__(self) -> None:
        if self.learner == "curriculum":
            raise SettingError("a curriculum is learned by another method: learner=sft, rlvr or any other of them")
        if not self.hops:
            raise SettingError("hops must name at least one stage, such as [1, 2, 3]")
        self.learner_config()  # what is wrong with it is said before anything is loaded

    def learner_config(self) -> Any:
        """Return the configuration of the method that learns from the questions."""
        return build(load_method(self.learner).Config, self.learning, where=f"curriculum: options of {self.learner}")


def learn(run: Session, config: Config) -> None:
    """Tune the session's model on the stages, one after the other."""
    asked, seed = run.task, run.settings.seed
    stages = make_stages(config, seed=seed, world=_world_of(asked))
    own = replace(asked, name="curriculum", problems=arrange(stages, config, seed=seed))
    learning = config.learner_config()
    run.note(learner_config=asdict(learning), stages={str(hops): len(stage) for hops, stage in stages.items()})
    load_method(config.learner).learn(replace(run, request=replace(run.request, task=own, in_order=True)), learning)


def _world_of(task: Task) -> World | None:
    """Return the lookup world that the task asks about, or None where it asks about none."""
    meta = task.problems[0].meta
    return World(meta["world_seed"], meta["size"]) if {"world_seed", "size"} <= meta.keys() else None


def make_stages(
    config: Config, *, seed: int, split: str = "train", world: World | None = None
) -> dict[int, tuple[Problem, ...]]:
    """Return the questions of each stage by hops. `split` is train or test: no path is in both.

    Without a graph they are about `world`, or the lookup world of this seed. Raises TaskError where the graph holds too few paths.
    """
    known = None if config.graph else world or World(seed)
    triples = read_triples(Path(config.graph)) if known is None else graph_of(lookup.know(known.seed, known.size))
    stages = {hops: _stage(triples, hops, config, seed, split) for hops in config.hops}
    if known is None:
        return stages
    # By these a question is known to be one of that world: its mistakes can be worked out.
    where = {"world_seed": known.seed, "size": known.size}
    return {hops: tuple(replace(one, meta={**one.meta, **where}) for one in stage) for hops, stage in stages.items()}


def arrange(stages: Mapping[int, Sequence[Problem]], config: Config, *, seed: int) -> tuple[Problem, ...]:
    """Return all questions in the order of training; a replayed question gets an id of its own."""
    rng = random.Random(f"curriculum/{seed}/order")
    arranged: list[Problem] = []
    earlier: list[Problem] = []
    for stage in stages.values():
        count = round(config.replay * len(stage)) if earlier else 0
        replayed = [
            replace(one, id=f"{one.id}/again-{len(arranged)}-{i}")
            for i, one in enumerate(rng.choices(earlier, k=count) if count else [])
        ]
        mixed = [*list(stage)[: len(stage) - count], *replayed]
        rng.shuffle(mixed)
        arranged += mixed
        earlier += list(stage)
    if config.order == "mixed":
        rng.shuffle(arranged)
    return tuple(arranged)


def graph_of(kb: lookup.Knowledge) -> tuple[Triple, ...]:
    """Return the plain facts of a lookup world as triples."""
    return tuple(Triple(head, relation, tail) for (head, relation), tail in kb.facts.items() if relation in lookup.RELATIONS)


def read_triples(path: Path) -> tuple[Triple, ...]:
    """Return the triples of a file. Raises TaskError naming the line that cannot be used."""
    if not path.is_file():
        raise TaskError(f"there is no graph {path}: give a file of triples, head, relation and tail in each line")
    found: list[Triple] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        if line.lstrip().startswith("{"):
            try:
                row = parse_json(line)
                parts = [row["head"], row["relation"], row["tail"]]
            except (ValueError, KeyError, TypeError) as error:
                raise TaskError(f"{path} line {number}: head, relation and tail were wanted ({error})") from error
        else:
            parts = line.split("\t")
        if len(parts) != 3 or not all(isinstance(part, str) and part.strip() for part in parts):
            raise TaskError(
                f"{path} line {number}: three texts were wanted (head, relation, tail; tabs between them, or a line of JSON), "
                f"found {parts!r}"
            )
        found.append(Triple(*(part.strip() for part in parts)))
    if not found:
        raise TaskError(f"{path} holds no triples")
    return tuple(dict.fromkeys(found))


def _stage(triples: Sequence[Triple], hops: int, config: Config, seed: int, split: str) -> tuple[Problem, ...]:
    tails: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in triples:
        tails[one.head, one.relation].append(one.tail)
    single = {key: values[0] for key, values in tails.items() if len(values) == 1}
    paths = [path for path in _paths(single, hops) if lookup.split_of(_question(path)) == split]
    if not paths:
        raise TaskError(
            f"the graph has no usable path of {hops} hops for the {split} split: it visits no entity twice and its relations have "
            f"one tail ({len(triples)} triples, {len(single)} of them with one tail)"
        )
    rng = random.Random(f"curriculum/{seed}/{hops}/{split}")
    rng.shuffle(paths)
    by_relation: dict[str, list[str]] = defaultdict(list)
    for one in triples:
        by_relation[one.relation].append(one.tail)
    return tuple(_problem(path, i, by_relation, config, rng) for i, path in enumerate(paths[: config.per_stage]))


def _paths(single: Mapping[tuple[str, str], str], hops: int) -> list[tuple[Triple, ...]]:
    """Return every path of `hops` edges along which no entity comes twice, so that cycles are never walked round."""
    edges: dict[str, list[Triple]] = defaultdict(list)
    for (head, relation), tail in single.items():
        edges[head].append(Triple(head, relation, tail))
    found: list[tuple[Triple, ...]] = [(one,) for several in edges.values() for one in several if one.tail != one.head]
    for _ in range(hops - 1):
        found = [
            (*path, one)
            for path in found
            for one in edges.get(path[-1].tail, [])
            if one.tail not in {path[0].head, *(step.tail for step in path)}
        ]
    return found


def _question(path: Sequence[Triple]) -> str:
    return "What is " + "".join(f"the {one.relation} of " for one in reversed(path)) + f"{path[0].head}?"


def _problem(
    path: Sequence[Triple], index: int, by_relation: Mapping[str, Sequence[str]], config: Config, rng: random.Random
) -> Problem:
    answer = path[-1].tail
    steps = [f"The {one.relation} of {one.head} is {one.tail}." for one in path]
    if config.permuted and len(steps) > 1:
        order = list(range(len(steps)))
        while order == sorted(order):
            rng.shuffle(order)
        steps = [steps[i] for i in order]
    options: tuple[str, ...] | None = None
    letter = answer
    if config.choices:
        # Tails of the same relation are of the answer's type; those on the path itself are reached by a part of it.
        others = sorted(
            {tail for tail in by_relation[path[-1].relation] if tail != answer and tail not in {one.tail for one in path}}
        )
        if len(others) < config.choices - 1:
            raise TaskError(
                f"{config.choices} options were wanted, and the relation {path[-1].relation!r} has only {len(others)} other tails"
            )
        drawn = [answer, *rng.sample(others, config.choices - 1)]
        rng.shuffle(drawn)
        options, letter = tuple(drawn), LETTERS[drawn.index(answer)]
    return Problem(
        id=f"{len(path)}-hop/{index}",
        question=_question(path),
        answer=letter,
        choices=options,
        steps=tuple(steps),
        facts=tuple(steps),
        meta={"hops": len(path)},
    )
