from __future__ import annotations

import json
from types import ModuleType

import pytest

from soundness.errors import RunError, SettingError
from soundness.papers.base import State
from soundness.papers.catalogue import findings, read_result
from soundness.papers.running import reproduce


@pytest.fixture(autouse=True)
def only_toys(toy: ModuleType) -> None:
    """Nothing else is there."""


def test_everything_is_written_and_reads_back(toy, tmp_path):
    told = []
    result = reproduce("toy", out=tmp_path, seeds=3, on_progress=lambda *what: told.append(what))
    folder = tmp_path / "toy" / "tiny"
    assert read_result((folder / "results.json").read_text()) == result
    assert [seed["seed"] for seed in result.seeds] == [0, 1, 2] == toy.CALLS
    assert result.sizes == {"num_toys": 2} and result.inputs == {"toys.jsonl": "absent"}
    assert result.command == "soundness reproduce toy --scale tiny --seeds 3"
    assert {"python", "soundness", "torch"} <= set(result.versions)
    assert findings(toy.PAPER, result)[1] is State.CONFIRMED
    assert (folder / "toy-joy.svg").read_text().startswith("<svg")
    assert (folder / "toy.md").is_file() and (folder / "page.html").is_file()
    assert told[0] == ("seed 0: playing", 1, 1)


def test_seeds_that_are_there_are_not_run_again(toy, tmp_path):
    first = reproduce("toy", out=tmp_path, seeds=2)
    again = reproduce("toy", out=tmp_path, seeds=3)
    assert toy.CALLS == [0, 1, 2]
    assert again.seeds[:2] == first.seeds
    assert reproduce("toy", out=tmp_path, seeds=1).seeds == first.seeds[:1]


def test_a_killed_seed_is_run_and_the_others_are_kept(toy, tmp_path, monkeypatch):
    run = toy.run

    def dies(scale, seed, out, told):
        if seed == 1:
            raise KeyboardInterrupt
        return run(scale, seed, out, told)

    monkeypatch.setattr(toy, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        reproduce("toy", out=tmp_path, seeds=3)
    monkeypatch.setattr(toy, "run", run)
    reproduce("toy", out=tmp_path, seeds=3)
    assert toy.CALLS == [0, 1, 2]


@pytest.mark.parametrize("what", ["sizes", "revision", "data"])
def test_other_settings_are_run_anew(toy, tmp_path, monkeypatch, what):
    from dataclasses import replace

    reproduce("toy", out=tmp_path, seeds=2)
    if what == "sizes":
        monkeypatch.setitem(toy.SCALES, "tiny", toy.Scale(3))
    elif what == "revision":
        monkeypatch.setattr(toy, "PAPER", replace(toy.PAPER, revision="2"))
    result = reproduce("toy", out=tmp_path, seeds=2, data=tmp_path if what == "data" else None)
    assert toy.CALLS == [0, 1, 0, 1]
    assert "data" not in result.sizes  # where it lies says nothing
    if what == "data":
        assert result.inputs == {"toys.jsonl": "abc"}


def test_processes_side_by_side_find_the_same(toy, tmp_path):
    apart = reproduce("toy", out=tmp_path / "apart", seeds=2, workers=2)
    assert toy.CALLS == []  # they ran elsewhere
    assert apart.seeds == reproduce("toy", out=tmp_path / "alone", seeds=2).seeds


def test_a_figure_that_is_nowhere_is_our_own_mistake(toy, tmp_path, monkeypatch):
    monkeypatch.delitem(toy.PLANTED, "mess")
    with pytest.raises(AssertionError, match="gave no mess"):
        reproduce("toy", out=tmp_path)


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(SettingError, match="no reproduction 'toi'.*did you mean 'toy'"):
        reproduce("toi", out=tmp_path)
    with pytest.raises(SettingError, match="no scale 'tinny'.*did you mean 'tiny'"):
        reproduce("toy", out=tmp_path, scale="tinny")
    with pytest.raises(SettingError, match="--seeds is 0"):
        reproduce("toy", out=tmp_path, seeds=0)
    with pytest.raises(SettingError, match="--workers is 0"):
        reproduce("toy", out=tmp_path, workers=0)
    with pytest.raises(SettingError, match="is no folder"):
        reproduce("toy", out=tmp_path, data=tmp_path / "none")
    assert not any(tmp_path.iterdir())
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SettingError, match=r"holds other things \(thesis.tex\)"):
        reproduce("toy", out=tmp_path)
    with pytest.raises(SettingError, match="is a file"):
        reproduce("toy", out=tmp_path / "thesis.tex")


def test_a_damaged_seed_is_said(tmp_path):
    reproduce("toy", out=tmp_path, seeds=1)
    (tmp_path / "toy" / "tiny" / "seed-0.json").write_text('{"settings"')
    with pytest.raises(RunError, match=r"seed-0.json is damaged"):
        reproduce("toy", out=tmp_path, seeds=1)


def test_two_at_once_do_not_write_to_one_folder(tmp_path):
    from filelock import FileLock

    reproduce("toy", out=tmp_path, seeds=1)
    with FileLock(tmp_path / "toy" / "tiny" / ".lock"), pytest.raises(RunError, match="another process"):
        reproduce("toy", out=tmp_path, seeds=1)


def test_one_seed_is_never_enough(toy, tmp_path):
    result = reproduce("toy", out=tmp_path, seeds=1)
    assert findings(toy.PAPER, result)[1] is State.NOT_REACHED
    assert json.loads(result.text())["seeds"][0]["figures"]["joy"] == 0.5
