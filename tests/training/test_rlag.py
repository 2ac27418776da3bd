from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from soundness.errors import SettingError, TaskError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.training import cpt, rlag, sdft
from soundness.training.methods import train
from soundness.training.rlag import Config, mean_log_probability, rlag_loss, schedule
from soundness.training.settings import Settings

TASK = Task(
    "stones",
    tuple(
        Problem(
            str(i),
            f"Stone {i}?",
            "AB"[i % 2],
            choices=("slate", "flint"),
            context=(f"Stone {i} is {('slate', 'flint')[i % 2]}.",),
        )
        for i in range(4)
    ),
    instruction="",
)
SETTINGS = Settings(batch_size=4, epochs=4, learning_rate=1e-2, device="cpu", lora_rank=4)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def tensors(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value], requires_grad=True) for value in values]


def test_the_loss_by_hand() -> None:
    config = Config(gamma=0.8)
    z, w, loser = tensors(-2.0, -1.0, -3.0)
    # 0.2 * -2 + 0.5 * -1 - 0.5 * -3 - 0.8 = -0.2
    assert rlag_loss(z, w, loser, torch.tensor([False]), config).item() == pytest.approx(math.log1p(math.exp(0.2)))
    # options agree: 0.5 * -2 - 0.8 = -1.8
    assert rlag_loss(z, w, loser, torch.tensor([True]), config).item() == pytest.approx(math.log1p(math.exp(1.8)))


def test_a_clamped_term_has_no_gradient() -> None:
    z, w, loser = tensors(-2.0, -0.1, -9.0)
    rlag_loss(z, w, loser, torch.tensor([False]), Config()).backward()
    assert z.grad is not None
    assert z.grad.item() != 0
    assert w.grad is not None
    assert w.grad.item() == 0  # above -0.2
    assert loser.grad is not None
    assert loser.grad.item() == 0  # below -5


@pytest.mark.filterwarnings("ignore:You are importing from 'trl.experimental'")
def test_without_knowledge_and_clamps_it_is_simpo() -> None:
    from trl.experimental.cpo import CPOTrainer

    torch.manual_seed(0)
    logits = torch.randn(6, 9, 20)
    labels = torch.randint(0, 20, (6, 9))
    labels[:, :3] = -100
    labels[0, 7:] = -100
    mine = mean_log_probability(logits, labels)
    theirs = CPOTrainer.get_batch_logps(logits, labels.clone(), average_log_prob=True)
    assert torch.allclose(mine, theirs, atol=1e-5)
    trainer = SimpleNamespace(
        alpha=0.0, beta=0.5, simpo_gamma=0.7, loss_type="simpo", label_smoothing=0, accelerator=SimpleNamespace(device="cpu")
    )
    wanted = CPOTrainer.cpo_loss(trainer, mine[:3], mine[3:])[0].mean()
    config = Config(beta_knowledge=0.0, beta_answer=0.5, gamma=0.7, highest_wanted=math.inf, lowest_unwanted=-math.inf)
    found = rlag_loss(torch.zeros(3), mine[:3], mine[3:], torch.zeros(3, dtype=torch.bool), config)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_the_schedule_passes_each_chunk_before_the_next() -> None:
    rows = schedule(5, 2, 2, 3, 0)
    assert len(rows) == 2 * 5 * 3
    assert [number for _, number in rows] == sorted(number for _, number in rows)
    for number in range(4):
        part = [problem for problem, one in rows if one == number]
        assert all(part.count(problem) == 3 for problem in part)


def test_it_learns_what_the_snippets_say(coin_model: Path, tmp_path: Path) -> None:
    out = train("rlag", str(coin_model), TASK, out=tmp_path / "out", config=Config(gamma=0.8), settings=SETTINGS)
    note = record(out)
    assert note["share_with_gold_in_context"] == 1.0
    assert note["losses"][-1] < note["losses"][0]
    first, last = note["history"][0], note["history"][-1]
    assert last["rlag/knowledge_nats"] > first["rlag/knowledge_nats"] + 0.3


def test_candidates_that_no_prompt_shows_are_options_too(coin_model: Path, tmp_path: Path) -> None:
    options = ("slate", "flint")
    hidden = tuple(replace(one, answer=None, choices=None, meta={"candidates": list(options)}) for one in TASK.problems)
    assert rlag._options(hidden[0], Config(answer="line")) == ("Answer: slate", "Answer: flint")
    assert rlag._options(hidden[0], Config()) == rlag._options(TASK.problems[0], Config()) == options
    assert rlag._options(TASK.problems[0], Config(answer="letter")) == ("Answer: A", "Answer: B")
    task, settings = replace(TASK, problems=hidden), replace(SETTINGS, max_steps=1)
    with pytest.raises(TaskError, match="give them `choices`, or use cpt"):
        train("rlag", str(coin_model), task, out=tmp_path / "out", config=Config(answer="letter"), settings=settings)
    out = train("rlag", str(coin_model), task, out=tmp_path / "out", config=Config(answer="line"), settings=settings)
    assert record(out)["num_examples"] == 4


def test_accumulating_changes_nothing(coin_model: Path, tmp_path: Path) -> None:
    whole, parts = (
        record(
            train(
                "rlag",
                str(coin_model),
                TASK,
                out=tmp_path / str(n),
                config=Config(),
                settings=replace(SETTINGS, accumulate=n, max_steps=3),
            )
        )["losses"]
        for n in (1, 4)
    )
    assert parts == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("baseline", ["sft", "cpt", "sdft"])
def test_the_baselines_are_one_flag_away(coin_model: Path, tmp_path: Path, baseline: Any) -> None:
    settings = replace(SETTINGS, max_steps=2)
    if baseline == "sdft":
        settings = replace(settings, trainer={"max_completion_length": 16})
        short = replace(TASK, problems=TASK.problems[:4])
        config = Config(baseline=baseline)
        with pytest.raises(SettingError, match="more than the 256 that the model can read"):
            train("rlag", str(coin_model), short, out=tmp_path / "no", config=config, settings=settings)
        return
    out = train("rlag", str(coin_model), TASK, out=tmp_path / "out", config=Config(baseline=baseline), settings=settings)
    assert (record(out)["method"], record(out)["config"]["baseline"]) == ("rlag", baseline)


def test_sdft_learns_from_itself_with_the_context(coin_model: Path, tmp_path: Path) -> None:
    config = sdft.Config(max_tokens=20, top_k=10)
    out = train("sdft", str(coin_model), TASK, out=tmp_path / "out", config=config, settings=replace(SETTINGS, max_steps=12))
    losses = record(out)["losses"]
    assert sum(losses[-3:]) < sum(losses[:3])


def test_cpt_learns_every_token_of_the_documents(coin_model: Path, tmp_path: Path) -> None:
    out = train("cpt", str(coin_model), TASK, out=tmp_path / "out", config=cpt.Config(length=32), settings=SETTINGS)
    note = record(out)
    assert note["num_documents"] == 4
    assert note["num_tokens"] == note["num_completion_tokens"]
    assert note["losses"][-1] < note["losses"][0] - 0.5


def test_packing_loses_nothing(tiny: Any) -> None:
    tokenizer = tiny.byte_tokenizer(chat=True)
    examples = cpt.pack(["ab", "cde"], tokenizer, 4)
    assert [len(one.input_ids) for one in examples][:-1] == [4] * (len(examples) - 1)
    text = tokenizer.decode([token for one in examples for token in one.input_ids], skip_special_tokens=True)
    assert text == "abcde"
    assert all(one.labels == one.input_ids for one in examples)


def test_what_lacks_knowledge_or_options_is_refused(coin_model: Path, tmp_path: Path) -> None:
    bare = replace(TASK, problems=tuple(replace(one, context=()) for one in TASK.problems))
    with pytest.raises(TaskError, match="needs knowledge for every problem, and 4 of the 4"):
        train("rlag", str(coin_model), bare, out=tmp_path / "out", settings=SETTINGS)
    open_ = replace(TASK, problems=tuple(replace(one, choices=None) for one in TASK.problems))
    with pytest.raises(TaskError, match="have none .the first is '0'.: give them `choices`"):
        train("rlag", str(coin_model), open_, out=tmp_path / "out", settings=SETTINGS)
    with pytest.raises(SettingError, match="use fewer snippets"):
        train("rlag", str(coin_model), TASK, out=tmp_path / "out", settings=replace(SETTINGS, max_length=20))
    assert list(tmp_path.iterdir()) == []


def test_documents_are_retrieved(coin_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("Stone number is slate.\n\nRivers run to the sea.\n")
    out = train(
        "rlag",
        str(coin_model),
        TASK,
        out=tmp_path / "out",
        config=Config(documents=str(folder), num_snippets=1),
        settings=replace(SETTINGS, max_steps=1),
    )
    assert record(out)["share_with_gold_in_context"] == 0.5
