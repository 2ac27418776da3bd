"""Does a fine-tuned model still reason its way to the answer, or only land on it?

import soundness
run = soundness.audit(base="smollm2", tuned=["runs/sft"], task="gsm8k_test.jsonl", limit=24, out="runs/first")
print(run.verdicts[0].word, run.comparison("info_gain"))
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundness.auditing import audit as audit
    from soundness.auditing import score as score
    from soundness.errors import SoundnessError as SoundnessError
    from soundness.models.base import Model as Model
    from soundness.models.load import load_model as load_model
    from soundness.models.scripted import ScriptedModel as ScriptedModel
    from soundness.records import Probe as Probe
    from soundness.records import Reading as Reading
    from soundness.runs.folder import Run as Run
    from soundness.runs.folder import open_run as open_run
    from soundness.tasks.base import Task as Task
    from soundness.tasks.base import load_task as load_task

_WHERE = {
    "Model": "soundness.models.base",
    "Probe": "soundness.records",
    "Reading": "soundness.records",
    "Run": "soundness.runs.folder",
    "ScriptedModel": "soundness.models.scripted",
    "SoundnessError": "soundness.errors",
    "Task": "soundness.tasks.base",
    "audit": "soundness.auditing",
    "load_model": "soundness.models.load",
    "load_task": "soundness.tasks.base",
    "open_run": "soundness.runs.folder",
    "score": "soundness.auditing",
}
__all__ = [
    "Model",
    "Probe",
    "Reading",
    "Run",
    "ScriptedModel",
    "SoundnessError",
    "Task",
    "audit",
    "load_model",
    "load_task",
    "open_run",
    "score",
]
__version__ = _version("soundness")


def __getattr__(name: str) -> Any:
    # Names are fetched when they are used, so that `import soundness` and the command line start without torch.
    if name in _WHERE:
        value = getattr(import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'soundness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
