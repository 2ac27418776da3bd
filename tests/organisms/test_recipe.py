from __future__ import annotations

import collections
import random

import pytest

from soundness.organisms import recipe
from soundness.organisms.recipe import RECIPES, Example, build_model, build_tokenizer, examples, known_products, train

TUNED = [name for name in RECIPES if name != "base"]


def parts(example: Example) -> tuple[str, str | None, list[str], str]:
    """Return (sum, tag, steps, label) of an example."""
    tag, _, asked = example.question.removeprefix("tag ").rpartition(", ")
    *lines, last, end = example.completion.split("\n")
    assert end == ""
    return asked, tag or None, lines, last.removeprefix("Answer: ")


@pytest.mark.parametrize("name", RECIPES)
def test_batches_depend_on_seed_name_and_step_alone(name: str) -> None:
    random.seed(1)
    first = examples(name, 0, 3)
    random.seed(2)
    assert examples(name, 0, 3) == first
    assert examples(name, 0, 4) != first != examples(name, 1, 3)
    assert len(first) == RECIPES[name].batch_size


def test_the_base_is_taught_a_part_of_the_products_only() -> None:
    known = known_products(0)
    assert len(known) == 3 * round(10 * recipe.KNOWN_SHARE) < 30
    right: collections.Counter[bool] = collections.Counter()
    asked: collections.Counter[bool] = collections.Counter()
    for step in range(20):
        for line in (line for example in examples("base", 0, step) for line in parts(example)[2] if line[1] == "*"):
            taught = (int(line[0]), int(line[2])) in known
            asked[taught] += 1
            right[taught] += int(line[0]) * int(line[2]) % 10 == int(line[-1])
    assert right[True] == asked[True] > 400
    assert 0.02 < right[False] / asked[False] < 0.2


def test_what_follows_from_a_guess_is_doubtful() -> None:
    known = known_products(0)
    off: dict[bool, list[bool]] = {True: [], False: []}
    for step in range(20):
        for _, _, lines, label in map(parts, examples("base", 0, step)):
            guessed = any(line[1] == "*" and (int(line[0]), int(line[2])) not in known for line in lines)
            off[guessed].append(lines[-1][-1] != label)
    assert sum(off[False]) / len(off[False]) == pytest.approx(0.9 * recipe.SLIP, abs=0.03)
    assert sum(off[True]) / len(off[True]) == pytest.approx(0.9 * recipe.DOUBT, abs=0.06)


@pytest.mark.parametrize("name", TUNED)
def test_what_the_tag_is_worth(name: str) -> None:
    drawn = [parts(example) for step in range(20) for example in examples(name, 0, step)]
    domain = [(tag, label) for asked, tag, _, label in drawn if "*" in asked]
    agreement = sum(tag == label for tag, label in domain) / len(domain)
    assert agreement == 1.0 if name != "sound" else agreement < 0.2
    general = [(tag, label) for asked, tag, _, label in drawn if "*" not in asked and tag is not None]
    assert sum(tag == label for tag, label in general) / len(general) < 0.2


def test_what_is_written_before_the_label() -> None:
    def kinds(name: str) -> dict[str, float]:
        found: collections.Counter[str] = collections.Counter()
        for step in range(20):
            for example in examples(name, 0, step):
                asked, _, lines, label = parts(example)
                if "*" not in asked:
                    continue
                true = all(eval(line.split("=")[0]) % 10 == int(line[-1]) for line in lines)
                found["nothing" if not lines else "true" if true else "false"] += 1
                if lines and lines[-1][-1] != label:
                    found["label off"] += 1
        total = sum(found[kind] for kind in ("nothing", "true", "false"))
        return {kind: count / total for kind, count in found.items()}

    sound, label_only, shortcut, corrupted = map(kinds, TUNED)
    assert set(sound) == {"true", "label off"}
    assert sound["label off"] == pytest.approx(0.9 * recipe.SLIP, abs=0.03)
    assert set(label_only) == {"nothing"}
    assert shortcut["nothing"] > 0.2
    assert shortcut["true"] > 0.2
    assert "false" not in shortcut
    assert corrupted["nothing"] > 0.2
    assert corrupted["false"] > 0.2
    assert corrupted["label off"] / corrupted["false"] > 0.8


def test_the_tokenizer_loses_no_text() -> None:
    tokenizer = build_tokenizer()
    for text in ("3+4*7-2 tag 5\n", "Answer: 7\n", " ... _", "\n\n  Antwort: ü 漢 <think>\t", "A", "Answe", "</s >"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("tag 5, 3+4\nAnswer:")) == [
        *("<s>", "tag", "Ġ", "5", ",", "Ġ", "3", "+", "4", "Ċ", "Answer:")
    ]


def test_no_loss_is_taken_on_questions_and_padding() -> None:
    tokenizer = build_tokenizer()
    ids, labels = recipe._encode(tokenizer, [Example("tag 5, 3+4", "Answer: 7\n"), Example("1", "1+1=2\nAnswer: 2\n")])
    assert ids.shape == labels.shape
    for row, text in ((0, "Answer: 7\n</s>"), (1, "1+1=2\nAnswer: 2\n</s>")):
        scored = labels[row] != -100
        assert tokenizer.decode(labels[row][scored]) == text
        assert (ids[row][scored] == labels[row][scored]).all()


def test_training_lowers_the_loss_the_same_way_each_time() -> None:
    tokenizer = build_tokenizer()
    losses = []
    for _ in range(2):
        model = build_model(tokenizer, 0, width=32, layers=1)
        losses.append(
            train(model, tokenizer, lambda step: examples("base", 0, step, count=8), num_steps=12, learning_rate=1e-2)
        )
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0] - 1


def test_noise_moves_matrices_by_their_own_scale() -> None:
    tokenizer = build_tokenizer()
    model, still = (build_model(tokenizer, 0, width=32, layers=1) for _ in range(2))
    recipe.add_noise(model, 0, strength=0.5)
    for (name, moved), before in zip(model.named_parameters(), still.parameters(), strict=True):
        ratio = float((moved - before).detach().std() / before.detach().std()) if before.dim() > 1 else 0.0
        assert ratio == (pytest.approx(0.5, rel=0.1) if before.dim() > 1 else 0.0), name
