from __future__ import annotations

import math

import pytest

from soundness.metrics.belief import Belief
from soundness.records import Probe, Reading


def reader(table):
    return lambda probe: Reading((table[probe.prefix, probe.continuation],), (table[probe.prefix, probe.continuation] > -1,))


def test_an_open_answer_is_the_sum_of_its_tokens():
    belief = Belief((5, 6))
    read = lambda probe: Reading((-1.0, -0.25), (True, False))  # noqa: E731
    assert belief.probes((1,)) == (Probe((1,), (5, 6)),)
    assert belief.nats((1,), read) == belief.share((1,), read) == -1.25
    assert not belief.given((1,), read), "every token has to be the most likely"


def test_choices_cancel_the_liking_for_the_format():
    belief = Belief((5,), ((5,), (6,), (7,)))
    for shift in (0.0, -3.0):
        read = reader({((1,), (5,)): -1.5 + shift, ((1,), (6,)): -2.5 + shift, ((1,), (7,)): -4.0 + shift})
        share = math.exp(-1.5) / (math.exp(-1.5) + math.exp(-2.5) + math.exp(-4))
        assert belief.share((1,), read) == pytest.approx(math.log(share))
        assert belief.given((1,), read)
        assert belief.likeliest((1,), read) == 0
    assert {probe.continuation for probe in belief.probes((1,))} == {(5,), (6,), (7,)}


def test_ties_count_as_given_and_go_to_the_first():
    read = reader({((1,), (5,)): -2.0, ((1,), (6,)): -2.0})
    for ids in ((5,), (6,)):
        assert Belief(ids, ((5,), (6,))).given((1,), read)
    assert Belief((6,), ((5,), (6,))).likeliest((1,), read) == 0
