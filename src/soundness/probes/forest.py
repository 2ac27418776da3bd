"""A forest of token tries over many probes, and the passes that read it.

Probes that ask about one chain share almost all of their tokens. Merged into tries, each distinct token-in-context stands once;
each token attends to its ancestors only and its position is its depth, so one packed pass reads what separate passes would read
many times over. Everything here is plain numpy: the plan can be tested, counted and printed without a model.

Legend. A *token* of the forest is one (context, id) pair. A *path* is a run of tokens each the parent of the next; each trie is
cut into paths by always following the deepest branch, so that the long trunk of a chain is one path and answers are short paths
that hang off it. *Layout* is the order of tokens in the packed sequence: every path is contiguous and stands after its parent.
`enter` numbers tokens in depth-first order, lighter branches first: the descendants of a token are exactly the numbers from its
own up to the `end` of its path, so ancestry is two comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundness.records import Probe

__all__ = ["Block", "Forest", "Pass", "Path", "build", "plan_passes"]

Ints = NDArray[np.int64]


class Path(NamedTuple):
    """A run of tokens, each the parent of the next, contiguous in the layout."""

    start: int
    """First layout position."""
    stop: int
    """One past the last layout position."""
    parent: int
    """Index of the path it hangs off, or -1 for a root."""
    attach: int
    """Layout position of the token it hangs off, or -1 for a root."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Which layout places predict which ids, probe after probe."""

    place: Ints  # (number of scored tokens,)
    target: Ints  # (number of scored tokens,)
    offsets: Ints  # (number of probes + 1,): probe i owns [offsets[i], offsets[i + 1])


@dataclass(frozen=True)
class Forest:
    """All tokens that the probes need, each once, with the places to score."""

    ids: Ints
    """Token ids in layout order, shape (num_tokens,)."""
    depth: Ints
    """Number of ancestors, which is the token's position, shape (num_tokens,)."""
    enter: Ints
    """Depth-first number, shape (num_tokens,)."""
    end: Ints
    """One past the last depth-first number below this token, shape (num_tokens,)."""
    paths: tuple[Path, ...]
    """Paths in layout order; a parent stands before its children."""
    scored: _Scored
    """Places and targets."""
    num_plain_tokens: int
    """Tokens that reading each distinct probe by itself would take."""

    @property
    def num_tokens(self) -> int:
        """Tokens to read."""
        return len(self.ids)

    @cached_property
    def scored_places(self) -> Ints:
        """Distinct layout places whose prediction is needed, ascending."""
        return np.unique(self.scored.place)

    def is_ancestor(self, ancestors: Ints, tokens: Ints) -> NDArray[np.bool_]:
        """Return whether each of `ancestors` (columns) is the token itself or above each of `tokens` (rows)."""
        below = self.enter[tokens][:, None]
        return (self.enter[ancestors][None, :] <= below) & (below < self.end[ancestors][None, :])


def build(probes: Sequence[Probe]) -> Forest:
    """Return the forest of `probes`; the i-th probe owns `scored.offsets[i]` to `[i + 1]`.

    Every prefix needs at least one token (`ValueError`): a model has to put its start token there, for nothing predicts the
    first token of a text.

    >>> forest = build([Probe((1, 2, 3), (7,)), Probe((1, 2, 3, 4, 5), (7, 8)), Probe((1, 2, 9), (7,))])
    >>> forest.num_tokens, forest.num_plain_tokens
    (7, 12)
    >>> forest.ids.tolist(), forest.depth.tolist()
    ([1, 2, 3, 4, 5, 7, 9], [0, 1, 2, 3, 4, 5, 2])
    """
    sequences: dict[bytes, int] = {}  # needed tokens as big-endian bytes -> a running number; byte order is token order
    rows: list[Ints] = []
    owner = np.empty(len(probes), dtype=np.int64)
    for index, probe in enumerate(probes):
        if not probe.prefix:
            raise ValueError(f"probe {index} ({probe.why or 'no name'}) has an empty prefix; put the model's start token there")
        # The last continuation token is predicted, never read.
        row = np.fromiter(probe.prefix + probe.continuation[:-1], dtype=">u4")
        number = sequences.setdefault(row.tobytes(), len(rows))
        if number == len(rows):
            rows.append(row.astype(np.int64))
        owner[index] = number

    order = [number for _, number in sorted(sequences.items())]
    node_row, node_start, node_stop, node_parent, leaf = _radix(rows, order)
    forest_paths, layout = _paths(node_start, node_stop, node_parent)

    num_tokens = int(sum(stop - start for start, stop in zip(node_start, node_stop, strict=True)))
    ids = np.empty(num_tokens, dtype=np.int64)
    depth = np.empty(num_tokens, dtype=np.int64)
    for node, position in enumerate(layout):
        start, stop = node_start[node], node_stop[node]
        ids[position : position + stop - start] = rows[node_row[node]][start:stop]
        depth[position : position + stop - start] = np.arange(start, stop)
    enter, end = _intervals(forest_paths, num_tokens)

    scored = _score(probes, owner, rows, leaf, node_start, node_parent, layout)
    return Forest(ids, depth, enter, end, forest_paths, scored, int(sum(len(row) for row in rows)))


def _radix(rows: list[Ints], order: list[int]) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Return the nodes of the radix tries over `rows` and, per row, the node in which it ends.

    Sorted rows share most with their neighbour, so the open branch is a stack: a row adds one node and splits at most one.
    Nodes are four parallel lists: a row that holds the text, start depth, stop depth, parent (-1 for roots).
    """
    node_row: list[int] = []
    start: list[int] = []
    stop: list[int] = []
    parent: list[int] = []
    leaf = [-1] * len(rows)
    stack: list[int] = []
    previous: Ints | None = None
    for number in order:
        row = rows[number]
        shared = 0
        if previous is not None:
            length = min(len(previous), len(row))
            different = np.flatnonzero(previous[:length] != row[:length])
            shared = int(different[0]) if len(different) else length
        while stack and start[stack[-1]] >= shared:
            stack.pop()
        if stack and stop[stack[-1]] > shared:
            lower = stack.pop()
            upper = len(node_row)
            node_row.append(node_row[lower])
            start.append(start[lower])
            stop.append(shared)
            parent.append(parent[lower])
            parent[lower] = upper
            start[lower] = shared
            stack.append(upper)
        # A row is longer than all it shares with its smaller neighbour: rows are distinct and sorted.
        node = len(node_row)
        node_row.append(number)
        start.append(shared)
        stop.append(len(row))
        parent.append(stack[-1] if stack else -1)
        stack.append(node)
        leaf[number] = node
        previous = row
    return node_row, start, stop, parent, leaf


def _paths(start: list[int], stop: list[int], parent: list[int]) -> tuple[tuple[Path, ...], list[int]]:
    """Return paths in layout order, and the layout position at which each node begins."""
    children: list[list[int]] = [[] for _ in start]
    roots: list[int] = []
    for node, above in enumerate(parent):
        (children[above] if above >= 0 else roots).append(node)
    # Deepest token below each node; a child starts deeper than its parent, so deeper starts are done first.
    reach = list(stop)
    for node in sorted(range(len(start)), key=start.__getitem__, reverse=True):
        above = parent[node]
        if above >= 0 and reach[node] > reach[above]:
            reach[above] = reach[node]

    paths: list[Path] = []
    layout = [-1] * len(start)
    position = 0
    todo = [(root, -1, -1) for root in reversed(roots)]
    while todo:
        node, above, attach = todo.pop()
        begin = position
        number = len(paths)
        branches: list[tuple[int, int, int]] = []
        following: int | None = node
        while following is not None:
            node = following
            layout[node] = position
            position += stop[node] - start[node]
            deepest = max(children[node], key=reach.__getitem__, default=None)
            branches += [(child, number, position - 1) for child in children[node] if child != deepest]
            following = deepest
        paths.append(Path(begin, position, above, attach))
        todo += reversed(branches)
    return tuple(paths), layout


def _intervals(paths: tuple[Path, ...], num_tokens: int) -> tuple[Ints, Ints]:
    """Return depth-first `enter` and `end` per token."""
    size = [path.stop - path.start for path in paths]
    branches: list[list[int]] = [[] for _ in paths]
    for number in range(len(paths) - 1, -1, -1):
        above = paths[number].parent
        if above >= 0:
            size[above] += size[number]
            branches[above].append(number)
    enter = np.empty(num_tokens, dtype=np.int64)
    end = np.empty(num_tokens, dtype=np.int64)
    first = [0] * len(paths)
    next_root = 0
    for number, path in enumerate(paths):
        if path.parent < 0:
            first[number] = next_root
            next_root += size[number]
        length = path.stop - path.start
        room = np.ones(length, dtype=np.int64)  # how many numbers each token takes together with the branches that hang off it
        for branch in branches[number]:
            room[paths[branch].attach - path.start] += size[branch]
        numbers = first[number] + np.cumsum(room) - room
        enter[path.start : path.stop] = numbers
        end[path.start : path.stop] = first[number] + size[number]
        free = numbers + 1
        for branch in branches[number]:
            offset = paths[branch].attach - path.start
            first[branch] = int(free[offset])
            free[offset] += size[branch]
    return enter, end


def _score(
    probes: Sequence[Probe],
    owner: Ints,
    rows: list[Ints],
    leaf: list[int],
    node_start: list[int],
    node_parent: list[int],
    layout: list[int],
) -> _Scored:
    """Return the layout place and target id of every continuation token."""
    offsets = np.zeros(len(probes) + 1, dtype=np.int64)
    np.cumsum([len(probe.continuation) for probe in probes], out=offsets[1:])
    place = np.empty(int(offsets[-1]), dtype=np.int64)
    target = np.empty(int(offsets[-1]), dtype=np.int64)
    for index, probe in enumerate(probes):
        write = int(offsets[index + 1])
        target[offsets[index] : write] = probe.continuation
        node = leaf[owner[index]]
        for depth in range(len(rows[owner[index]]) - 1, len(probe.prefix) - 2, -1):
            while node_start[node] > depth:
                node = node_parent[node]
            write -= 1
            place[write] = layout[node] + depth - node_start[node]
    return _Scored(place, target, offsets)


class Block(NamedTuple):
    """Queries that attend together: positions of one pass, keys given as ranges of what the pass can see."""

    start: int
    """First query, counted within the pass."""
    stop: int
    """One past the last query, counted within the pass."""
    keys: tuple[tuple[int, int], ...]
    """Half-open ranges of keys, counted in kept tokens followed by the pass's own; ascending, disjoint."""
    causal: bool
    """Whether the keys are exactly the queries and each query sees what stands at or before it: no mask is needed."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass: a stretch of the layout, and what it needs from the passes before."""

    start: int
    """First layout position."""
    stop: int
    """One past the last layout position."""
    kept: Ints
    """Layout positions of earlier tokens whose keys and values are still needed, ascending."""
    keep: Ints
    """Which of (kept + own) tokens the next pass needs: indices into that concatenation, ascending."""
    blocks: tuple[Block, ...]
    """Who attends to whom."""

    def seen(self) -> Ints:
        """Return the layout positions of (kept + own) tokens, shape (num_kept + num_own,)."""
        return np.concatenate([self.kept, np.arange(self.start, self.stop)])


# Attention runs block by block, each block over the keys up to its last ancestor. Measured on CPUs: blocks of 256 queries with a
# mask cost less than one causal call up to about a thousand tokens, because they leave out the keys behind them; a longer path
# with nothing above it is better left to the causal kernel, which does the same without a mask.
_BLOCK_TOKENS = 256
_CAUSAL_PATH = 1024
# Ranges of keys this close are read as one: a few masked keys cost less than copying all keys together.
_GAP = 64


def plan_passes(forest: Forest, *, max_tokens: int, max_scored: int) -> list[Pass]:
    """Return the passes that read `forest`, each of at most `max_tokens` tokens and `max_scored` scored places.

    No token is read twice: where a path or its branches continue in a later pass, the keys and values of the open ancestors are
    kept. Memory is therefore bounded by the two limits and the depth of the forest, whatever the number of probes.
    """
    if max_tokens < 1 or max_scored < 1:
        raise ValueError(f"passes need room for at least one token and one scored place, not {max_tokens} and {max_scored}")
    path_of = np.empty(forest.num_tokens, dtype=np.int64)
    for number, path in enumerate(forest.paths):
        path_of[path.start : path.stop] = number
    last_use = [path.stop for path in forest.paths]  # layout position after which no later token attends to this path
    for number in range(len(forest.paths) - 1, -1, -1):
        above = forest.paths[number].parent
        if above >= 0:
            last_use[above] = max(last_use[above], last_use[number])

    passes: list[Pass] = []
    start = 0
    kept: Ints = np.empty(0, dtype=np.int64)
    while start < forest.num_tokens:
        stop = _cut(forest, path_of, start, max_tokens, max_scored)
        seen = np.concatenate([kept, np.arange(start, stop)])
        blocks = _blocks(forest, path_of, kept, start, stop)
        needed = _open_tokens(forest, path_of, last_use, stop)
        keep = np.searchsorted(seen, needed)
        assert np.array_equal(seen[keep], needed), "an open ancestor was dropped"
        passes.append(Pass(start, stop, kept, keep, blocks))
        start, kept = stop, needed
    return passes


def _cut(forest: Forest, path_of: Ints, start: int, max_tokens: int, max_scored: int) -> int:
    """Return where the pass that begins at `start` ends."""
    stop = min(start + max_tokens, forest.num_tokens)
    places = forest.scored_places
    first = int(np.searchsorted(places, start))
    if first + max_scored < len(places):
        stop = min(stop, int(places[first + max_scored]))
    if stop < forest.num_tokens:
        boundary = forest.paths[int(path_of[stop])].start
        if boundary - start > (stop - start) // 2:
            return boundary  # a path cut in two needs a mask for its second half: avoid it where the pass stays half full
    return stop


def _open_tokens(forest: Forest, path_of: Ints, last_use: list[int], stop: int) -> Ints:
    """Return the layout positions before `stop` that tokens from `stop` on attend to."""
    if stop >= forest.num_tokens:
        return np.empty(0, dtype=np.int64)
    ranges = []
    number = int(path_of[stop])
    while number >= 0:
        path = forest.paths[number]
        if path.start < stop and last_use[number] > stop:
            ranges.append(np.arange(path.start, min(path.stop, stop)))
        number = path.parent
    # Layout order is depth-first over paths, so all that is still open lies on the ancestry of the next token.
    return np.concatenate(ranges[::-1]) if ranges else np.empty(0, dtype=np.int64)


def _blocks(forest: Forest, path_of: Ints, kept: Ints, start: int, stop: int) -> tuple[Block, ...]:
    """Return the attention blocks of the pass over layout positions [start, stop)."""
    blocks: list[Block] = []
    first = start
    while first < stop:
        number = int(path_of[first])
        path = forest.paths[number]
        last = min(path.stop, stop)
        if path.parent < 0 and path.start == first and last - first > _CAUSAL_PATH:
            blocks.append(Block(first - start, last - start, _seen_ranges([(first, last)], kept, start), causal=True))
            first = last
            continue
        position = min(last, first + _BLOCK_TOKENS)
        above, attach = path.parent, path.attach
        members = {number}
        while position < stop and position == forest.paths[number].stop:
            number += 1
            following = forest.paths[number]
            sibling = path.start == first and above >= 0 and following.parent == above
            length = min(following.stop, stop) - position
            if not (sibling or following.parent in members) or position + length - first > _BLOCK_TOKENS:
                break
            if sibling:
                attach = max(attach, following.attach)
            members.add(number)
            position += length
        ranges = []
        if above >= 0:
            ranges = [*_ancestry(forest, forest.paths[above]), (forest.paths[above].start, attach + 1)]
        ranges.append((path.start, position))  # the head of a path may lie in an earlier block or pass
        keys = _seen_ranges(ranges, kept, start)
        whole = keys == ((first - start + len(kept), position - start + len(kept)),)
        blocks.append(Block(first - start, position - start, keys, whole and len(members) == 1))
        first = position
    return tuple(blocks)


def _ancestry(forest: Forest, path: Path) -> list[tuple[int, int]]:
    """Return the layout ranges of all tokens above `path`, root first."""
    ranges: list[tuple[int, int]] = []
    while path.parent >= 0:
        attach, path = path.attach, forest.paths[path.parent]
        ranges.append((path.start, attach + 1))
    return ranges[::-1]


def _seen_ranges(ranges: list[tuple[int, int]], kept: Ints, start: int) -> tuple[tuple[int, int], ...]:
    """Return layout ranges as ranges of (kept + own) tokens, those with small gaps merged."""
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        for piece_low, piece_high in ((low, min(high, start)), (max(low, start), high)):
            if piece_low >= piece_high:
                continue
            if piece_low < start:
                begin = int(np.searchsorted(kept, piece_low))
                pair = (begin, begin + piece_high - piece_low)
                assert kept[pair[1] - 1] == piece_high - 1, "an ancestor was not kept"
            else:
                pair = (piece_low - start + len(kept), piece_high - start + len(kept))
            if found and pair[0] - found[-1][1] <= _GAP:
                found[-1] = (found[-1][0], pair[1])
            else:
                found.append(pair)
    return tuple(found)
