"""Nothing is asked twice, and batches are cut from all that is wanted, not from what happens to be missing."""

from __future__ import annotations

import pytest

from soundness.models.cached import Recorded
from soundness.models.store import Store
from soundness.records import Generation, Probe, Reading


class Echo:
    """Answers with the length of what it was shown, and remembers each call."""

    fingerprint = "echo"

    def __init__(self):
        self.batches, self.reads = [], []

    def generate(self, prefixes, *, max_tokens, temperature=0.0, top_p=1.0, keys=None, until=None):
        self.batches.append([tuple(prefix) for prefix in prefixes])
        given = keys or [""] * len(prefixes)
        return [Generation((len(prefix), len(key)), "stop") for prefix, key in zip(prefixes, given, strict=True)]

    def read(self, probes):
        self.reads.append(list(probes))
        return [Reading((-float(len(probe.prefix)),), (True,)) for probe in probes]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.sqlite") as opened:
        yield opened


PREFIXES = [(1,) * n for n in (3, 1, 5, 2, 4)]


def test_longest_prefixes_go_first_and_answers_come_in_order(store):
    scribe = Recorded(Echo(), store, batch_size=2)
    told = []
    found = scribe.continue_all(PREFIXES, max_tokens=9, on_progress=lambda done, total: told.append((done, total)))
    assert [generation.ids[0] for generation in found] == [3, 1, 5, 2, 4]
    assert [[len(prefix) for prefix in batch] for batch in scribe.model.batches] == [[5, 4], [3, 2], [1]]
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert scribe.counts["tokens_written"] == 10


def test_equal_requests_are_made_once(store):
    scribe = Recorded(Echo(), store, batch_size=8)
    assert len(scribe.continue_all([(1,), (1, 1), (1,)], max_tokens=9)) == 3
    assert scribe.model.batches == [[(1, 1), (1,)]]


def test_draws_with_other_keys_are_other_requests(store):
    scribe = Recorded(Echo(), store, batch_size=8)
    found = scribe.continue_all([(1,), (1,)], max_tokens=9, temperature=0.5, keys=["a", "bc"])
    assert [generation.ids for generation in found] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("change", [{"max_tokens": 8}, {"until": "x"}, {"temperature": 0.5, "keys": ["k"]}])
def test_other_settings_are_other_requests(store, change):
    scribe = Recorded(Echo(), store)
    scribe.continue_all([(1,)], max_tokens=9)
    scribe.continue_all([(1,)], **{"max_tokens": 9, **change})
    assert len(scribe.model.batches) == 2


def test_what_is_stored_is_not_asked_again(store):
    scribe = Recorded(Echo(), store, batch_size=2)
    first = scribe.continue_all(PREFIXES, max_tokens=9)
    again = Recorded(Echo(), store, batch_size=2)
    assert again.continue_all(PREFIXES, max_tokens=9) == first
    assert (again.model.batches, again.counts["tokens_written"]) == ([], 0)


def test_after_a_crash_the_same_batches_are_met(store):
    """Numbers that depend on a batch's shape in their last bits come out as if nothing had happened."""

    class Failing(Echo):
        def generate(self, prefixes, **options):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            return super().generate(prefixes, **options)

    with pytest.raises(KeyboardInterrupt):
        Recorded(Failing(), store, batch_size=2).continue_all(PREFIXES, max_tokens=9)
    resumed = Recorded(Echo(), store, batch_size=2)
    resumed.continue_all(PREFIXES, max_tokens=9)
    assert [[len(prefix) for prefix in batch] for batch in resumed.model.batches] == [[3, 2], [1]]


def probes(*lengths):
    return [Probe((7,) * length, (1,)) for length in lengths]


def test_each_probe_is_read_once_and_groups_go_together(store):
    scribe = Recorded(Echo(), store, cases_at_once=2)
    told = []
    groups = [probes(1, 2), probes(2, 3), probes(1, 4)]
    found = scribe.read(groups, on_progress=lambda done, total: told.append((done, total)))
    assert {len(probe.prefix): reading.nats for probe, reading in found.items()} == {1: -1.0, 2: -2.0, 3: -3.0, 4: -4.0}
    assert scribe.model.reads == [probes(1, 2, 3), probes(4)]
    assert told == [(2, 3), (3, 3)]
    again = Recorded(Echo(), store, cases_at_once=2)
    assert again.read(groups) == found
    assert again.model.reads == []
    assert again.read([probes(1, 9)])[probes(9)[0]].nats == -9.0
    assert again.model.reads == [probes(9)]


def test_nothing_wanted_is_nothing_done(store):
    scribe = Recorded(Echo(), store)
    assert (scribe.continue_all([], max_tokens=3), scribe.read([]), scribe.read([[]])) == ([], {}, {})
    assert (scribe.model.batches, scribe.model.reads) == ([], [])
