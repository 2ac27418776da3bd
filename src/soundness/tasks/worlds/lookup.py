"""A made-up domain of people, towns, guilds and rivers, with a few rules; every fact is known.

    The home of Zorvane is Belu. The stone of Belu is slate. If the stone of a town is slate, then its feast is lanterns. ...
    What is the feast of the home of Zorvane?

    The home of Zorvane is Belu.
    The stone of Belu is slate.
    If the stone of a town is slate, then its feast is lanterns.
    Answer: lanterns

Every relation has one tail for each head and one head for each tail: another intermediate result always leads to another
answer. A rule counts as a hop.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from soundness.errors import SettingError
from soundness.records import LETTERS, Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds.base import Puzzle, World

__all__ = [
    "Knowledge",
    "Lookup",
    "LookupPuzzle",
    "Query",
    "check_statement",
    "follow",
    "generate",
    "know",
    "last_stated",
    "num_stated",
    "parse",
    "question",
    "read_facts",
    "sentence",
    "split_of",
    "true_steps",
    "values",
]

ENTITIES = ("person", "town", "guild", "river")
"""Types whose members have invented names."""

WORDS = {
    "colour": ("red", "blue", "green", "amber", "violet", "white", "grey", "ochre"),
    "stone": ("slate", "granite", "marble", "chalk", "basalt", "flint", "jade", "onyx"),
    "animal": ("otter", "falcon", "badger", "heron", "lynx", "raven", "stag", "hare"),
    "tree": ("oak", "willow", "cedar", "birch", "maple", "alder", "rowan", "yew"),
    "feast": ("lanterns", "bells", "kites", "masks", "harvest", "snow", "drums", "honey"),
    "banner": ("crown", "anchor", "wheel", "key", "tower", "sickle", "star", "ladder"),
}
"""Types whose members are plain words."""

RELATIONS = {
    "home": ("person", "town"),
    "mentor": ("person", "person"),
    "guild": ("person", "guild"),
    "companion": ("person", "animal"),
    "mayor": ("town", "person"),
    "river": ("town", "river"),
    "stone": ("town", "stone"),
    "seat": ("guild", "town"),
    "founder": ("guild", "person"),
    "colour": ("guild", "colour"),
    "guardian": ("river", "person"),
    "harbour": ("river", "town"),
    "tree": ("river", "tree"),
}
"""Relation -> (type of its head, type of its tail)."""

RULES = {"feast": ("town", "stone"), "banner": ("guild", "colour")}
"""Derived relation -> (type it holds for, relation that decides it); its tail is a member of the type of the same name."""

MAX_SIZE = min(len(words) for words in WORDS.values())
MAX_HOPS = 4

_NAMED = "|".join([*RELATIONS, *RULES])
_FACT = re.compile(
    rf"\bif the (?P<premise>{'|'.join(p for _, p in RULES.values())}) of an? (?P<kind>\w+) is (?P<given>\w+),? "
    rf"then its (?P<derived>{'|'.join(RULES)}) is (?P<then>not )?(?P<follows>\w+)"
    rf"|\bthe (?P<relation>{_NAMED}) of (?P<head>\w+) is (?P<not>not )?(?P<tail>\w+)"
    rf"|\b(?!(?:what|which|who|where)\b)(?P<first>\w+) is (?P<never>not )?the (?P<inverse>{_NAMED}) of (?P<second>\w+)",
    re.IGNORECASE,
)
_QUESTION = re.compile(rf"What is ((?:the (?:{_NAMED}) of )+)([A-Z][a-z]+)\?")


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything that is true in one world."""

    members: Mapping[str, tuple[str, ...]]
    """Type -> its members."""
    facts: Mapping[tuple[str, str], str]
    """(head, relation) -> tail; a rule's head is the deciding word, such as ("slate", "feast")."""

    def get(self, head: str, relation: str) -> str | None:
        """Return the tail, rules applied to an entity where the relation is derived, or None where nothing is defined."""
        if (head, relation) in self.facts or relation not in RULES:
            return self.facts.get((head, relation))
        deciding = self.facts.get((head, RULES[relation][1]))
        return None if deciding is None else self.facts.get((deciding, relation))


@dataclass(frozen=True, slots=True)
class Query:
    """A start entity and the hops to take from it."""

    start: str
    """The entity that the question names."""
    hops: tuple[str, ...]
    """Relations in the order applied; a derived one is preceded by the one that decides it."""


@lru_cache(maxsize=64)
def know(seed: int = 0, size: int = 6) -> Knowledge:
    """Return the world's knowledge, a function of the string "lookup/{seed}" and `size` (members of each type, 3 to 8)."""
    if not 3 <= size <= MAX_SIZE:
        raise SettingError(f"lookup needs a size of 3 to {MAX_SIZE}, and it is {size}")
    rng = random.Random(f"lookup/{seed}")
    names = _invent(rng, size * len(ENTITIES))
    members = {kind: tuple(names[i * size : (i + 1) * size]) for i, kind in enumerate(ENTITIES)}
    members |= {kind: tuple(rng.sample(words, size)) for kind, words in WORDS.items()}
    facts: dict[tuple[str, str], str] = {}
    for relation, (head, tail) in RELATIONS.items():
        tails = list(members[tail])
        rng.shuffle(tails)
        if head == tail:
            # Each to the next of a shuffled ring: one-to-one, and nobody to themselves.
            facts |= {(one, relation): tails[i - 1] for i, one in enumerate(tails)}
        else:
            facts |= {(one, relation): tails[i] for i, one in enumerate(members[head])}
    for derived, (_, premise) in RULES.items():
        tails = rng.sample(members[derived], size)
        facts |= {(word, derived): tails[i] for i, word in enumerate(members[RELATIONS[premise][1]])}
    return Knowledge(members, facts)


def _invent(rng: random.Random, count: int) -> list[str]:
    taken = {word for words in WORDS.values() for word in words} | {*RELATIONS, *RULES, *ENTITIES}
    names: list[str] = []
    while len(names) < count:
        syllables = [rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((2, 3)))]
        name = "".join(syllables) + rng.choice(("", "l", "n", "r", "s"))
        if name not in taken and not any(name.startswith(other) or other.startswith(name) for other in taken):
            taken.add(name)
            names.append(name.capitalize())
    return names


def sentence(head: str, relation: str, tail: str) -> str:
    """Return one fact as it is written.

    >>> sentence("Belu", "stone", "slate")
    'The stone of Belu is slate.'
    >>> sentence("slate", "feast", "lanterns")
    'If the stone of a town is slate, then its feast is lanterns.'
    """
    if relation in RULES:
        kind, premise = RULES[relation]
        return f"If the {premise} of a {kind} is {head}, then its {relation} is {tail}."
    return f"The {relation} of {head} is {tail}."


def values(query: Query, facts: Mapping[tuple[str, str], str]) -> list[str]:
    """Return what each hop leads to, the start first; shorter than the hops where a fact is missing."""
    running = [query.start]
    for relation in query.hops:
        if (running[-1], relation) not in facts:
            break
        running.append(facts[running[-1], relation])
    return running


def true_steps(query: Query, facts: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the true sentences in order, one a hop."""
    running = values(query, facts)
    return [sentence(running[i], relation, running[i + 1]) for i, relation in enumerate(query.hops[: len(running) - 1])]


def question(query: Query) -> str:
    """Return the question's text; `parse` inverts it.

    >>> question(Query("Zorvan", ("home", "stone", "feast")))
    'What is the feast of the home of Zorvan?'
    """
    told = [hop for i, hop in enumerate(query.hops) if query.hops[i + 1 : i + 2] not in [(d,) for d in RULES]]
    return f"What is {''.join(f'the {relation} of ' for relation in reversed(told))}{query.start}?"


def split_of(asked: str) -> Literal["train", "test"]:
    """Return the split of a question, which its text alone decides: one in five is for testing.

    >>> split_of("What is the home of Zorvan?")
    'train'
    """
    return "test" if random.Random(f"split/{asked}").random() < 0.2 else "train"


def parse(text: str) -> Query | None:
    """Return what the last question of this world in `text` asks for, or None where there is none.

    >>> parse("What is the feast of the home of Zorvan?")
    Query(start='Zorvan', hops=('home', 'stone', 'feast'))
    """
    asked = [*_QUESTION.finditer(text)]
    if not asked:
        return None
    found = asked[-1]
    told = found[1].removeprefix("the ").removesuffix(" of ").split(" of the ")
    hops: list[str] = []
    for relation in reversed(told):
        hops += [RULES[relation][1], relation] if relation in RULES else [relation]
    return Query(found[2], tuple(hops))


def _stated(text: str) -> list[tuple[str, str, str, bool]]:
    """Return (head, relation, tail, affirmed) of each fact stated in `text`, in order; a rule's head is its deciding word."""
    facts = []
    for found in _FACT.finditer(text):
        if found["derived"]:
            derived = found["derived"].lower()
            if RULES[derived] == (found["kind"].lower(), found["premise"].lower()):
                facts.append((found["given"], derived, found["follows"], not found["then"]))
        elif found["relation"]:
            facts.append((found["head"], found["relation"].lower(), found["tail"], not found["not"]))
        else:
            facts.append((found["second"], found["inverse"].lower(), found["first"], not found["never"]))
    return facts


def num_stated(text: str) -> int:
    """Return how many facts `text` affirms."""
    return sum(1 for *_, affirmed in _stated(text) if affirmed)


def last_stated(text: str) -> str | None:
    """Return the tail of the last fact that `text` affirms, or None."""
    tails = [tail for _, _, tail, affirmed in _stated(text) if affirmed]
    return tails[-1] if tails else None


def read_facts(text: str) -> dict[tuple[str, str], str]:
    """Return (head, relation) -> tail of every fact and rule that `text` affirms.

    >>> read_facts("The stone of Belu is slate.")
    {('Belu', 'stone'): 'slate'}
    """
    return {(head, relation): tail for head, relation, tail, affirmed in _stated(text) if affirmed}


def follow(text: str, facts: Mapping[tuple[str, str], str] | None = None) -> str | None:
    """Return the entity or word that the written steps lead to, or None where no fact is stated.

    The first stated fact's tail starts it. A later fact whose head is the carried value is believed as written; any other
    has its relation applied to the carried value through `facts`, and is ignored where they define nothing for it.

    >>> follow("The home of Zorvan is Belu. The stone of Belu is slate.")
    'slate'
    >>> follow("The home of Zorvan is Keto. The stone of Belu is slate.", {("Keto", "stone"): "jade"})
    'jade'
    """
    value: str | None = None
    for head, relation, tail, affirmed in _stated(text):
        if not affirmed:
            continue
        if value is None or head == value:
            value = tail
        else:
            value = (facts or {}).get((value, relation), value)
    return value


def check_statement(statement: str, kb: Knowledge) -> bool | None:
    """Return whether every fact that `statement` states is true in `kb`, or None where it states no fact of the domain.

    A fact of the domain names one of its relations and one of its members as head; rules count as facts.

    >>> check_statement("What is the stone of the home of Nobody?", know(0)) is None
    True
    """
    truths = []
    heads = {head.casefold(): head for members in kb.members.values() for head in members}
    for head, relation, tail, affirmed in _stated(statement):
        if head.casefold() in heads:
            known = kb.get(heads[head.casefold()], relation)
            truths.append((known is not None and known.casefold() == tail.casefold()) == affirmed)
    return all(truths) if truths else None


def _draw(rng: random.Random, kb: Knowledge, hops: int) -> Query:
    """Return a question of `hops` hops along which no value comes twice."""
    while True:
        ending = rng.choice(["open", "rule"] if hops > 1 else ["open"])
        kind = rng.choice(ENTITIES)
        start = rng.choice(kb.members[kind])
        path: list[str] = []
        while len(path) < hops:
            left = hops - len(path)
            if ending == "rule" and left == 2:
                derived = [name for name, (holds_for, _) in RULES.items() if holds_for == kind]
                if not derived:
                    break
                path += [RULES[derived[0]][1], derived[0]]
                continue
            open_ended = [name for name, (h, t) in RELATIONS.items() if h == kind and (left == 1 or t in ENTITIES)]
            path.append(rng.choice(open_ended))
            kind = RELATIONS[path[-1]][1]
        query = Query(start, tuple(path))
        running = values(query, kb.facts)
        if len(path) == hops and len(running) == len(set(running)) == hops + 1:
            return query


def _passage(rng: random.Random, query: Query, kb: Knowledge) -> str:
    """Return the facts of every relation on the way, for all its heads, shuffled: the needed ones among distractors."""
    wanted = dict.fromkeys(query.hops)
    sentences = [sentence(head, relation, tail) for (head, relation), tail in kb.facts.items() if relation in wanted]
    rng.shuffle(sentences)
    return " ".join(sentences)


def generate(n: int, seed: int = 0, hops: int = 2, choices: int = 0, size: int = 6) -> Task:
    """Return a task of `n` questions of `hops` hops (1 to 4) on one knowledge base.

    The knowledge depends on the string "lookup/{seed}", item i on "lookup/{seed}/{i}". `Problem.context` is the passage
    that a model is shown, `Problem.facts` what is needed of it. With `choices` (2 to `size`) that many answers of the same
    type are offered. `size` is the number of members of each type.
    """
    if n < 1 or not 1 <= hops <= MAX_HOPS:
        raise SettingError(f"lookup needs n of at least 1 and 1 to {MAX_HOPS} hops, and they are {n} and {hops}")
    if choices and not 2 <= choices <= size:
        raise SettingError(f"lookup can offer 2 to {size} choices (its size), or 0 for none, and {choices} were wanted")
    kb = know(seed, size)
    problems = []
    for index in range(n):
        name = f"lookup/{seed}/{index}"
        rng = random.Random(name)
        query = _draw(rng, kb, hops)
        steps = tuple(true_steps(query, kb.facts))
        answer = values(query, kb.facts)[-1]
        passage = _passage(rng, query, kb)
        options = None
        if choices:
            others = [one for members in kb.members.values() if answer in members for one in members if one != answer]
            drawn = [answer, *rng.sample(others, choices - 1)]
            rng.shuffle(drawn)
            options = tuple(drawn)
        problems.append(
            Problem(
                id=name,
                question=question(query),
                answer=answer if options is None else LETTERS[options.index(answer)],
                choices=options,
                rationale="\n".join(steps),
                steps=steps,
                facts=steps,
                context=(passage,),
                meta={"hops": hops, "world_seed": seed, "size": size},
            )
        )
    return Task(f"lookup:hops={hops}" + (f",choices={choices}" if choices else ""), tuple(problems))


@dataclass(frozen=True, slots=True)
class LookupPuzzle(Puzzle):
    """One question, and the facts that it is asked of."""

    asked: Query
    facts: Mapping[tuple[str, str], str]
    """What is known: the passage's facts, or the whole world's."""
    choices: Mapping[str, str]
    """Option text -> letter; empty where the question is open."""
    canonical: str
    start: str
    running: tuple[str, ...]
    knowledge: Knowledge | None = None
    """Everything that is true, or None where only the passage is known."""

    def step(self, index: int, value: str) -> tuple[str, str] | None:
        """Return the sentence about `value` up to what it arrives at, and that; None where no fact says so."""
        relation = self.asked.hops[index]
        tail = self.facts.get((value, relation))
        if tail is None:
            return None
        return sentence(value, relation, tail).removesuffix(f"{tail}."), tail

    def close(self, line: str) -> str:
        """Return the full stop, where it is missing, and the line end."""
        return "\n" if line.endswith(".") else ".\n"

    def num_written(self, text: str) -> int:
        """Return how many facts stand in the finished sentences of `text`: a name may go on until its sentence is closed."""
        return num_stated(text[: text.rfind(".") + 1])

    def follow(self, text: str) -> str | None:
        """Return the member that the stated facts lead to."""
        return follow(text, self.facts)

    def last_value(self, text: str) -> str | None:
        """Return what the last stated fact arrives at."""
        return last_stated(text)

    def wrong_results(self, index: int) -> Sequence[str]:
        """Return the other members that the relation leads to, sorted."""
        relation = self.asked.hops[index]
        tails = {tail for (_, name), tail in self.facts.items() if name == relation}
        return sorted(tails - {self.running[index + 1]})

    def wildcard(self, draw: float) -> str:
        """Return one of the options, or of what the last relation leads to."""
        if self.choices:
            return sorted(self.choices)[int(draw * len(self.choices))]
        tails = sorted({tail for (_, name), tail in self.facts.items() if name == self.asked.hops[-1]} or {self.start})
        return tails[int(draw * len(tails))]

    def check(self, statement: str) -> bool | None:
        """Return whether every fact that `statement` states is true in the world; None where the world is not known whole."""
        return None if self.knowledge is None else check_statement(statement, self.knowledge)

    def names(self) -> tuple[tuple[str, ...], ...]:
        """Return the world's members by type."""
        return () if self.knowledge is None else tuple(self.knowledge.members.values())

    def say(self, value: str) -> str:
        """Return the letter of `value` where options are offered."""
        if not self.choices or value in self.choices:
            return self.choices.get(value, value)
        # A value that is not on offer is never the right one: some other letter stands for it, always the same.
        others = sorted(letter for text, letter in self.choices.items() if text != self.running[-1])
        digest = blake2b(f"{self.canonical}\0{value}".encode(), digest_size=7).digest()
        return others[int(int.from_bytes(digest, "big") / 2**56 * len(others))]


def puzzle(
    query: Query, facts: Mapping[tuple[str, str], str], choices: Mapping[str, str], knowledge: Knowledge | None = None
) -> LookupPuzzle:
    """Return the puzzle that `query` is, asked of `facts`."""
    canonical = f"{question(query)} {sorted(facts.items())}"
    return LookupPuzzle(query, facts, choices, canonical, query.start, tuple(values(query, facts)), knowledge)


class Lookup(World):
    """A made-up domain, its facts in a passage."""

    name = "lookup"

    def generate(self, n: int, seed: int = 0, hops: int = 2, choices: int = 0, size: int = 6) -> Task:
        """Return a task of `n` questions of `hops` hops (1 to 4) on one knowledge base."""
        return generate(n, seed, hops, choices, size)

    def parse(self, text: str) -> LookupPuzzle | None:
        """Return the last question in `text`, asked of the facts that `text` states."""
        query = parse(text)
        facts = {} if query is None else read_facts(text)
        if query is None or not facts:
            return None  # a question without a passage has to be known by heart
        choices = {option: letter for letter, option in re.findall(r"^([A-Z])\. (\w+)$", text, re.MULTILINE)}
        return puzzle(query, facts, choices)

    def of(self, problem: Problem) -> LookupPuzzle | None:
        """Return the question that a problem asks, asked of the whole world where the problem names it."""
        query = parse(problem.question)
        if query is None:
            return None
        choices = dict(zip(problem.choices or (), LETTERS, strict=False))
        seed, size = problem.meta.get("world_seed"), problem.meta.get("size")
        if isinstance(seed, int) and isinstance(size, int):
            knowledge = know(seed, size)
            return puzzle(query, knowledge.facts, choices, knowledge)
        return puzzle(query, read_facts(" ".join(problem.context)), choices)
