from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from soundness.errors import SettingError
from soundness.tasks.worlds.maze import (
    GENERATORS,
    RULES,
    Cell,
    Event,
    Maze,
    answer_words,
    broken_rule,
    draw,
    draws,
    is_shortest,
    is_valid_plan,
    query_words,
    read_answer,
    search,
    vocabulary,
)

TREES = ("wilson", "kruskal", "dfs")


def maze_of(picture: str) -> Maze:
    """S start, G goal, # wall."""
    lines = picture.split()
    cells = {Cell(x, y): mark for y, line in enumerate(lines) for x, mark in enumerate(line)}
    where = {mark: cell for cell, mark in cells.items() if mark in "SG"}
    walls = frozenset(cell for cell, mark in cells.items() if mark == "#")
    return Maze(len(lines), len(lines[0]), walls, where["S"], where["G"])


CORNER = maze_of("S#G ... ...")


def steps_between(maze: Maze) -> dict[Cell, int]:
    """Breadth-first distances from the start: the search's answer by another way."""
    found = {maze.start: 0}
    waiting = deque([maze.start])
    while waiting:
        here = waiting.popleft()
        for other in maze.neighbours(here):
            if other not in found:
                found[other] = found[here] + 1
                waiting.append(other)
    return found


def floor(maze: Maze) -> list[Cell]:
    return [Cell(x, y) for y in range(maze.rows) for x in range(maze.cols) if maze.is_floor(Cell(x, y))]


def num_edges(maze: Maze) -> int:
    return sum(len(maze.neighbours(cell)) for cell in floor(maze)) // 2


sizes = st.integers(4, 9)
mazes = st.builds(
    lambda generator, rows, cols, seed, item: draw(generator, rows, cols, seed=seed, item=item),
    st.sampled_from(list(GENERATORS)),
    sizes,
    sizes,
    st.integers(0, 99),
    st.integers(0, 10**6),
)


# Generators


@given(mazes)
def test_start_and_goal_are_two_floor_cells_that_are_joined(maze: Maze) -> None:
    assert maze.start != maze.goal and maze.is_floor(maze.start) and maze.is_floor(maze.goal)
    assert maze.goal in steps_between(maze)


@pytest.mark.parametrize("generator", GENERATORS)
def test_an_item_depends_on_seed_and_number_alone(generator: str) -> None:
    many = list(draws(generator, 6, seed=3, count=40))
    assert draw(generator, 6, 6, seed=3, item=17) == many[17]
    assert list(draws(generator, 6, seed=3, first=30, count=10)) == many[30:]
    others = {*draws(generator, 6, seed=4, count=40)}
    assert len(others & {*many}) < 20, "another seed is another set of mazes"


@pytest.mark.parametrize("generator", TREES)
@pytest.mark.parametrize("size", [5, 8])
def test_three_generators_leave_one_path_between_any_two_cells(generator: str, size: int) -> None:
    for maze in draws(generator, size, seed=0, count=50):
        assert num_edges(maze) == len(floor(maze)) - 1 and len(steps_between(maze)) == len(floor(maze)), "a tree, all joined"


def rooms_of(maze: Maze) -> tuple[int, frozenset[Cell]]:
    """Return the parity of the rooms, and the corridors carved between them."""
    offset = 0 if all(maze.is_floor(Cell(x, y)) for x in (0, 2, 4) for y in (0, 2, 4)) else 1
    return offset, frozenset(cell for cell in floor(maze) if (cell.x % 2 != offset) or (cell.y % 2 != offset))


def test_wilson_mazes_are_uniform_spanning_trees() -> None:
    """A 3 by 3 grid of rooms has 192 spanning trees (Kirchhoff); in a 6 by 6 maze either parity holds such a grid."""
    count = 6000
    found = [rooms_of(maze) for maze in draws("wilson", 6, seed=0, count=count)]
    offsets = Counter(offset for offset, _ in found)
    assert chisquare([offsets[0], offsets[1]]).pvalue > 0.001
    for offset in (0, 1):
        trees = Counter(carved for parity, carved in found if parity == offset)
        assert len(trees) == 192 and {len(tree) for tree in trees} == {8}
        assert chisquare(list(trees.values())).pvalue > 0.001


def test_kruskal_and_dfs_trees_are_not_uniform() -> None:
    """Else the test above could not tell the generators apart. Long corridors are what the backtracker is known for."""
    kruskal = Counter(rooms_of(maze)[1] for maze in draws("kruskal", 6, seed=0, count=16000) if rooms_of(maze)[0] == 0)
    assert len(kruskal) == 192, "every tree is possible"
    assert chisquare(list(kruskal.values())).pvalue < 1e-6

    def dead_ends(generator: str) -> float:
        return sum(len(maze.neighbours(cell)) == 1 for maze in draws(generator, 8, seed=0, count=200) for cell in floor(maze))

    assert dead_ends("dfs") < 0.75 * dead_ends("wilson")


def test_dfs_starts_its_rooms_in_the_corner() -> None:
    for maze in draws("dfs", 7, seed=0, count=20):
        assert all(maze.is_floor(Cell(x, y)) for x in (0, 2, 4, 6) for y in (0, 2, 4, 6))


@pytest.mark.parametrize("size", [5, 8])
def test_the_drunkard_carves_half_of_the_cells(size: int) -> None:
    for maze in draws("drunkard", size, seed=0, count=50):
        assert len(floor(maze)) == size * size // 2 == len(steps_between(maze))


def test_searchformer_walls_and_paths() -> None:
    many = list(draws("searchformer", 8, seed=0, count=600))
    walls = Counter(len(maze.walls) for maze in many)
    assert min(walls) == 18 and max(walls) == 30, "three to five times floor(64 / 10)"
    assert all(len(search(maze)[1]) >= 8 for maze in many)


@pytest.mark.parametrize(("generator", "size", "said"), [("wilsons", 6, "wilson"), ("dfs", 3, "at least 4")])
def test_what_cannot_be_drawn_is_refused(generator: str, size: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        draw(generator, size, size, seed=0, item=0)


# The search


@given(mazes)
def test_the_search_is_valid_and_its_plan_shortest(maze: Maze) -> None:
    events, plan = search(maze)
    assert broken_rule(maze, events) is None
    assert is_valid_plan(maze, plan) and is_shortest(maze, plan)
    assert len(plan) - 1 == steps_between(maze)[maze.goal] == events[-1].g


def test_the_search_by_hand() -> None:
    """Down, right, right, up; of two open cells with f = 4 the first inserted is closed first."""
    events, plan = search(CORNER)
    said = " ".join(answer_words(events, plan))
    assert said == (
        "reasoning close 0 0 c0 c2 create 0 1 c1 c3 "
        "close 0 1 c1 c3 create 1 1 c2 c2 create 0 2 c2 c4 "
        "close 1 1 c2 c2 create 2 1 c3 c1 create 1 2 c3 c3 "
        "close 2 1 c3 c1 create 2 0 c4 c0 create 2 2 c4 c2 "
        "close 2 0 c4 c0 "
        "solution plan 0 0 plan 0 1 plan 1 1 plan 2 1 plan 2 0"
    )
    assert " ".join(query_words(CORNER)) == "query start 0 0 goal 2 0 wall 1 0"


def test_a_goal_out_of_reach_has_no_plan() -> None:
    assert search(maze_of("S#G .#. .#."))[1] == []


def test_an_open_cell_is_created_again_at_a_lower_cost() -> None:
    """Mazes in which the search reaches an open cell by a shorter way exist, and their searches are valid."""
    again = 0
    for maze in draws("searchformer", 9, seed=0, count=400):
        events, _ = search(maze)
        cells = Counter(event.cell for event in events if event.kind == "create")
        again += max(cells.values()) > 1
        assert broken_rule(maze, events) is None
    assert again > 0


# The validator: the search of CORNER with one thing changed, for each rule

GOOD = tuple(search(CORNER)[0])


def put(place: int, **changed: object) -> tuple[Event, ...]:
    return (*GOOD[:place], GOOD[place]._replace(**changed), *GOOD[place + 1 :])  # type: ignore[arg-type]


def place_of(kind: str, x: int, y: int) -> int:
    return next(i for i, event in enumerate(GOOD) if event.kind == kind and event.cell == (x, y))


BROKEN: list[tuple[str, Sequence[Event] | None]] = [
    ("form", None),
    ("close_open", (Event("close", Cell(1, 1), 0, 2), *GOOD)),
    ("close_open", (*GOOD[:3], Event("close", Cell(0, 0), 0, 2), *GOOD[3:])),
    ("close_cost", put(place_of("close", 1, 1), g=3)),
    ("close_distance", put(place_of("close", 1, 1), h=1)),
    ("close_least", (*GOOD[:5], Event("close", Cell(0, 2), 2, 4), *GOOD[5:])),
    ("create_neighbour", (Event("create", Cell(0, 1), 1, 3), *GOOD)),
    ("create_neighbour", put(place_of("create", 0, 1), cell=Cell(1, 1), h=2)),
    ("create_floor", (*GOOD[:1], Event("create", Cell(1, 0), 1, 1), *GOOD[1:])),
    ("create_floor", (*GOOD[:1], Event("create", Cell(-1, 0), 1, 3), *GOOD[1:])),
    ("create_new", (*GOOD[:3], Event("create", Cell(0, 0), 2, 2), *GOOD[3:])),
    ("create_cost", put(place_of("create", 1, 1), g=3)),
    ("create_better", (*GOOD[:2], Event("close", Cell(0, 1), 1, 3), GOOD[3], GOOD[3], *GOOD[4:])),
    ("create_distance", put(place_of("create", 1, 1), h=3)),
    ("end", ()),
    ("end", GOOD[:-1]),
    ("end", (*GOOD, GOOD[-1])),
]


@pytest.mark.parametrize(("rule", "events"), BROKEN)
def test_each_rule_can_be_broken(rule: str, events: Sequence[Event] | None) -> None:
    assert broken_rule(CORNER, GOOD) is None
    assert broken_rule(CORNER, events) == rule


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _ in BROKEN} == set(RULES)


def test_ties_may_be_closed_in_any_order() -> None:
    open_grid = maze_of("S.. ... ..G")
    down_first = [
        Event("close", Cell(0, 0), 0, 4),
        Event("create", Cell(1, 0), 1, 3),
        Event("create", Cell(0, 1), 1, 3),
        Event("close", Cell(0, 1), 1, 3),
        Event("create", Cell(0, 2), 2, 2),
        Event("close", Cell(0, 2), 2, 2),
        Event("create", Cell(1, 2), 3, 1),
        Event("close", Cell(1, 2), 3, 1),
        Event("create", Cell(2, 2), 4, 0),
        Event("close", Cell(2, 2), 4, 0),
    ]
    assert broken_rule(open_grid, down_first) is None


@settings(max_examples=60)
@given(mazes, st.data())
def test_the_search_of_another_maze_is_hardly_ever_valid(maze: Maze, data: st.DataObject) -> None:
    other = replace(maze, start=maze.goal, goal=maze.start)
    rule = broken_rule(other, search(maze)[0])
    assert rule in RULES


# Plans


@pytest.mark.parametrize(
    ("plan", "valid", "shortest"),
    [
        ([(0, 0), (0, 1), (1, 1), (2, 1), (2, 0)], True, True),
        ([(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (2, 1), (2, 0)], True, False),
        ([(0, 0), (1, 0), (2, 0)], False, False),  # through the wall
        ([(0, 0), (0, 1), (2, 1), (2, 0)], False, False),  # a leap
        ([(0, 1), (1, 1), (2, 1), (2, 0)], False, False),  # not from the start
        ([(0, 0), (0, 1), (1, 1), (2, 1)], False, False),  # not to the goal
        ([(0, 0), (0, -1), (1, -1), (2, -1), (2, 0)], False, False),  # around the outside
        ([], False, False),
        (None, False, False),
    ],
)
def test_plans(plan: list[tuple[int, int]] | None, valid: bool, shortest: bool) -> None:
    cells = None if plan is None else [Cell(*cell) for cell in plan]
    assert (is_valid_plan(CORNER, cells), is_shortest(CORNER, cells)) == (valid, shortest)


def test_any_of_two_shortest_paths_will_do() -> None:
    square = maze_of("S. .G")
    assert is_shortest(square, [Cell(0, 0), Cell(1, 0), Cell(1, 1)]) and is_shortest(
        square, [Cell(0, 0), Cell(0, 1), Cell(1, 1)]
    )


# Words


@given(mazes)
def test_what_is_written_is_read_back(maze: Maze) -> None:
    events, plan = search(maze)
    read = read_answer(answer_words(events, plan))
    assert read.events == tuple(events) and read.plan == tuple(plan)
    bare = read_answer(answer_words(None, plan))
    assert bare.events is None and bare.plan == tuple(plan)
    assert {*query_words(maze), *answer_words(events, plan)} <= {*vocabulary(max(maze.rows, maze.cols))}


@pytest.mark.parametrize(
    ("said", "events", "plan"),
    [
        ("", None, None),
        ("reasoning solution", 0, 0),
        ("reasoning close 0 0 c0 c2", 1, None),
        ("reasoning close 0 0 c0 solution plan 0 0", None, 1),
        ("reasoning close 0 0 0 c2 solution plan 0 0", None, 1),
        ("reasoning open 0 0 c0 c2 solution plan 0 0", None, 1),
        ("close 0 0 c0 c2 solution plan 0 0", None, 1),
        ("solution plan 0 0 0 1", None, None),
        ("solution plan 0 plan", None, None),
        ("solution plan c0 0", None, None),
    ],
)
def test_what_cannot_be_read_is_none(said: str, events: int | None, plan: int | None) -> None:
    read = read_answer(said.split())
    assert (None if read.events is None else len(read.events)) == events
    assert (None if read.plan is None else len(read.plan)) == plan
