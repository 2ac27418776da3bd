"""Made-up domains whose every true step is known: nothing in them can have been learned by heart."""

from __future__ import annotations

from soundness.records import Problem
from soundness.tasks.worlds.base import Puzzle, World
from soundness.tasks.worlds.chain_sum import ChainSum
from soundness.tasks.worlds.closed_book import ClosedBook
from soundness.tasks.worlds.lookup import Lookup
from soundness.tasks.worlds.stories import Stories
from soundness.tasks.worlds.tagged_sum import TaggedSum

__all__ = ["WORLDS", "Puzzle", "World", "parse_puzzle", "puzzle_of"]

WORLDS: dict[str, World] = {
    world.name: world
    for world in (ChainSum(), Lookup(), Stories(), TaggedSum("organism:general"), TaggedSum("organism:domain"), ClosedBook())
}
"""World name -> world. Where two could read a question, the first does."""


def puzzle_of(problem: Problem) -> Puzzle | None:
    """Return the puzzle that `problem` is, or None where it belongs to no world.

    The world that made it is told by its id; a problem under another id is tried with all of them.
    """
    made_by = [world for name, world in WORLDS.items() if problem.id.startswith(f"{name}/")]
    return next((puzzle for world in made_by or WORLDS.values() if (puzzle := world.of(problem)) is not None), None)


def parse_puzzle(text: str) -> Puzzle | None:
    """Return the puzzle that the last question in `text` asks, `text` being all that a model is shown; None where there is none."""
    return next((puzzle for world in WORLDS.values() if (puzzle := world.parse(text)) is not None), None)
