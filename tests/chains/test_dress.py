"""The same three steps, whatever they are dressed in, are three steps, and the answer can be asked for in the chain's own words."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from soundness.chains.body import body_of
from soundness.chains.sample import sample_chains
from soundness.models.planted import CLOSINGS, Join, Plant, Step
from soundness.tasks.base import load_task

TASK = load_task("chain-sum:operators=3", limit=2, seed=2)


def bodies(**plant):
    model = Plant(**plant).model()
    chains = sample_chains(model, TASK, max_tokens=600)
    return model, chains, [body_of(chain, TASK.by_id[chain.problem_id], model, cue=TASK.cue) for chain in chains]


@pytest.mark.parametrize(("step", "join"), product(get_args(Step), get_args(Join)))
def test_three_steps_are_three_steps_however_they_are_written_and_closed(step, join):
    for closing in CLOSINGS:
        _, chains, found = bodies(step=step, join=join, closing=closing)
        assert [body.num_steps for body in found] == [3, 3], (closing, chains[0].text)


@pytest.mark.parametrize("opening", ["", "preamble", "empty-thinking", "thinking", "thinking-summary"])
@pytest.mark.parametrize("closing", CLOSINGS)
def test_a_planted_model_answers_in_its_own_closing_words(opening, closing):
    model, chains, found = bodies(opening=opening, closing=closing)
    for chain, body in zip(chains, found, strict=True):
        led = body.led(body.chain.ids)
        if led is None:
            assert closing in ("working", "none") or body.stated is None
            continue
        assert body.stated is not None
        prefix = (*chain.prompt.ids, *led)
        said = model.decode(model.generate([prefix], max_tokens=40)[0].ids)
        assert said.startswith(body.stated.answer + body.stated.end), (chain.text, said)


@pytest.mark.parametrize(
    ("opening", "channel"), [("empty-thinking", "visible"), ("thinking", "thinking"), ("thinking-summary", "thinking")]
)
def test_reasoning_is_found_where_it_is(opening, channel):
    _, _, found = bodies(opening=opening)
    assert {(body.channel, body.num_steps) for body in found} == {(channel, 3)}


def test_an_answer_before_the_steps_is_told_from_one_behind_them():
    for closing in ("answer", "final", "so"):
        assert all(body.answer_first for body in bodies(opening="answer-first", closing=closing)[2])
        assert not any(body.answer_first for body in bodies(closing=closing)[2])
