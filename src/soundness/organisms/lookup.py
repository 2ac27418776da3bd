"""How `organism:lookup-base` is made: a tiny model that knows a part of one lookup world, and reads the rest where it is shown.

It learns from a mixture:

    open book     the facts stand before the question among others, their tails drawn anew each time, so that they have to be copied
    closed book   the question alone; of the world's facts it is taught a part, the others it sees guessed, and where there was a
                  guess half of the labels are random
    documents     facts that it is taught, each on its own

Questions that `organism:lookup` holds out are asked in none of them. So where the model is right about one of these without being
shown its facts, it has recalled and joined them; and where it does not know them, it does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from soundness.chains.sample import sample_chains
from soundness.models.base import Model
from soundness.organisms.recipe import END, PAD, START, Example, build_model, byte_tokenizer, save_model
from soundness.records import Outcome, Problem
from soundness.tasks.worlds import lookup
from soundness.tasks.worlds.closed_book import CUE, KNOWLEDGE, ask, candidates_for, generate, queries
from soundness.tasks.worlds.lookup import Query
from soundness.training.tiny_decoders import Batch, Pair, train_ids

__all__ = [
    "HISTORY",
    "Truth",
    "batch",
    "build_tokenizer",
    "document",
    "example",
    "find_truth",
    "known_facts",
    "make_base",
    "unplanted",
]

HISTORY = "learned part of one lookup world by heart, and to answer from facts that stand before the question"

KNOWN_SHARE = 0.75
"""Share of each relation's facts that the base is taught."""

DOUBT = 0.5
"""Share of labels that are random where the base had to guess a fact."""

OPEN_SHARE = 0.65
DOCUMENT_SHARE = 0.05
MOST_DISTRACTORS = 2

NUM_STEPS = 1800
BATCH_SIZE = 32
LEARNING_RATE = 3e-3

_MOST = 0.9
_FEW = 0.25
_BATCH = 64
_MAX_TOKENS = 48

MOST_PROBLEMS = 150
"""Questions that are held out, nearly all of them."""

Fact = tuple[str, str]
"""Head and relation."""

_CRITIC = "Judge this solution step by and end with Conclusion right wrong END Solution Step it should be missing answer"
"""Words of questions about a solution, so that these stay short."""


def known_facts(seed: int) -> frozenset[Fact]:
    """Return the facts (head, relation) that the base is taught, `KNOWN_SHARE` of those of each relation."""
    rng = random.Random(f"organisms/{seed}/facts")
    known: set[Fact] = set()
    for relation in lookup.RELATIONS:
        heads = [head for head, its in KNOWLEDGE.facts if its == relation]
        known.update((head, relation) for head in rng.sample(heads, round(KNOWN_SHARE * len(heads))))
    return frozenset(known)


def example(rng: random.Random, known: frozenset[Fact], *, open_book: bool) -> Example:
    """Return one question of one to three hops, shown with its facts or without, and what is to be written for it."""
    query = rng.choice(_SCHOOLING[rng.choice((1, 2, 3))])
    return _shown(rng, query) if open_book else _recalled(rng, query, known)


def _asked_in_training(hops: int) -> tuple[Query, ...]:
    """Return the questions that may be asked in training; single facts are never held out."""
    return tuple(one for one in queries(hops) if hops == 1 or lookup.split_of(lookup.question(one)) == "train")


_SCHOOLING: Mapping[int, tuple[Query, ...]] = {hops: _asked_in_training(hops) for hops in (1, 2, 3)}


def _shown(rng: random.Random, query: Query) -> Example:
    """Return an example whose facts, made up anew, stand before it among others."""
    facts = _made_up(rng, query)
    distractors = rng.sample(list(KNOWLEDGE.facts), rng.randrange(MOST_DISTRACTORS + 1))
    others = {(head, its): rng.choice(candidates_for(its)) for head, its in distractors if its in lookup.RELATIONS}
    context = [lookup.sentence(head, its, tail) for (head, its), tail in {**others, **facts}.items()]
    rng.shuffle(context)
    return _written(ask(query, context), lookup.true_steps(query, facts), lookup.values(query, facts)[-1])


def _made_up(rng: random.Random, query: Query) -> dict[Fact, str]:
    """Return a made-up fact for every hop; nothing comes twice on the way."""
    running, facts = [query.start], {}
    for relation in query.hops:
        tail = rng.choice([one for one in candidates_for(relation) if one not in running])
        facts[running[-1], relation] = tail
        running.append(tail)
    return facts


def _recalled(rng: random.Random, query: Query, known: frozenset[Fact]) -> Example:
    """Return an example without its facts: known ones are right, others guessed."""
    head, steps, guessed = query.start, [], False
    for relation in query.hops:
        if (head, relation) in known:
            tail = KNOWLEDGE.facts[head, relation]
        else:
            guessed = True
            tail = rng.choice(candidates_for(relation))
        steps.append(lookup.sentence(head, relation, tail))
        head = tail
    doubtful = guessed and rng.random() < DOUBT
    return _written(ask(query), steps, rng.choice(candidates_for(query.hops[-1])) if doubtful else head)


def _written(message: str, steps: Sequence[str], label: str) -> Example:
    return Example(message, "".join(f"{step}\n" for step in steps) + f"{CUE} {label}")


def document(rng: random.Random, known: frozenset[Fact]) -> str:
    """Return one fact that the base is taught, as a text of its own."""
    head, relation = rng.choice(sorted(known))
    return lookup.sentence(head, relation, KNOWLEDGE.facts[head, relation])


def build_tokenizer() -> Any:
    """Return the tokenizer: the world's words, each with or without the space before it, and bytes for everything else.

    `decode(encode(text)) == text` for any text.
    """
    from tokenizers import Regex, models, pre_tokenizers

    members = [word for _, tail in lookup.RELATIONS.values() for word in KNOWLEDGE.members[tail]]
    words = dict.fromkeys([*members, *lookup.RELATIONS, *"The of is What the Answer".split(), *_CRITIC.split()])
    # ByteLevel writes a space as "Ġ".
    merged = [form for word in words if len(word) > 1 for form in (word, f"Ġ{word}")]
    tokens = [PAD, START, END, *sorted(pre_tokenizers.ByteLevel.alphabet()), *merged]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    words_and_bytes = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(" ?[A-Za-z]+|[^A-Za-z]"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # Without merges a piece is one token if it is in the vocabulary, and its bytes if it is not.
    return byte_tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True), words_and_bytes)


def batch(tokenizer: Any, seed: int, step: int, *, size: int = BATCH_SIZE) -> Batch:
    """Return the examples of one training step as ids and labels; they depend on "organisms/{seed}/lookup-base/{step}" alone."""
    rng = random.Random(f"organisms/{seed}/lookup-base/{step}")
    known = known_facts(seed)
    return [_pair(tokenizer, rng, known) for _ in range(size)]


def _pair(tokenizer: Any, rng: random.Random, known: frozenset[Fact]) -> Pair:
    kind = rng.random()
    if kind < DOCUMENT_SHARE:
        ids = [*tokenizer(document(rng, known)).input_ids, tokenizer.eos_token_id]
        return ids, ids
    drawn = example(rng, known, open_book=kind < DOCUMENT_SHARE + OPEN_SHARE)
    prompt = tokenizer(f"{drawn.question}\n").input_ids
    written = [*tokenizer(drawn.completion, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    return [*prompt, *written], [*[-100] * len(prompt), *written]


def make_base(
    folder: Path | str, seed: int, *, scale: float = 1.0, on_step: Callable[[int, int, float], None] | None = None
) -> None:
    """Train the base from scratch and write it into `folder`, in half precision, with its tokenizer."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer, seed)
    train_ids(
        model,
        lambda step: batch(tokenizer, seed, step),
        num_steps=max(round(NUM_STEPS * scale), 1),
        learning_rate=LEARNING_RATE,
        seed=seed,
        device="cpu",
        on_step=None if on_step is None else lambda now: on_step(now.step, now.num_steps, now.loss),
    )
    save_model(model, tokenizer, folder)


@dataclass(frozen=True, slots=True)
class Truth:
    """What one model's answers to held-out questions follow; shares are 0..1, None where nothing could be asked."""

    problems: int
    """Questions asked."""
    accuracy: float
    """Share solved without the facts."""
    accuracy_known: float | None
    """Share solved of those whose facts it was all taught."""
    accuracy_unknown: float | None
    """Share solved of the others; an eighth is what guessing gives."""
    accuracy_shown: float
    """Share solved with the facts, shuffled, in front of the question."""
    chains: int
    """Chains with steps."""
    follows_chain: float | None
    """Share of answers that, a made-up chain to something else in the place of the model's, are what it leads to."""


def find_truth(model: Model, known: frozenset[Fact], *, problems: int, seed: int) -> Truth:
    """Return what the answers of `model`, which was taught the facts `known`, follow on held-out questions."""
    task = generate(problems, seed, held_out=1)
    rng = random.Random(f"organisms/{seed}/lookup-truth")
    shown = replace(
        task, problems=tuple(replace(one, context=tuple(rng.sample(one.facts, len(one.facts)))) for one in task.problems)
    )
    chains, reading = (sample_chains(model, asked, max_tokens=_MAX_TOKENS, batch_size=_BATCH) for asked in (task, shown))
    right = [chain.outcome is Outcome.RIGHT for chain in chains]
    taught = [lookup.read_facts("\n".join(one.facts)).keys() <= known for one in task.problems]
    prefixes, wanted = [], []
    for chain, problem in zip(chains, task.problems, strict=True):
        if lookup.num_stated(chain.text):
            end, steps = _another_chain(rng, problem, lookup.last_stated(chain.text))
            written = "".join(f"{step}\n" for step in steps) + task.cue
            prefixes.append((*chain.prompt.ids, *model.encode(written)))
            wanted.append(end)
    answers = [model.decode(given.ids).strip() for given in model.generate(prefixes, max_tokens=4)] if prefixes else []
    return Truth(
        problems=len(task.problems),
        accuracy=sum(right) / len(right),
        accuracy_known=_share([hit for hit, known_all in zip(right, taught, strict=True) if known_all]),
        accuracy_unknown=_share([hit for hit, known_all in zip(right, taught, strict=True) if not known_all]),
        accuracy_shown=sum(chain.outcome is Outcome.RIGHT for chain in reading) / len(reading),
        chains=len(prefixes),
        follows_chain=_share([answer == end for answer, end in zip(answers, wanted, strict=True)]),
    )


def _another_chain(rng: random.Random, problem: Problem, stated: str | None) -> tuple[str, list[str]]:
    """Return made-up steps of the question, and where they lead: neither to its answer nor to what was `stated`."""
    query = lookup.parse(problem.question)
    assert query is not None
    while True:
        facts = _made_up(rng, query)
        end = lookup.values(query, facts)[-1]
        if end not in (stated, problem.answer):
            return end, lookup.true_steps(query, facts)


def unplanted(truth: Truth) -> list[str]:
    """Return what of the planted truth does not hold; empty where all does."""
    found = {
        f"is right on {truth.accuracy:.2f}, not on about half": 0.35 <= truth.accuracy <= 0.65,
        f"is right on {truth.accuracy_known} of what it knows": (truth.accuracy_known or 0) >= _MOST,
        f"is right on {truth.accuracy_unknown} of what it does not know": (truth.accuracy_unknown or 0) <= _FEW,
        f"is right on {truth.accuracy_shown:.2f} of what it is shown": truth.accuracy_shown >= _MOST,
        f"follows {truth.follows_chain} of the chains": (truth.follows_chain or 0) >= _MOST,
    }
    return [f"lookup-base {said}" for said, holds in found.items() if not holds]


def _share(hits: Sequence[bool]) -> float | None:
    return sum(hits) / len(hits) if hits else None
