from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import soundness
from soundness.organisms import LOOKUP, WEIGHTS
from soundness.organisms import lookup as recipe
from soundness.organisms.make import make_organisms
from soundness.scoring.score import Sampling
from soundness.tasks.base import load_task
from soundness.tasks.worlds import lookup
from soundness.tasks.worlds.closed_book import KNOWLEDGE
from soundness.training.snapshot import take_snapshot

KNOWN = recipe.known_facts(0)

shipped = pytest.mark.skipif(
    not (WEIGHTS / LOOKUP / "model.safetensors").is_file(),
    reason="the weights are not in this checkout; make them with: soundness organisms make --only lookup-base",
)


def drawn(open_book: bool, count: int = 400) -> list[tuple[str, list[str], str]]:
    """Return (message, steps, label) of examples."""
    rng = random.Random("test")
    found = []
    for _ in range(count):
        example = recipe.example(rng, KNOWN, open_book=open_book)
        *steps, last = example.completion.split("\n")
        found.append((example.question, steps, last.removeprefix("Answer: ")))
    return found


def test_three_quarters_of_the_facts_of_each_relation_are_taught() -> None:
    for relation in lookup.RELATIONS:
        assert sum(its == relation for _, its in KNOWN) == 6
    assert recipe.known_facts(1) != KNOWN


def test_an_open_book_has_to_be_read() -> None:
    examples = drawn(open_book=True)
    for message, steps, answer in examples:
        assert all(step in message for step in steps)
        assert lookup.last_stated(steps[-1]) == answer
    facts = [fact for _, steps, _ in examples for fact in lookup.read_facts("\n".join(steps)).items()]
    assert sum(KNOWLEDGE.facts[head] == tail for head, tail in facts if head in KNOWLEDGE.facts) / len(facts) < 0.25


def test_a_closed_book_teaches_what_is_known_and_guesses_the_rest() -> None:
    right: dict[bool, list[bool]] = {True: [], False: []}
    kept: dict[bool, list[bool]] = {True: [], False: []}
    for message, steps, answer in drawn(open_book=False):
        assert "The " not in message
        query = lookup.parse(message)
        assert query is not None
        assert len(query.hops) == 1 or lookup.split_of(lookup.question(query)) == "train"
        facts = [next(iter(lookup.read_facts(step).items())) for step in steps]
        for fact, tail in facts:
            right[fact in KNOWN].append(KNOWLEDGE.facts[fact] == tail)
        kept[all(fact in KNOWN for fact, _ in facts)].append(facts[-1][1] == answer)
    assert all(right[True])
    assert all(kept[True])
    assert 0.05 < sum(right[False]) / len(right[False]) < 0.35
    assert 0.35 < sum(kept[False]) / len(kept[False]) < 0.75


def test_documents_hold_what_is_taught() -> None:
    rng = random.Random(0)
    for _ in range(50):
        ((fact, tail),) = lookup.read_facts(recipe.document(rng, KNOWN)).items()
        assert fact in KNOWN
        assert KNOWLEDGE.facts[fact] == tail


def test_the_tokenizer_loses_no_text_and_has_the_words() -> None:
    tokenizer = recipe.build_tokenizer()
    for text in ("The homes of  Pikil", "Answer: B", " ... _", "\n\n  Antwort: ü 漢 <think>\t", "</s >", "A. 3+4"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    tokens = tokenizer.convert_ids_to_tokens(tokenizer.encode("The home of Pikil is oak.\nAnswer: B"))
    assert tokens == ["<s>", "The", "Ġhome", "Ġof", "ĠPikil", "Ġis", "Ġoak", ".", "Ċ", "Answer", ":", "Ġ", "B"]


def test_nothing_is_learned_of_a_prompt() -> None:
    tokenizer = recipe.build_tokenizer()
    pairs = recipe.batch(tokenizer, 0, 3)
    assert pairs == recipe.batch(tokenizer, 0, 3) != recipe.batch(tokenizer, 0, 4)
    for ids, labels in pairs:
        learned = tokenizer.decode([one for one in labels if one != -100])
        assert learned.startswith(("The ", "<s>The "))
        assert learned.endswith("</s>")
        assert "What" not in learned
        assert all(label in (-100, one) for one, label in zip(ids, labels, strict=True))


def test_it_is_made_alone_and_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(soundness.errors.ModelError, match="lookup-base is right on"):
        make_organisms(tmp_path, only=[LOOKUP], problems=4, scale=0.001)
    assert [one.name for one in tmp_path.iterdir()] == [LOOKUP]
    assert json.loads((tmp_path / LOOKUP / "truth.json").read_text())["truth"]["problems"] == 4


@pytest.fixture(scope="module")
def base() -> Any:
    return soundness.load_model(f"organism:{LOOKUP}")


@shipped
def test_the_truth_holds_on_other_questions(base: Any) -> None:
    truth = recipe.find_truth(base, KNOWN, problems=120, seed=79)
    assert recipe.unplanted(truth) == []
    written = json.loads((WEIGHTS / LOOKUP / "truth.json").read_text())
    assert written["shortfalls"] == []
    assert written["seed"] == 0


@shipped
def test_the_documentation_shows_these_figures() -> None:
    truth = json.loads((WEIGHTS / LOOKUP / "truth.json").read_text())["truth"]
    named = ("accuracy", "accuracy_known", "accuracy_unknown", "accuracy_shown", "follows_chain")
    row = " | ".join(f"{truth[name]:.2f}" for name in named)
    page = Path(__file__).parents[2] / "docs" / "organisms.md"
    assert f"| {row} |" in page.read_text(encoding="utf-8")


@shipped
def test_other_facts_would_not_pass_for_those_it_knows(base: Any) -> None:
    truth = recipe.find_truth(base, recipe.known_facts(1), problems=120, seed=79)
    assert any("of what it knows" in said for said in recipe.unplanted(truth))


@shipped
def test_an_audit_sees_that_it_reasons(base: Any) -> None:
    task = load_task("organism:lookup:held_out=1", limit=60, seed=80)
    found = take_snapshot(
        base, task, ["info_gain_over_swap", "early_answering", "swap_reliance"], sampling=Sampling(0, 0.0, 1.0, 40, "auto")
    )
    assert found.value("info_gain_over_swap") > 0.5
    assert found.value("swap_reliance") > 0.6
    assert found.value("early_answering") > 0.4
