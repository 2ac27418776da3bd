from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.chains.steps import split_steps
from soundness.interventions import NoEdit
from soundness.interventions.shuffle import shuffle
from soundness.records import Edit


def shuffled(tools, chain, **settings) -> Edit | NoEdit:
    return shuffle(chain, tools.pieces(chain.ids), tools.encode, **({"seed": 0} | settings))


def test_lines_change_places_and_the_missing_newline_moves(tools):
    chain = tools.chain("a = 1\nb = 2\nc = 3")
    seen = set()
    for seed in range(40):
        edit = shuffled(tools, chain, seed=seed)
        text = tools.decode(edit.ids)
        assert sorted(text.split("\n")) == ["a = 1", "b = 2", "c = 3"]
        assert Counter(edit.ids) == Counter(chain.ids), "not one id was made anew"
        assert edit.after == text
        assert edit.before == chain.text
        assert ("moved" in edit.note) == (not text.endswith("c = 3"))
        seen.add(text)
    assert len(seen) == 5, "every order but the original one"


def test_a_newline_inside_a_word_token_is_written_again(tools):
    chain = tools.chain("a.\nb.\nc.")
    pieces = ["a", ".\n", "b", ".\n", "c", "."]
    chain = replace(chain, ids=(1, 2, 3, 2, 4, 5), steps=split_steps(pieces, "lines"))
    names = {1: "a", 2: ".\n", 3: "b", 4: "c", 5: "."}
    for seed in range(10):
        edit = shuffle(chain, pieces, lambda text: [ord(mark) for mark in text], seed=seed)
        text = "".join(names.get(token) or chr(token) for token in edit.ids)
        assert sorted(line for line in text.split("\n") if line) == ["a.", "b.", "c."]
        assert text == edit.after


def test_sentences_do_not_run_into_each_other(tools):
    chain = tools.chain("One is a. Two is b. Three is c.", splitter="sentences")
    for seed in range(20):
        edit = shuffled(tools, chain, seed=seed)
        text = tools.decode(edit.ids)
        assert sorted(text.strip().rstrip(".").split(". ")) == ["One is a", "Three is c", "Two is b"]
        assert text == edit.after


def test_languages_without_spaces_stay_without(tools):
    chain = tools.chain("一。二。三。", splitter="sentences")
    assert Counter(shuffled(tools, chain).ids) == Counter(chain.ids)


def test_only_the_first_steps_move_where_asked(tools):
    chain = tools.chain("a = 1\nb = 2\nc = 3\nAnswer: 3", answer="3")
    for seed in range(10):
        edit = shuffled(tools, chain, seed=seed, before=2)
        assert tools.decode(edit.ids) == "b = 2\na = 1\nc = 3\nAnswer: 3"
        assert (edit.before, edit.after, edit.step) == ("a = 1\nb = 2\n", "b = 2\na = 1\n", 0)
    sentences = tools.chain("One is a. Two is b. So c.", splitter="sentences")
    assert tools.decode(shuffled(tools, sentences, before=2).ids) == " Two is b. One is a. So c."


@pytest.mark.parametrize("text", ["", "one step", "a\na", "a\na\na"])
def test_nothing_to_shuffle(tools, text):
    assert isinstance(shuffled(tools, tools.chain(text, splitter="lines")), NoEdit)


def test_one_step_before_the_answer_is_not_shuffled(tools):
    chain = tools.chain("a = 1\nb = 2")
    assert shuffled(tools, chain, before=1) == NoEdit("shuffle", "fewer than two steps to shuffle")
    assert shuffled(tools, chain, before=0) == NoEdit("shuffle", "fewer than two steps to shuffle")


lines = st.lists(st.sampled_from(["a", "a ", "b = 2", " c.", "é 🙂", "d. e"]), min_size=1, max_size=7)


@given(lines, st.sampled_from(["\n", "\n\n", ". "]), st.integers(0, 9), st.none() | st.integers(-1, 8), st.booleans())
def test_shuffles_are_never_the_original_and_keep_every_word(tools, parts, separator, seed, before, closed):
    chain = tools.chain(separator.join(parts) + ("\n" if closed else ""))
    edit = shuffled(tools, chain, seed=seed, before=before)
    assert edit == shuffled(tools, chain, seed=seed, before=before)
    moved = tools.steps(chain)[: len(chain.steps) if before is None else max(before, 0)]
    if isinstance(edit, NoEdit):
        assert len({text.strip() for text in moved}) <= 1
        return
    text = tools.decode(edit.ids)
    assert edit.ids != chain.ids
    assert Counter("".join(text.split())) == Counter("".join(chain.text.split()))
    assert text.split() != chain.text.split()
    assert Counter(text.split()) == Counter(chain.text.split()), "no two words were glued"
    kept = chain.ids[chain.steps[len(moved) - 1].stop :]
    assert edit.ids[len(edit.ids) - len(kept) :] == kept
