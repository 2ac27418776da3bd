from __future__ import annotations

import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.errors import RunError
from soundness.models.store import GenerationRequest, Store
from soundness.records import Generation, Probe, Reading

ids = st.lists(st.integers(0, 2**32 - 1), max_size=6).map(tuple)
some_ids = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=6).map(tuple)
nats = st.floats(max_value=0, allow_nan=False)


def asked(probe: Probe) -> tuple[Probe, Reading]:
    return probe, Reading(tuple(-0.1 * t for t in probe.continuation), tuple(t % 2 == 0 for t in probe.continuation))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ids, some_ids), max_size=8), st.data())
def test_readings_come_back_to_the_last_bit_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[tuple[int, ...], tuple[int, ...]]], data: st.DataObject
) -> None:
    probes = [Probe(*pair) for pair in dict.fromkeys(pairs)]
    readings = [
        Reading(
            tuple(data.draw(st.lists(nats, min_size=len(p.continuation), max_size=len(p.continuation)))),
            tuple(data.draw(st.lists(st.booleans(), min_size=len(p.continuation), max_size=len(p.continuation)))),
        )
        for p in probes
    ]
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    with Store(path) as store:
        store.put_readings("one", probes, readings)
        assert store.get_readings("other", probes) == [None] * len(probes)
    with Store(path) as store:
        assert store.get_readings("one", [*probes[::-1], *probes]) == [*readings[::-1], *readings]


def test_a_probe_is_not_another_one_that_is_split_elsewhere(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        known = [Probe((1, 2), (3, 4)), Probe((), (1, 2, 3, 4))]
        store.put_readings("m", *map(list, zip(*map(asked, known), strict=True)))  # type: ignore[misc]
        unknown = [Probe((1,), (2, 3, 4)), Probe((1, 2, 3), (4,)), Probe((1, 2), (3, 5)), Probe((1, 2), (3, 4, 0))]
        assert store.get_readings("m", unknown) == [None] * 4
        # Ids that spell out a length, as it is hashed, at the other's boundary.
        store.put_readings("m", *map(list, zip(asked(Probe((7,), (1, 0, 8))), strict=True)))  # type: ignore[misc]
        assert store.get_readings("m", [Probe((7, 3, 0), (8,))]) == [None]
        assert store.get_readings("m", [replace(known[0], why="another reason")]) == [asked(known[0])[1]]
        assert store.get_readings("", [Probe((1, 2), (3, 4))]) == [None]


def test_probes_with_a_shared_prefix_object_and_with_an_equal_one_are_the_same(tmp_path: Path) -> None:
    prefix = (5, 6, 7)
    shared = [Probe(prefix, (1,)), Probe(prefix, (2,)), Probe((5,), (1,)), Probe(prefix, (3,))]
    with Store(tmp_path / "store.sqlite") as store:
        store.put_readings("m", *map(list, zip(*map(asked, shared), strict=True)))  # type: ignore[misc]
        for probe in shared:
            apart = Probe(tuple(list(probe.prefix)), probe.continuation)
            assert store.get_readings("m", [apart]) == [asked(probe)[1]]


REQUEST = GenerationRequest("model", (1, 2, 3), 16, temperature=0.7, top_p=0.9, key="a/0", until="}")


def test_everything_that_determines_a_generation_is_in_its_key(tmp_path: Path) -> None:
    others = [
        replace(REQUEST, model="model2"),
        replace(REQUEST, prefix=(1, 2)),
        replace(REQUEST, max_tokens=17),
        replace(REQUEST, temperature=0.8),
        replace(REQUEST, top_p=1.0),
        replace(REQUEST, key="a/1"),
        replace(REQUEST, until=None),
        replace(REQUEST, until=""),
        replace(REQUEST, temperature=0.0),
    ]
    with Store(tmp_path / "store.sqlite") as store:
        store.put_generations([(REQUEST, Generation((9, 2**32 - 1), "length"))])
        assert store.get_generations([*others, REQUEST]) == [None] * 9 + [Generation((9, 2**32 - 1), "length")]
    assert len({r.digest() for r in [*others, REQUEST]}) == 10


def test_a_greedy_generation_has_no_draw() -> None:
    greedy = replace(REQUEST, temperature=0.0)
    assert greedy.digest() == replace(greedy, key="b/3", top_p=1.0).digest()
    assert greedy.digest() != replace(greedy, max_tokens=5).digest()


def test_what_is_stored_first_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put_generations([(REQUEST, Generation((), "stop"))])
        store.put_generations([(REQUEST, Generation((1,), "length"))])
        assert store.get_generations([REQUEST]) == [Generation((), "stop")]
        assert store.counts() == {"generations": 1, "readings": 0}


def test_a_batch_that_fails_half_way_leaves_nothing_and_does_not_block_the_next(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(RunError):
            store._put("generations", [(b"1" * 16, b"", b"stop"), (b"2" * 16, b"", b"other")])
        assert store.counts()["generations"] == 0
        store.put_generations([(REQUEST, Generation((), "stop"))])
        assert store.counts()["generations"] == 1


def test_more_rows_than_one_query_takes(tmp_path: Path) -> None:
    probes, readings = zip(*(asked(Probe((1, 2), (i,))) for i in range(2_100)), strict=True)
    with Store(tmp_path / "store.sqlite") as store:
        store.put_readings("m", probes, readings)
        found = store.get_readings("m", [*probes, Probe((1, 2), (9_999,))])
    assert found == [*readings, None]


def test_a_reader_reads_beside_the_writer_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as writer:
        writer.put_generations([(REQUEST, Generation((1,), "stop"))])
        with Store(path, read_only=True) as reader:
            assert reader.get_generations([REQUEST]) == [Generation((1,), "stop")]
            with pytest.raises(RunError, match="reading only"):
                reader.put_generations([(REQUEST, Generation((), "stop"))])
    with Store(path, read_only=True) as reader:
        assert reader.get_generations([REQUEST]) == [Generation((1,), "stop")]


def test_a_missing_a_damaged_and_a_foreign_file_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no traces; run the audit"):
        Store(tmp_path / "none.sqlite", read_only=True)
    assert not (tmp_path / "none.sqlite").exists()
    (tmp_path / "text.sqlite").write_text("not a database " * 100)
    with pytest.raises(RunError, match="damaged or no store .*remove it, and the same command"):
        Store(tmp_path / "text.sqlite")
    with pytest.raises(RunError, match="permissions"):
        Store(tmp_path / "no" / "folder.sqlite")
    connection = sqlite3.connect(tmp_path / "later.sqlite")
    connection.execute("PRAGMA user_version=7")
    connection.close()
    with pytest.raises(RunError, match="layout 7"):
        Store(tmp_path / "later.sqlite")


def test_a_damaged_page_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    probes, readings = zip(*(asked(Probe((1,), (i,))) for i in range(3_000)), strict=True)
    with Store(path) as store:
        store.put_readings("m", probes, readings)
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with Store(path) as store, pytest.raises(RunError, match="damaged"):
        store.get_readings("m", probes)


def rows(start: int, stop: int, size: int = 200) -> tuple[Sequence[Probe], Sequence[Reading]]:
    probes = [Probe((i,), tuple(range(size))) for i in range(start, stop)]
    return probes, [Reading((-float(i),) * size, (True,) * size) for i in range(start, stop)]


def test_a_full_store_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:
        store.put_readings("m", *rows(0, 50))
        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
        store._connection.execute(f"PRAGMA max_page_count={pages + 4}")
        with pytest.raises(RunError, match="cannot grow .*free some disk space and run the same command again"):
            store.put_readings("m", *rows(50, 400))
        assert store.get_readings("m", rows(0, 50)[0]) == rows(0, 50)[1]
        assert store.counts()["readings"] == 50  # all or none
        store._connection.execute("PRAGMA max_page_count=100000")
        store.put_readings("m", *rows(50, 400))
    with Store(tmp_path / "store.sqlite") as store:
        assert store.get_readings("m", rows(0, 400)[0]) == rows(0, 400)[1]


CHILD = """
import resource, sys
from soundness.errors import RunError
from soundness.records import Probe, Reading
from soundness.models.store import Store

def rows(start, stop, size=200):
    probes = [Probe((i,), tuple(range(size))) for i in range(start, stop)]
    return probes, [Reading((-float(i),) * size, (True,) * size) for i in range(start, stop)]

store = Store(sys.argv[1])
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for start in range(0, 100_000, 20):
    try:
        store.put_readings("m", *rows(start, start + 20))
    except RunError as error:
        print(error)
        sys.exit(7)
    print(start + 20, flush=True)
"""


def test_a_killed_process_leaves_every_row_it_had_reported(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), "0"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(8)]
    os.kill(child.pid, signal.SIGKILL)
    reported += [int(line) for line in child.communicate()[0].split()]
    assert child.returncode == -signal.SIGKILL
    with Store(path) as store:
        n = store.counts()["readings"]
        assert n >= reported[-1] and n % 20 == 0  # whole batches only
        assert store.get_readings("m", rows(0, n)[0]) == rows(0, n)[1]
        store.put_readings("m", *rows(n, n + 5))
        assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file size are a Unix thing")
def test_a_file_that_the_system_will_not_let_grow_is_an_error_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    done = subprocess.run([sys.executable, "-c", CHILD, str(path), "400000"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr
    *reported, message = done.stdout.splitlines()
    assert "free some disk space" in message
    with Store(path) as store:
        assert store.counts()["readings"] == int(reported[-1]) > 0
        assert store.get_readings("m", rows(0, int(reported[-1]))[0]) == rows(0, int(reported[-1]))[1]


def test_the_key_is_pinned() -> None:
    # A changed key would silently orphan every trace on disk: raise FORMAT together with it.
    assert REQUEST.digest().hex() == "e51d846cb203ee1ce34128d39c8849ef"


def bits(value: float) -> bytes:
    return struct.pack("<3d", *[-value] * 3)


def test_a_damaged_row_is_named_counts_as_missing_and_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    probes, readings = rows(0, 4, size=3)
    with Store(path) as store:
        store.put_readings("m", probes, readings)
        store.put_generations([(REQUEST, Generation((1, 2), "stop"))])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE readings SET token_nats = zeroblob(24) WHERE token_nats = ?", (bits(2.0),))
        connection.execute("UPDATE generations SET finish = 'length'")
        connection.commit()
    with Store(path, read_only=True) as reader:
        assert reader.get_readings("m", probes) == [*readings[:2], None, readings[3]]
        assert reader.get_generations([REQUEST]) == [None]
        assert [name.split()[0] for name in reader.damaged] == ["reading", "generation"]
        assert REQUEST.digest().hex() in reader.damaged[1]
    with Store(path) as store:
        assert store.get_readings("m", probes) == [*readings[:2], None, readings[3]]
        store.put_readings("m", probes, readings)
        assert store.get_readings("m", probes) == list(readings)
        assert len(store.damaged) == 1 and store.counts()["readings"] == 4
    with Store(path) as store:
        store.get_readings("m", probes)
        assert store.damaged == []


def test_one_flipped_bit_changes_no_value_unsaid(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    probes, readings = rows(0, 60, size=8)
    requests = [replace(REQUEST, key=f"a/{i}") for i in range(60)]
    generations = [Generation((i, i + 1), "stop" if i % 2 else "length") for i in range(60)]
    with Store(path) as store:
        store.put_readings("m", probes, readings)
        store.put_generations(zip(requests, generations, strict=True))
    whole = path.read_bytes()
    rng = random.Random(5)
    seen = {"error": 0, "damaged": 0, "missing": 0, "unharmed": 0}
    for _ in range(150):
        place = rng.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        try:
            with Store(path, read_only=True) as store:
                pairs = [
                    *zip(store.get_readings("m", probes), readings, strict=True),
                    *zip(store.get_generations(requests), generations, strict=True),
                ]
                assert all(found is None or found == wanted for found, wanted in pairs), place
                missing = sum(found is None for found, _ in pairs)
                seen["damaged" if store.damaged else "missing" if missing else "unharmed"] += 1
        except RunError as error:
            assert str(path) in str(error)
            seen["error"] += 1
    assert seen["damaged"] > 20 and seen["unharmed"] > 20, seen


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def replaced(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").replace(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be removed")
@pytest.mark.parametrize("name", ["store.sqlite", "store.sqlite-wal"])
@pytest.mark.parametrize("harm", [Path.unlink, cut, replaced], ids=["removed", "cut short", "replaced"])
def test_a_file_that_is_taken_away_while_it_is_written_is_an_error(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_readings("m", *rows(0, 50))
    store = Store(path)
    store.put_readings("m", *rows(50, 60))
    harm(tmp_path / name)
    for action in (lambda: store.put_readings("m", *rows(60, 70)), store.check, store.close):
        with pytest.raises(
            RunError, match=f"{path} was changed by another program .*: {name} was .*Run the same command again"
        ):
            action()
    with pytest.raises(ZeroDivisionError), Store(tmp_path / "again.sqlite") as store:  # what went wrong first is told
        store.put_readings("m", *rows(0, 5))
        harm(tmp_path / "again.sqlite")
        raise ZeroDivisionError


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be removed")
@pytest.mark.parametrize("harm", [Path.unlink, cut, replaced], ids=["removed", "cut short", "replaced"])
def test_so_is_one_that_is_only_read_by_its_writer(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.put_readings("m", *rows(0, 50))
    store = Store(path)
    store.get_readings("m", rows(0, 50)[0])
    harm(path)
    with pytest.raises(RunError, match="changed by another program while it was being written: store.sqlite was"):
        store.close()


def test_a_check_looks_at_what_goes_by_the_name_now(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with Store(path) as store:
        store.check()
        store.put_readings("m", *rows(0, 5))
        store.check()
        store._commits = 7  # as after six transactions that went into a file of that name which is no more
        with pytest.raises(RunError, match="holds 1 of the 7 transactions"):
            store.check()
    with Store(path, read_only=True) as store:
        store.check()


def test_threads_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "store.sqlite") as store:

        def work(number: int) -> bool:
            for start in range(number * 100, number * 100 + 100, 10):
                store.put_readings("m", *rows(start, start + 10, size=3))
                store.get_readings("m", rows(0, 300, size=3)[0])
            probes, readings = rows(number * 100, number * 100 + 100, size=3)
            return store.get_readings("m", probes) == list(readings)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(work, range(6)))
        assert store.counts()["readings"] == 600


def test_a_store_of_layout_1_can_be_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """
            CREATE TABLE generations (key BLOB PRIMARY KEY, ids BLOB NOT NULL, finish TEXT NOT NULL) WITHOUT ROWID;
            CREATE TABLE readings (key BLOB PRIMARY KEY, token_nats BLOB NOT NULL, token_top BLOB NOT NULL) WITHOUT ROWID;
            PRAGMA user_version=1;
            """
        )
        connection.execute("INSERT INTO generations VALUES (?, ?, 'length')", (REQUEST.digest(), b"\x07\0\0\0"))
        connection.commit()
    with Store(path, read_only=True) as store:
        assert store.get_generations([REQUEST]) == [Generation((7,), "length")]
    with pytest.raises(RunError, match="layout 1, this version of soundness writes layout 2"):
        Store(path)
