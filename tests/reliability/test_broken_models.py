"""One model that gives no numbers is `broken` in its row; the others are audited as if it were not there."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from soundness.auditing import audit
from soundness.errors import BrokenModelError
from soundness.models.scripted import load_scripted
from soundness.records import Probe, Problem, Reading, Word
from soundness.report.gate import gate, junit
from soundness.report.page import write_page
from soundness.report.show import print_problem
from soundness.report.terminal import print_run
from soundness.runs.folder import Run, open_run
from soundness.tasks.base import Task

BASE, TUNED = "scripted:computes?slip=0.3", "scripted:ignores-chain?slip=0.3&seed=1"


class Broken:
    """A scripted model whose log-probabilities are `value` from its `after`-th reading on."""

    def __init__(self, value: float, after: int = 0, name: str = "broken") -> None:
        self.inner = load_scripted("computes?slip=0.4&seed=9")
        self.value, self.after, self.count = value, after, 0
        self.name, self.fingerprint = name, f"fingerprint of {name}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        self.count += 1
        readings = self.inner.read(probes)
        if self.count <= self.after:
            return readings
        return [Reading((*reading.token_nats[:-1], self.value), reading.token_top) for reading in readings]


def run(out: Path, *tuned: Any, base: Any = BASE, **options: Any) -> Run:
    given: dict[str, Any] = {"task": "chain-sum", "limit": 6, "metrics": ["info_gain"], "noise_floor": False, **options}
    return audit(base, list(tuned), out=out, **given)


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_the_others_are_audited_as_if_it_were_not_there(tmp_path: Path, value: float, after: int) -> None:
    run(tmp_path / "beside", Broken(value, after), TUNED)
    run(tmp_path / "alone", TUNED)
    beside, alone = open_run(tmp_path / "beside"), open_run(tmp_path / "alone")
    assert [verdict.word for verdict in beside.verdicts] == [Word.BROKEN, alone.verdicts[0].word]
    assert beside.verdicts[0].tuned == "broken" and str(value) in beside.verdicts[0].evidence_for[0]
    assert beside.verdicts[1] == alone.verdicts[0]
    assert beside.comparisons == alone.comparisons
    assert (beside.scores(), beside.readings(), beside.chains()) == (alone.scores(), alone.readings(), alone.chains())
    assert (beside.cases(), beside.edits()) == (alone.cases(), alone.edits())


def test_one_that_breaks_while_it_is_asked_beyond_the_task_leaves_nothing_behind(tmp_path: Path) -> None:
    late = Broken(math.nan, 2)
    metrics = ["info_gain", "forgetting"]
    run(tmp_path / "beside", TUNED, late, metrics=metrics)
    run(tmp_path / "alone", TUNED, metrics=metrics)
    beside, alone = open_run(tmp_path / "beside"), open_run(tmp_path / "alone")
    assert late.count == 3 and [verdict.word for verdict in beside.verdicts][1] is Word.BROKEN
    assert beside.comparisons == alone.comparisons and beside.scores() == alone.scores()


def test_a_run_of_broken_models_alone_is_finished_too_and_shown_everywhere(tmp_path: Path) -> None:
    run(tmp_path / "run", Broken(math.nan), Broken(math.inf, name="broken too"))
    found = open_run(tmp_path / "run")
    assert [verdict.word for verdict in found.verdicts] == [Word.BROKEN, Word.BROKEN] and found.comparisons == []
    decided = gate(found)
    assert decided.exit_code == 1 and decided.failed == ("broken", "broken too")
    assert 'failures="2"' in junit(decided, found)
    out = StringIO()
    print_run(found, Console(file=out, width=100))
    print_problem(found, found.problems()[0].id, Console(file=out, width=100))
    assert "broken too: broken" in out.getvalue() and "gives nan where a log-probability was wanted" in out.getvalue()
    assert "gives no numbers" in write_page(found).read_text()


def test_a_broken_base_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrokenModelError, match="broken gives nan where .*--dtype float32"):
        run(tmp_path / "run", TUNED, base=Broken(math.nan))
    assert not open_run(tmp_path / "run").finished


def test_two_processes_can_tell_each_other() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(BrokenModelError("why", "who")))
    assert (str(error), error.fingerprint) == ("why", "who")


def test_real_weights_with_nan(tiny: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "nan"
    module = AutoModelForCausalLM.from_pretrained(tiny.folder("llama"), dtype=torch.float32)
    with torch.no_grad():
        module.model.layers[1].mlp.up_proj.weight[3] = torch.nan
    module.save_pretrained(folder)
    tiny.byte_tokenizer().save_pretrained(folder)
    questions = Task("sums", tuple(Problem(f"p{i}", f"What is {i} + {i}?", str(2 * i)) for i in range(4)))
    options = {"metrics": ["info_gain"], "max_tokens": 12, "noise_floor": False, "dtype": "float32", "device": "cpu"}
    second = tiny.folder("llama", seed=3)
    audit(str(tiny.folder("llama")), [str(folder), str(second)], questions, out=tmp_path / "run", **options)
    found = open_run(tmp_path / "run")
    assert found.verdicts[0].word is Word.BROKEN and "NaN or infinities" in found.verdicts[0].evidence_for[0]
    assert found.verdicts[1].word is Word.INSUFFICIENT and {one.tuned for one in found.comparisons} == {str(second)}
    assert json.loads((tmp_path / "run" / "run.json").read_text())["verdicts"][0]["word"] == "broken"
