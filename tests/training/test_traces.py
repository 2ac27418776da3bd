from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.errors import SettingError
from soundness.tasks.base import Task
from soundness.training.data import prompt_of
from soundness.training.model_in_training import ModelInTraining
from soundness.training.traces import longest_match, make_traces, span_confidence


def test_the_longest_run_of_tokens_is_found() -> None:
    assert longest_match([5, 6], [1, 5, 6, 2]) == (1, 3)
    assert longest_match([5, 6, 7], [5, 6, 9, 6, 7]) == (3, 5)  # the last of equals
    assert longest_match([5, 6], [6, 5]) == (1, 2)
    assert longest_match([5], [1, 2]) is None
    assert longest_match([], [1, 2]) is None


def test_confidence_on_constructed_logits() -> None:
    # p = .7, .2, .1 at the first token of the span; .5, .5, 0 at the second.
    logits = torch.log(torch.tensor([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1], [0.5, 0.5, 1e-30]]))
    ids, answer = [2, 0, 1], [0, 1]
    assert span_confidence(logits, ids, answer, "margin") == (pytest.approx((0.5 + 0.0) / 2, abs=1e-6), True)
    assert span_confidence(logits, ids, answer, "probability") == (pytest.approx((0.7 + 0.5) / 2), True)
    entropy = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    wanted = 1 - (entropy + math.log(2)) / 2 / math.log(3)
    assert span_confidence(logits, ids, answer, "entropy") == (pytest.approx(wanted, abs=1e-5), True)
    assert span_confidence(logits, ids, [9], "margin") == (0.0, False)
    with pytest.raises(SettingError, match="did you mean 'margin'"):
        span_confidence(logits, ids, answer, "margins")


@pytest.fixture(scope="module")
def model(coin_model: Path) -> ModelInTraining:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(coin_model, dtype=torch.float32)
    return ModelInTraining(module, AutoTokenizer.from_pretrained(coin_model))


@pytest.fixture(scope="module")
def task(coin_task: Task) -> Task:
    """Five problems whose questions are of different lengths."""
    return replace(
        coin_task,
        problems=tuple(replace(one, question="Well. " * i + one.question) for i, one in enumerate(coin_task.problems[:5])),
    )


@pytest.mark.parametrize("measure", ["margin", "probability", "entropy"])
def test_a_batch_is_what_each_trace_is_alone(model: ModelInTraining, task: Task, measure: str) -> None:
    options: dict[str, Any] = {"num_traces": 3, "max_tokens": 24, "measure": measure}
    together = make_traces(model, task, **options)
    assert len(together) == 15
    alone = [one for problem in task.problems for one in make_traces(model, replace(task, problems=(problem,)), **options)]
    for one, other in zip(together, alone, strict=True):
        assert (one.problem_id, one.ids, one.answer, one.found, one.finish) == (
            other.problem_id,
            other.ids,
            other.answer,
            other.found,
            other.finish,
        )
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert sum(one.found for one in together) > 5
    assert len({round(one.confidence, 3) for one in together}) > 3
    # The same from one whole pass over the text.
    for one in together[:6]:
        prompt = prompt_of(task, task.by_id[one.problem_id], model.tokenizer).ids
        with torch.inference_mode():
            logits = model.shared.module(torch.tensor([[*prompt, *one.ids]])).logits[0]
        wanted, found = span_confidence(logits[len(prompt) - 1 : -1], one.ids, model.encode(one.answer), measure)
        assert found == one.found
        assert one.confidence == pytest.approx(wanted, abs=1e-4)
    first = {one.problem_id: one.ids[0] for one in reversed(together)}
    prompt = prompt_of(task, task.problems[0], model.tokenizer).ids
    with torch.inference_mode():
        assert first[task.problems[0].id] == int(model.shared.module(torch.tensor([prompt])).logits[0, -1].argmax())


def test_logits_are_asked_for_in_parts(model: ModelInTraining, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    from soundness.training import traces

    whole = make_traces(model, task, num_traces=2, max_tokens=24, measure="margin")
    monkeypatch.setattr(traces, "_LOGITS", 1)
    monkeypatch.setattr(traces, "_AT_ONCE", 3)
    parts = make_traces(model, task, num_traces=2, max_tokens=24, measure="margin")
    assert [one.ids for one in parts] == [one.ids for one in whole]
    assert [one.confidence for one in parts] == pytest.approx([one.confidence for one in whole], abs=1e-4)
