from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from soundness.papers.catalogue import REPRODUCTIONS


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The reproduction of planted figures, fresh, and the only one there is."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delitem(sys.modules, "toy_paper", raising=False)
    for name in [*REPRODUCTIONS]:
        monkeypatch.delitem(REPRODUCTIONS, name)
    monkeypatch.setitem(REPRODUCTIONS, "toy", "toy_paper")
    return importlib.import_module("toy_paper")
