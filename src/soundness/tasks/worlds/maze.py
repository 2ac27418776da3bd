"""Mazes on a grid, the A* search that solves them written out event by event, and what checks such a search and a plan.

    query start 0 0 goal 2 0 wall 1 0
    reasoning close 0 0 c0 c2 create 0 1 c1 c3 close 0 1 c1 c3 create 1 1 c2 c2 ...
    solution plan 0 0 plan 0 1 plan 1 1 plan 2 1 plan 2 0

The format and the five generators are those of 2505.13775 (its code; Searchformer-style of 2402.14083): a cell is `x y`, x to the
right and y down; walls are listed row by row; the search expands neighbours up, right, down, left at unit cost under the Manhattan
distance, and takes the first inserted among the open cells of least f = g + h. Different here: a Searchformer-style maze whose
hundred draws all give short paths is drawn anew (the code then takes any path), and start and goal always differ.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from soundness.errors import SettingError, near

__all__ = [
    "GENERATORS",
    "RULES",
    "Answer",
    "Cell",
    "Event",
    "Maze",
    "answer_words",
    "broken_rule",
    "draw",
    "draws",
    "is_shortest",
    "is_valid_plan",
    "query_words",
    "read_answer",
    "search",
    "vocabulary",
]


class Cell(NamedTuple):
    """A place on the grid."""

    x: int
    """Column, from 0."""
    y: int
    """Row, from 0."""


class Event(NamedTuple):
    """One line of a search."""

    kind: str
    """`close` where a cell is taken from the open ones, `create` where one is put among them."""
    cell: Cell
    g: int
    """Steps from the start."""
    h: int
    """Manhattan distance to the goal."""


@dataclass(frozen=True, slots=True)
class Maze:
    """A grid with walls, and where to go from and to."""

    rows: int
    cols: int
    walls: frozenset[Cell]
    start: Cell
    goal: Cell

    def is_floor(self, cell: Cell) -> bool:
        """Return whether one can stand on `cell`."""
        return 0 <= cell.x < self.cols and 0 <= cell.y < self.rows and cell not in self.walls

    def neighbours(self, cell: Cell) -> list[Cell]:
        """Return the floor cells beside `cell`: up, right, down, left."""
        return [other for other in _beside(self.rows, self.cols)[cell] if other not in self.walls]

    def distance(self, cell: Cell) -> int:
        """Return the Manhattan distance from `cell` to the goal, in steps."""
        return abs(cell.x - self.goal.x) + abs(cell.y - self.goal.y)


@lru_cache
def _cells(rows: int, cols: int) -> tuple[Cell, ...]:
    """Return all cells, row by row."""
    return tuple(Cell(x, y) for y in range(rows) for x in range(cols))


@lru_cache
def _beside(rows: int, cols: int, step: int = 1) -> dict[Cell, tuple[Cell, ...]]:
    """Return cell -> the cells of the grid `step` up, right, down and left of it."""
    known = {cell: cell for cell in _cells(rows, cols)}
    moves = ((0, -step), (step, 0), (0, step), (-step, 0))
    return {
        cell: tuple(known[cell.x + x, cell.y + y] for x, y in moves if (cell.x + x, cell.y + y) in known)  # type: ignore[index]
        for cell in known
    }


# --- generators -------------------------------------------------------------------------------------------------------


def _rooms(rows: int, cols: int, offset: int) -> list[Cell]:
    return [cell for cell in _cells(rows, cols) if cell.x % 2 == offset and cell.y % 2 == offset]


def _between(one: Cell, other: Cell) -> Cell:
    return Cell((one.x + other.x) // 2, (one.y + other.y) // 2)


def _wilson(rng: random.Random, rows: int, cols: int) -> set[Cell]:
    """Return the floor of a maze whose tree of rooms is uniform among all (Wilson 1996): loop-erased walks until all are joined."""
    rooms = _rooms(rows, cols, rng.randrange(2))
    beside = _beside(rows, cols, 2)
    rng.shuffle(rooms)
    floor = {rooms[0]}
    for room in rooms[1:]:
        # Only the last way out of each room is kept, which erases loops as they close.
        way: dict[Cell, Cell] = {}
        here = room
        while here not in floor:
            way[here] = rng.choice(beside[here])
            here = way[here]
        here = room
        while here not in floor:
            floor |= {here, _between(here, way[here])}
            here = way[here]
    return floor


def _kruskal(rng: random.Random, rows: int, cols: int) -> set[Cell]:
    """Return the floor of a maze by Kruskal's algorithm: corridors in random order, each carved where it joins two parts."""
    rooms = _rooms(rows, cols, rng.randrange(2))
    beside = _beside(rows, cols, 2)
    part = {room: room for room in rooms}

    def root(room: Cell) -> Cell:
        while part[room] != room:
            part[room] = part[part[room]]
            room = part[room]
        return room

    corridors = [(room, other) for room in rooms for other in beside[room] if room < other]
    rng.shuffle(corridors)
    floor = set(rooms)
    for room, other in corridors:
        if root(room) != root(other):
            part[root(room)] = root(other)
            floor.add(_between(room, other))
    return floor


def _dfs(rng: random.Random, rows: int, cols: int) -> set[Cell]:
    """Return the floor of a maze by the recursive backtracker, from the corner 0 0."""
    beside = _beside(rows, cols, 2)
    way = [Cell(0, 0)]
    floor = {way[0]}
    while way:
        fresh = [room for room in beside[way[-1]] if room not in floor]
        if not fresh:
            way.pop()
            continue
        room = rng.choice(fresh)
        floor |= {room, _between(way[-1], room)}
        way.append(room)
    return floor


def _drunkard(rng: random.Random, rows: int, cols: int) -> set[Cell]:
    """Return the floor that one random walk carves until it is half of the grid."""
    beside = _beside(rows, cols)
    here = rng.choice(_cells(rows, cols))
    floor = {here}
    while len(floor) < rows * cols // 2:
        here = rng.choice(beside[here])
        floor.add(here)
    return floor


def _scattered(rng: random.Random, rows: int, cols: int) -> set[Cell]:
    """Return the floor that random walls leave: three to five for every ten cells."""
    tens = rows * cols // 10
    cells = _cells(rows, cols)
    return set(cells) - set(rng.sample(cells, rng.randint(3 * tens, 5 * tens)))


GENERATORS: Mapping[str, Callable[[random.Random, int, int], set[Cell]]] = {
    "wilson": _wilson,
    "kruskal": _kruskal,
    "dfs": _dfs,
    "drunkard": _drunkard,
    "searchformer": _scattered,
}
"""Name -> random numbers, rows, columns -> floor."""

SMALLEST = 4
"""Fewest rows and columns: below, a generator may leave a single cell to stand on, or no wall."""

_ENDS = 100  # pairs of start and goal drawn on one Searchformer-style grid


def draw(generator: str, rows: int, cols: int, *, seed: int, item: int) -> Maze:
    """Return maze number `item` of a seed; it depends on nothing else."""
    if generator not in GENERATORS:
        raise SettingError(
            f"there is no maze generator {generator!r}{near(generator, GENERATORS)}; there are {', '.join(GENERATORS)}"
        )
    if min(rows, cols) < SMALLEST:
        raise SettingError(f"a maze needs at least {SMALLEST} rows and columns, and {rows} by {cols} were asked for")
    rng = random.Random(f"maze:{generator}-{rows}x{cols}/{seed}/{item}")
    while True:
        floor = GENERATORS[generator](rng, rows, cols)
        places = [cell for cell in _cells(rows, cols) if cell in floor]
        walls = frozenset(_cells(rows, cols)) - floor
        if generator != "searchformer":
            return Maze(rows, cols, walls, *rng.sample(places, 2))
        for _ in range(_ENDS):
            maze = Maze(rows, cols, walls, *rng.sample(places, 2))
            if len(search(maze)[1]) >= max(rows, cols):
                return maze


def draws(generator: str, size: int, *, seed: int, count: int, first: int = 0) -> Iterator[Maze]:
    """Give `count` square mazes of a seed, from item `first` on."""
    for item in range(first, first + count):
        yield draw(generator, size, size, seed=seed, item=item)


# --- the search -------------------------------------------------------------------------------------------------------


def search(maze: Maze) -> tuple[list[Event], list[Cell]]:
    """Return the events of A* and the plan, start and goal included; the plan is empty where the goal cannot be reached."""
    beside, walls, goal = _beside(maze.rows, maze.cols), maze.walls, maze.goal
    cost = {maze.start: 0}
    came: dict[Cell, Cell] = {}
    events: list[Event] = []
    closed: set[Cell] = set()
    waiting = [(maze.distance(maze.start), 0, maze.start)]
    inserted = 1
    while waiting:
        f, _, here = heapq.heappop(waiting)
        g = cost[here]
        if here in closed or f != g + maze.distance(here):  # an entry that a better one has replaced
            continue
        closed.add(here)
        events.append(Event("close", here, g, f - g))
        if here == goal:
            plan = [here]
            while plan[-1] != maze.start:
                plan.append(came[plan[-1]])
            return events, plan[::-1]
        for other in beside[here]:
            if other in walls or g + 1 >= cost.get(other, g + 2):
                continue
            cost[other], came[other] = g + 1, here
            h = maze.distance(other)
            heapq.heappush(waiting, (g + 1 + h, inserted, other))
            inserted += 1
            events.append(Event("create", other, g + 1, h))
    return events, []


# --- checks -----------------------------------------------------------------------------------------------------------

RULES = {
    "form": "every event is `close` or `create` with a cell, a cost from the start and a distance to the goal",
    "close_open": "a closed cell was open",
    "close_cost": "a closed cell has the cost it was created with",
    "close_distance": "a closed cell has its Manhattan distance to the goal",
    "close_least": "no open cell has a smaller sum of cost and distance than the closed one",
    "create_neighbour": "a created cell lies beside the one closed last",
    "create_floor": "a created cell is floor",
    "create_new": "a created cell is not closed",
    "create_cost": "a created cell costs one step more than the one closed last",
    "create_better": "a cell that is open is created again at a lower cost alone",
    "create_distance": "a created cell has its Manhattan distance to the goal",
    "end": "the goal is closed, and nothing comes after",
}
"""Rule of a search -> what it says; which of several equal cells is closed first, and whether all neighbours are created, is free."""


def broken_rule(maze: Maze, events: Sequence[Event] | None) -> str | None:
    """Return the first rule that a search breaks, a name in `RULES`, or None for a valid one; None for `events` breaks `form`."""
    if events is None:
        return "form"
    open_cells = {maze.start: 0}
    closed: set[Cell] = set()
    last: Event | None = None
    for event in events:
        if last is not None and last.cell == maze.goal:
            return "end"
        rule = (
            _close_rule(maze, event, open_cells)
            if event.kind == "close"
            else _create_rule(maze, event, open_cells, closed, last)
        )
        if rule is not None:
            return rule
        if event.kind == "close":
            del open_cells[event.cell]
            closed.add(event.cell)
            last = event
        else:
            open_cells[event.cell] = event.g
    return None if last is not None and last.cell == maze.goal else "end"


def _close_rule(maze: Maze, event: Event, open_cells: Mapping[Cell, int]) -> str | None:
    if event.cell not in open_cells:
        return "close_open"
    if event.g != open_cells[event.cell]:
        return "close_cost"
    if event.h != maze.distance(event.cell):
        return "close_distance"
    least = min(g + maze.distance(cell) for cell, g in open_cells.items())
    return None if event.g + event.h == least else "close_least"


def _create_rule(maze: Maze, event: Event, open_cells: Mapping[Cell, int], closed: set[Cell], last: Event | None) -> str | None:
    if last is None or abs(event.cell.x - last.cell.x) + abs(event.cell.y - last.cell.y) != 1:
        return "create_neighbour"
    if not maze.is_floor(event.cell):
        return "create_floor"
    if event.cell in closed:
        return "create_new"
    if event.g != last.g + 1:
        return "create_cost"
    if event.g >= open_cells.get(event.cell, event.g + 1):
        return "create_better"
    return None if event.h == maze.distance(event.cell) else "create_distance"


def is_valid_plan(maze: Maze, plan: Sequence[Cell] | None) -> bool:
    """Return whether a plan goes from start to goal over floor, one cell up, right, down or left at a time."""
    if not plan or plan[0] != maze.start or plan[-1] != maze.goal:
        return False
    steps = zip(plan, plan[1:], strict=False)
    return all(maze.is_floor(cell) for cell in plan) and all(abs(a.x - b.x) + abs(a.y - b.y) == 1 for a, b in steps)


def is_shortest(maze: Maze, plan: Sequence[Cell] | None) -> bool:
    """Return whether a plan is valid and no other is shorter; any of several shortest ones will do."""
    return plan is not None and is_valid_plan(maze, plan) and len(plan) == len(search(maze)[1])


# --- words ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written about a maze."""

    events: tuple[Event, ...] | None
    """The search; None where what stands in its place cannot be read as events, or nothing does."""
    plan: tuple[Cell, ...] | None
    """The plan; None where there is none or it cannot be read."""


def vocabulary(size: int) -> list[str]:
    """Return every word that a search on a grid of `size` by `size` cells needs; costs go up to the number of cells."""
    words = ["query", "start", "goal", "wall", "reasoning", "create", "close", "solution", "plan"]
    return [*words, *map(str, range(size)), *(f"c{cost}" for cost in range(size * size))]


def query_words(maze: Maze) -> list[str]:
    """Return the question: start, goal and walls, row by row."""
    walls = [word for cell in _cells(maze.rows, maze.cols) if cell in maze.walls for word in ("wall", str(cell.x), str(cell.y))]
    return ["query", "start", *map(str, maze.start), "goal", *map(str, maze.goal), *walls]


def answer_words(events: Sequence[Event] | None, plan: Sequence[Cell]) -> list[str]:
    """Return search and plan; None for `events` leaves the search out."""
    words: list[str] = []
    if events is not None:
        words.append("reasoning")
        for kind, cell, g, h in events:
            words += (kind, str(cell.x), str(cell.y), f"c{g}", f"c{h}")
    words.append("solution")
    for cell in plan:
        words += ("plan", str(cell.x), str(cell.y))
    return words


def read_answer(words: Sequence[str]) -> Answer:
    """Return what `words` say, the query left out: the search up to the first `solution`, the plan after it.

    >>> read_answer("solution plan 0 0 plan 0 1".split()).plan
    (Cell(x=0, y=0), Cell(x=0, y=1))
    """
    words = list(words)
    cut = words.index("solution") if "solution" in words else len(words)
    written = words[:cut]
    events = _read_events(written[1:]) if written[:1] == ["reasoning"] else None
    return Answer(events, _read_plan(words[cut + 1 :]) if cut < len(words) else None)


def _read_events(words: Sequence[str]) -> tuple[Event, ...] | None:
    found = []
    for place in range(0, len(words), 5):
        kind, *numbers = words[place : place + 5]
        if kind not in ("close", "create") or len(numbers) < 4 or not all(n.startswith("c") for n in numbers[2:]):
            return None
        numbers = [*numbers[:2], *(n[1:] for n in numbers[2:])]
        if not all(n.isdecimal() for n in numbers):
            return None
        x, y, g, h = map(int, numbers)
        found.append(Event(kind, Cell(x, y), g, h))
    return tuple(found)


def _read_plan(words: Sequence[str]) -> tuple[Cell, ...] | None:
    found = []
    for place in range(0, len(words), 3):
        step = words[place : place + 3]
        if len(step) < 3 or step[0] != "plan" or not (step[1].isdecimal() and step[2].isdecimal()):
            return None
        found.append(Cell(int(step[1]), int(step[2])))
    return tuple(found)
