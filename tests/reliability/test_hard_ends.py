"""Kills, full disks and contended folders: nothing is lost, and the same command ends with the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, signals and limits are Unix things")

DRIVER = Path(__file__).parent / "hard_ends.py"


def attack(what: str, count: int, seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, str(DRIVER), what, str(count), str(seed), str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    print(f"\n{found}")  # noqa: T201  for docs/reliability.md, with -s
    assert not any(kind["wrong"] for kind in found.values()) and "Traceback" not in done.stderr, (
        f"{found}\n{done.stderr[-3_000:]}"
    )
    return found


def test_one_of_each(tmp_path: Path) -> None:
    found = attack("kill,grow,full,contend,score", 1, 1, tmp_path)
    assert all(kind["tried"] == 1 for kind in found.values()) and len(found) == 5


@pytest.mark.slow
@pytest.mark.parametrize(("what", "count"), [("kill", 60), ("grow", 30), ("full", 40), ("contend", 25), ("score", 30)])
def test_many(what: str, count: int, tmp_path: Path) -> None:
    found = attack(what, count, 2, tmp_path)[what]
    seen = {"kill": "killed", "score": "killed", "grow": "as it was", "full": "said", "contend": "refused"}[what]
    assert found[seen] > count / 4, found
