"""Nothing is asked twice, and a run that is taken up again meets the batches that an unbroken one meets."""

from __future__ import annotations

import pytest

from soundness.models.base import Model
from soundness.models.cached import CachedModel, as_cached
from soundness.models.scripted import load_scripted
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
    cached = CachedModel(Echo(), store, batch_size=2)
    told = []
    found = cached.generate(PREFIXES, max_tokens=9, on_progress=lambda done, total: told.append((done, total)))
    assert [generation.ids[0] for generation in found] == [3, 1, 5, 2, 4]
    assert [[len(prefix) for prefix in batch] for batch in cached.model.batches] == [[5, 4], [3, 2], [1]]
    assert told == [(2, 5), (4, 5), (5, 5)]
    assert cached.work.tokens_written == 10


def test_equal_requests_are_made_once(store):
    cached = CachedModel(Echo(), store, batch_size=8)
    assert len(cached.generate([(1,), (1, 1), (1,)], max_tokens=9)) == 3
    assert cached.model.batches == [[(1, 1), (1,)]]


def test_draws_with_other_keys_are_other_requests(store):
    cached = CachedModel(Echo(), store, batch_size=8)
    found = cached.generate([(1,), (1,)], max_tokens=9, temperature=0.5, keys=["a", "bc"])
    assert [generation.ids for generation in found] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("change", [{"max_tokens": 8}, {"until": "x"}, {"temperature": 0.5, "keys": ["k"]}])
def test_other_settings_are_other_requests(store, change):
    cached = CachedModel(Echo(), store)
    cached.generate([(1,)], max_tokens=9)
    cached.generate([(1,)], **{"max_tokens": 9, **change})
    assert len(cached.model.batches) == 2


def test_what_is_stored_is_not_asked_again(store):
    cached = CachedModel(Echo(), store, batch_size=2)
    first = cached.generate(PREFIXES, max_tokens=9)
    again = CachedModel(Echo(), store, batch_size=2)
    assert again.generate(PREFIXES, max_tokens=9) == first
    assert (again.model.batches, again.work.tokens_written) == ([], 0)


def test_after_a_crash_the_same_batches_are_met(store):
    """Numbers that depend on a batch's shape in their last bits come out as if nothing had happened."""

    class Failing(Echo):
        def generate(self, prefixes, **options):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            return super().generate(prefixes, **options)

    with pytest.raises(KeyboardInterrupt):
        CachedModel(Failing(), store, batch_size=2).generate(PREFIXES, max_tokens=9)
    resumed = CachedModel(Echo(), store, batch_size=2)
    resumed.generate(PREFIXES, max_tokens=9)
    assert [[len(prefix) for prefix in batch] for batch in resumed.model.batches] == [[3, 2], [1]]


def probes(*lengths):
    return [Probe((7,) * length, (1,)) for length in lengths]


def test_each_probe_is_read_once_and_groups_go_together(store):
    cached = CachedModel(Echo(), store, groups_at_once=2)
    told = []
    groups = [probes(1, 2), probes(2, 3), probes(1, 4)]
    found = cached.read_groups(groups, on_progress=lambda done, total: told.append((done, total)))
    assert {len(probe.prefix): reading.nats for probe, reading in found.items()} == {1: -1.0, 2: -2.0, 3: -3.0, 4: -4.0}
    assert cached.model.reads == [probes(1, 2, 3), probes(4)]
    assert told == [(2, 3), (3, 3)]
    again = CachedModel(Echo(), store, groups_at_once=2)
    assert again.read_groups(groups) == found
    assert again.model.reads == []
    assert again.read_groups([probes(1, 9)])[probes(9)[0]].nats == -9.0
    assert again.model.reads == [probes(9)]


def test_nothing_wanted_is_nothing_done(store):
    cached = CachedModel(Echo(), store)
    assert (cached.generate([], max_tokens=3), cached.read([]), cached.read_groups([[]])) == ([], [], {})
    assert (cached.model.batches, cached.model.reads) == ([], [])


def test_a_cached_model_is_a_model_and_may_be_cached_again(store):
    inner = CachedModel(load_scripted("scripted:computes"), batch_size=3)
    outer = CachedModel(inner, store)
    assert isinstance(outer, Model)
    assert (outer.name, outer.fingerprint, outer.vocabulary) == (inner.name, inner.fingerprint, inner.vocabulary)
    prompt = outer.render("3 + 4 = ?")
    assert outer.decode(prompt.ids) == "".join(outer.pieces(prompt.ids)) == prompt.text
    for _ in range(2):
        outer.generate([prompt.ids], max_tokens=5)
        outer.read([Probe(prompt.ids, tuple(outer.encode("4")))])
    assert (inner.work.tokens_written, inner.work.probes_read) == (outer.work.tokens_written, 1)


def test_without_a_store_nothing_is_kept_and_the_fingerprint_is_not_asked():
    class Learning(Echo):
        @property
        def fingerprint(self):
            raise AssertionError("a model in training has a new one at every step")

    cached = CachedModel(Learning(), batch_size=2)
    assert [generation.ids[0] for generation in cached.generate([(1,), (1, 1), (1,)], max_tokens=9)] == [1, 2, 1]
    assert cached.read(probes(3, 2, 3)) == [Reading((-3.0,), (True,)), Reading((-2.0,), (True,)), Reading((-3.0,), (True,))]
    cached.generate([(1,)], max_tokens=9)
    assert cached.model.batches == [[(1, 1), (1,)], [(1,)]]
    assert cached.model.reads == [probes(3, 2)]


def test_another_scope_is_computed_again(store):
    first, again = CachedModel(Echo(), store), CachedModel(Echo(), store, scope="again")
    for cached in (first, again, first, again):
        cached.generate([(1,)], max_tokens=9)
        cached.read(probes(1))
    assert (first.work.probes_read, again.work.probes_read) == (1, 1)
    assert first.model.batches == again.model.batches == [[(1,)]]


def test_what_is_stored_leaves_whole_batches_to_what_is_missing(store):
    CachedModel(Echo(), store, batch_size=8).generate([(1,) * n for n in (2, 4)], max_tokens=9)
    cached = CachedModel(Echo(), store, batch_size=2)
    cached.generate(PREFIXES, max_tokens=9)
    assert [[len(prefix) for prefix in batch] for batch in cached.model.batches] == [[5, 3], [1]]


def test_a_model_that_is_cached_stays_the_same_one():
    cached = CachedModel(Echo(), batch_size=3)
    assert as_cached(cached, 5) is cached
    assert as_cached(Echo(), 5).batch_size == 5
