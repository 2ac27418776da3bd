from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from soundness.papers.catalogue import REPRODUCTIONS


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The reproduction of planted figures, fresh, and the only one there is."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "toy_paper", raising=False)
    before = dict(REPRODUCTIONS)
    REPRODUCTIONS.clear()
    REPRODUCTIONS["toy"] = "toy_paper"
    yield importlib.import_module("toy_paper")
    REPRODUCTIONS.clear()
    REPRODUCTIONS.update(before)  # whole, because the order is that of the tables
