"""One lookup world asked without its passages: whoever answers must know it, or have been trained to.

    What is the tree of the river of Belu?

    The river of Belu is Sanomi.
    The tree of Sanomi is cedar.
    Answer: cedar

Questions take two or three hops over the plain facts of the world with seed 0; the seed of the task draws the questions
alone. One question in five is held out: asked with `held_out=1`, and never otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from soundness.errors import SettingError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds import lookup
from soundness.tasks.worlds.lookup import Lookup, LookupPuzzle, Query

__all__ = ["CUE", "KNOWLEDGE", "ClosedBook", "ask", "candidates_for", "generate", "queries"]

CUE = "Answer:"
"""Steps end in a newline of their own, so the cue brings none."""

WORLD = {"world_seed": 0, "size": 8}
KNOWLEDGE = lookup.know(WORLD["world_seed"], WORLD["size"])
"""What is true there."""

HOPS = (2, 3)


@lru_cache
def queries(hops: int) -> tuple[Query, ...]:
    """Return every question of `hops` hops over plain facts along which no value comes twice.

    >>> len(queries(1)), len(queries(2))
    (104, 238)
    """
    found = [Query(head, ()) for kind in lookup.ENTITIES for head in KNOWLEDGE.members[kind]]
    for _ in range(hops):
        found = [
            Query(one.start, (*one.hops, relation)) for one in found for relation in lookup.RELATIONS if _leads(one, relation)
        ]
    return tuple(found)


def _leads(query: Query, relation: str) -> bool:
    """Return whether the relation leads from where `query` ends to something new."""
    running = lookup.values(query, KNOWLEDGE.facts)
    tail = KNOWLEDGE.facts.get((running[-1], relation))
    return tail is not None and tail not in running


def candidates_for(relation: str) -> tuple[str, ...]:
    """Return everything that a relation may lead to."""
    return KNOWLEDGE.members[lookup.RELATIONS[relation][1]]


def ask(query: Query, context: Sequence[str] = ()) -> str:
    """Return the message that puts the question, behind the passages of `context`."""
    problem = Problem("asked", lookup.question(query), answer=None, context=tuple(context))
    return _task([problem]).message(problem)


def generate(n: int, seed: int = 0, held_out: int = 0) -> Task:
    """Return a task of `n` different questions, as many of two hops as of three, or all there are of two.

    What is drawn depends on the string "organism:lookup/{seed}" and on `n`. With `held_out` only the questions that are held out
    are asked, without it only the others. `Problem.facts` is what has to be known, `meta["candidates"]` what the answer may be.
    """
    split = "test" if held_out else "train"
    pools = [[one for one in queries(hops) if lookup.split_of(lookup.question(one)) == split] for hops in HOPS]
    if not 1 <= n <= sum(map(len, pools)):
        raise SettingError(f"organism:lookup has 1 to {sum(map(len, pools))} questions to ask here, and {n} were wanted")
    rng = random.Random(f"organism:lookup/{seed}")
    short = max(min(n // 2, len(pools[0])), n - len(pools[1]))
    drawn = [*rng.sample(pools[0], short), *rng.sample(pools[1], n - short)]
    rng.shuffle(drawn)
    return _task([_problem(f"organism:lookup/{seed}/{split}/{i}", query) for i, query in enumerate(drawn)])


def _problem(name: str, query: Query) -> Problem:
    steps = tuple(lookup.true_steps(query, KNOWLEDGE.facts))
    return Problem(
        id=name,
        question=lookup.question(query),
        answer=lookup.values(query, KNOWLEDGE.facts)[-1],
        rationale="\n".join(steps),
        steps=steps,
        facts=steps,
        meta={"hops": len(query.hops), "candidates": list(candidates_for(query.hops[-1])), **WORLD},
    )


def _task(problems: Sequence[Problem]) -> Task:
    # A word is one token and begins no other, so nothing has to close it.
    return Task("organism:lookup", tuple(problems), instruction="", cue=CUE, terminator="")


class ClosedBook(Lookup):
    """One lookup world asked without its passages."""

    name = "organism:lookup"

    def generate(self, n: int, seed: int = 0, held_out: int = 0) -> Task:  # type: ignore[override]
        """Return a task of `n` different questions; see the module."""
        return generate(n, seed, held_out)

    def parse(self, text: str) -> LookupPuzzle | None:
        """Return the last question in `text`, asked of what is true in the one world."""
        query = lookup.parse(text)
        found = None if query is None else lookup.puzzle(query, KNOWLEDGE.facts, {}, KNOWLEDGE)
        return found if found is not None and found.num_steps == len(found.asked.hops) else None
