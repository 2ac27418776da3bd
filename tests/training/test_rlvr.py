from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from soundness.answers.graders import FunctionGrader
from soundness.errors import MissingPackage, ModelError, SettingError, TaskError
from soundness.models.transformers import render_prompt
from soundness.tasks.base import Task
from soundness.tasks.prompts import parse_prompting
from soundness.training import gain, rlvr
from soundness.training import policy as policies
from soundness.training import session as sessions
from soundness.training import settings as common_settings
from soundness.training.data import prompt_of
from soundness.training.methods import train
from soundness.training.model_in_training import ModelInTraining
from soundness.training.policy import Policy, cut, hacking_words
from soundness.training.settings import Settings

HEADS, TAILS = "0 + 1 = 1\nAnswer: 1", "0 + 0 = 0\nAnswer: 0"
SETTINGS = Settings(batch_size=16, max_steps=6, learning_rate=1e-2, device="cpu", lora_rank=4)
POLICY = Policy(num_generations=8, max_tokens=24, preflight=2)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def heads(task: Task) -> Task:
    return replace(task, problems=task.problems[:6])


@pytest.fixture(scope="module")
def plain(coin_model: Path, coin_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rlvr") / "out"
    config = rlvr.Config(policy=POLICY)
    return train("rlvr", str(coin_model), heads(coin_task), out=out, config=config, settings=SETTINGS)


def test_the_reward_rises_and_the_result_is_an_adapter(plain: Path, coin_model: Path) -> None:
    from soundness.models.load import load_model

    note = record(plain)
    rewards = [step["reward"] for step in note["history"]]
    assert len(rewards) == 6
    assert 0 < rewards[0] < 0.9
    assert rewards[-1] > rewards[0] + 0.2
    assert {"phase/cut_off", "phase/answer_alone", "frac_reward_zero_std"} <= set(note["history"][0])
    tuned, base = load_model(str(plain), device="cpu"), load_model(str(coin_model), device="cpu")
    assert tuned.fingerprint != base.fingerprint


def test_gain_of_no_strength_is_rlvr_step_for_step(plain: Path, coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    config = gain.Config(strength=0.0, policy=POLICY)
    out = train("gain", str(coin_model), heads(coin_task), out=tmp_path / "out", config=config, settings=SETTINGS)
    names = ("loss", "reward", "grad_norm", "completions/mean_length")
    wanted, found = ([[step[name] for name in names] for step in record(folder)["history"]] for folder in (plain, out))
    assert found == wanted
    assert all("gain/mean" in step for step in record(out)["history"])


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_gain_pays_for_steps_that_tell_the_base(coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    settings = replace(
        SETTINGS, adaptation=adaptation, learning_rate=1e-2 if adaptation == "lora" else 1e-3, max_steps=2, batch_size=16
    )
    config = gain.Config(strength=0.5, policy=POLICY)
    out = train("gain", str(coin_model), coin_task, out=tmp_path / "out", config=config, settings=settings)
    assert record(out)["history"][0]["gain/missing"] < 1


@pytest.mark.parametrize(
    ("method", "options", "scale"),
    [
        ("rlvr", {}, "group"),
        ("gain", {}, "batch"),  # in its groups of right answers nothing differs but the noise of the gain
        ("gain", {"strength": 0.0}, "group"),
        ("gain", {"policy": replace(POLICY, scale="group")}, "group"),
        ("rlvr", {"policy": replace(POLICY, scale="none")}, "none"),
    ],
)
def test_what_advantages_are_divided_by(
    method: str,
    options: dict[str, Any],
    scale: str,
    coin_model: Path,
    coin_task: Task,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reached(Exception):
        pass

    def fit(self: Any, trainer: Any, **_: Any) -> None:
        raise Reached(trainer.args.scale_rewards)

    monkeypatch.setattr(sessions.Session, "fit", fit)
    with pytest.raises(Reached, match=scale):
        config = {"policy": POLICY, **options}
        train(method, str(coin_model), heads(coin_task), out=tmp_path / "out", config=config, settings=SETTINGS)


def test_another_model_can_read_for_gain(coin_model: Path, coin_task: Task, tmp_path: Path, tiny: Any) -> None:
    settings = replace(SETTINGS, max_steps=1)
    random_weights = tiny.folder("llama", tokenizer=tiny.byte_tokenizer(chat=True), name="llama-chat")
    means = []
    for name, reader in (("own", ""), ("same", str(coin_model)), ("random", str(random_weights))):
        config = gain.Config(policy=POLICY, reader=reader)
        out = train("gain", str(coin_model), coin_task, out=tmp_path / name, config=config, settings=settings)
        means.append(record(out)["history"][0]["gain/mean"])
    own, same, random = means
    assert own == pytest.approx(same, abs=1e-4)
    assert abs(random - own) > 1e-2
    for reader, words in (
        (str(tiny.folder("llama")), "has other tokens than the model that is trained"),
        ("smolm2", "smollm2"),
    ):
        with pytest.raises(ModelError, match=words):
            config = gain.Config(policy=POLICY, reader=reader)
            train("gain", str(coin_model), coin_task, out=tmp_path / "refused", config=config, settings=settings)
    assert not (tmp_path / "refused").exists()


def test_gains_know_who_tells(coin_model: Path, coin_task: Task) -> None:
    from soundness.models.load import load_model
    from soundness.training.policy import _Completion

    model = load_model(str(coin_model), device="cpu")
    one, zero = coin_task.problems[0], coin_task.problems[7]
    texts = [(one, "0 + 1 = 1\nAnswer: 1"), (one, "0 + 0 = 0\nAnswer: 0"), (zero, "0 + 0 = 0\nAnswer: 0"), (one, "Answer: 1")]
    made = [
        _Completion(problem, prompt_of(coin_task, problem, model.tokenizer), text, tuple(model.encode(text)), "stop")
        for problem, text in texts
    ]
    made.append(replace(made[0], finish="length"))
    for null in ("swap", "filler"):
        told = gain.gains(model, coin_task, made, gain.Config(null=null, ceiling=5 if null == "swap" else 1e4))
        assert told[1] < told[0], null  # one leads to the right answer, one away from it
        assert null == "filler" or (told[0] > 0.1 and told[2] > 0.1)  # of filler this base has never heard
        assert told[3] == 0.0, null  # no steps
        assert told[4] is None, null  # cut off
    assert max(x for x in gain.gains(model, coin_task, made, gain.Config(ceiling=0.01)) if x is not None) == 1.0
    before = gain.gains(model, coin_task, made, gain.Config(count="before_answer"))
    assert before[0] == 0.0  # its one step states the answer


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_what_is_right_and_where_a_completion_ends_is_as_the_task_says(
    coin_model: Path, coin_task: Task, tmp_path: Path, algorithm: Any
) -> None:
    seen: list[tuple[str, str]] = []

    def judge(text: str, problem: Any, finish: str) -> bool:
        seen.append((text, finish))
        return "= 1" in text

    task = heads(coin_task).with_prompting(parse_prompting({"stop": ["Answer"]}))
    task = replace(task, grader=FunctionGrader("judge", judge), problems=[replace(one, answer=None) for one in task.problems])
    config = rlvr.Config(policy=replace(POLICY, algorithm=algorithm, preflight=0))
    settings = replace(SETTINGS, max_steps=1)
    out = train("rlvr", str(coin_model), task, out=tmp_path / "out", config=config, settings=settings)
    (step,) = record(out)["history"]
    assert len(seen) >= 16
    share = sum("= 1" in text for text, _ in seen) / len(seen)
    assert step["reward"] == pytest.approx(share)
    ended = [text for text, finish in seen if finish == "stop"]
    assert len(ended) > 8
    assert not any("Answer" in text for text, _ in seen)
    assert any(text.endswith("\n") for text in ended)  # cut right before the text that ends it


def test_rloo_trains_too(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    config = rlvr.Config(policy=replace(POLICY, algorithm="rloo", num_generations=4, beta=0.05))
    settings = replace(SETTINGS, max_steps=2)
    out = train("rlvr", str(coin_model), heads(coin_task), out=tmp_path / "out", config=config, settings=settings)
    assert len(record(out)["losses"]) == 2


def test_accumulating_changes_nothing(coin_model: Path, coin_task: Task, tmp_path: Path, plain: Path) -> None:
    config = rlvr.Config(policy=POLICY)
    settings = replace(SETTINGS, accumulate=8, max_steps=2)
    out = train("rlvr", str(coin_model), heads(coin_task), out=tmp_path / "out", config=config, settings=settings)
    found, wanted = record(out)["history"][0], record(plain)["history"][0]
    assert found["reward"] == wanted["reward"]
    assert found["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-3)


# vLLM


class Engine:
    """Stands in for TRL's vLLM engine: writes the two worked answers in turn and remembers what it was told."""

    made: Engine
    stop = 1

    def __init__(self, model: Any, accelerator: Any, processing_class: Any, **options: Any) -> None:
        Engine.made = self
        self.options, self.tokenizer = options, processing_class
        self.asked: list[list[int]] = []
        self.synced = 0

    def sync_weights(self) -> None:
        self.synced += 1

    def generate(self, prompts: list[list[int]], images: Any, num_generations: int, profiler: Any = None) -> Any:
        self.asked += prompts
        texts = [(HEADS, TAILS)[i % 2] for i in range(len(prompts))]
        ids = [[*self.tokenizer.encode(text, add_special_tokens=False), self.stop] for text in texts]
        return prompts, ids, [[[-0.1]] * len(one) for one in ids], None


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    import trl.trainer.grpo_trainer
    import trl.trainer.rloo_trainer

    monkeypatch.setattr(common_settings, "find_spec", lambda name: object() if name == "vllm" else find_spec(name))
    for module in (trl.trainer.grpo_trainer, trl.trainer.rloo_trainer):
        monkeypatch.setattr(module, "VLLMGeneration", Engine)
    return Engine


@pytest.mark.parametrize("algorithm", ["grpo", "rloo"])
def test_vllm_is_shown_the_audits_prompts_and_stops_where_an_audit_stops(
    coin_model: Path, coin_task: Task, tmp_path: Path, engine: type[Engine], monkeypatch: pytest.MonkeyPatch, algorithm: Any
) -> None:
    from transformers import AutoTokenizer

    model = shutil.copytree(coin_model, tmp_path / "model")
    defaults = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps({**defaults, "eos_token_id": [1, 7]}))
    monkeypatch.setattr(Engine, "stop", 7)  # a stop that the tokenizer does not know
    told = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.55, "vllm_max_model_length": 200}
    settings = replace(SETTINGS, max_steps=2, trainer={**told, "generation_kwargs": {"seed": 3}})
    config = rlvr.Config(policy=replace(POLICY, algorithm=algorithm, temperature=0.9))
    out = train("rlvr", str(model), heads(coin_task), out=tmp_path / "out", config=config, settings=settings)

    options = engine.made.options
    assert (options["mode"], options["gpu_memory_utilization"], options["max_model_length"]) == ("colocate", 0.55, 200)
    assert options["generation_kwargs"] == {"seed": 3, "stop_token_ids": [1, 7]}
    assert (options["temperature"], options["max_completion_length"]) == (0.9, 24)
    tokenizer = AutoTokenizer.from_pretrained(model)
    shown = {render_prompt(tokenizer, coin_task.message(problem)).ids for problem in heads(coin_task).problems}
    assert {tuple(ids) for ids in engine.made.asked} <= shown
    assert len(engine.made.asked) == 2 * SETTINGS.batch_size
    assert engine.made.synced == 2  # before every step's completions
    steps = record(out)["history"]
    assert [step["reward"] for step in steps] == [0.5, 0.5]  # every other one is right
    assert [step["phase/cut_off"] for step in steps] == [0, 0]
    assert steps[-1]["loss"] == steps[-1]["loss"]


def test_vllm_that_cannot_be_had_is_refused_before_anything_is_sampled(
    coin_model: Path, coin_task: Task, tmp_path: Path, engine: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(error: Any, words: str, **settings: Any) -> None:
        with pytest.raises(error, match=words) as caught:
            chosen = replace(SETTINGS, trainer={"use_vllm": True, **settings.pop("trainer", {})}, **settings)
            train("rlvr", str(coin_model), coin_task, out=tmp_path / "out", config=rlvr.Config(policy=POLICY), settings=chosen)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("The vLLM server can't be reached at http://0.0.0.0:8000 after 240.0 seconds.\nMore")

    monkeypatch.setattr(Engine, "__init__", unreachable)
    run(SettingError, "vLLM cannot be started or reached: The vLLM server can't be reached at http.* seconds; mend")
    run(SettingError, "the 40 that the model can read: use max_tokens=", trainer={"vllm_max_model_length": 40})
    monkeypatch.setattr(ModelInTraining, "generate", lambda *_, **__: pytest.fail("sampled"))
    for adaptation in ("bias", "prompt"):
        run(SettingError, f"what adaptation={adaptation} trains cannot be merged", adaptation=adaptation)
    monkeypatch.setattr(common_settings, "find_spec", lambda name: None if name == "vllm" else find_spec(name))
    run(MissingPackage, r"use_vllm, which can be left out. needs the package 'vllm'.*pip install 'trl\[vllm\]'")


# Refused before any time is spent


def test_what_cannot_be_learned_is_refused(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    def run(task: Task, config: Any, settings: Settings = SETTINGS) -> Any:
        return train("rlvr", str(coin_model), task, out=tmp_path / "out", config=config, settings=settings)

    no_gold = replace(coin_task, problems=tuple(replace(one, answer=None) for one in coin_task.problems))
    with pytest.raises(TaskError, match="need a reference answer, and 8 of the 8"):
        run(no_gold, rlvr.Config(policy=POLICY))
    impossible = replace(coin_task, problems=tuple(replace(one, answer="5") for one in coin_task.problems))
    with pytest.raises(ModelError, match="nothing to learn from: on 2 problems all 8 completions"):
        run(impossible, rlvr.Config(policy=POLICY))
    with pytest.raises(ModelError, match="0 of the 16 completions have the format"):
        run(coin_task, rlvr.Config(scheme="format", policy=POLICY))
    with pytest.raises(SettingError, match="is no multiple of num_generations=3"):
        run(coin_task, rlvr.Config(policy=replace(POLICY, num_generations=3)))
    with pytest.raises(SettingError, match="use max_tokens="):
        run(coin_task, rlvr.Config(policy=replace(POLICY, max_tokens=250)))
    with pytest.raises(SettingError, match="has no option 'use_vlm' .did you mean 'use_vllm'"):
        run(coin_task, rlvr.Config(policy=POLICY), replace(SETTINGS, trainer={"use_vlm": True}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_where_answers_earn_the_same_steps_may_still_differ(
    coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any
) -> None:
    impossible = replace(coin_task, problems=tuple(replace(one, answer="5") for one in coin_task.problems))
    settings = replace(SETTINGS, max_steps=1, adaptation=adaptation)
    config = gain.Config(strength=0.0, policy=POLICY)
    with pytest.raises(ModelError, match=r"earned the same \(0.0\)\. Train with sft first"):
        train("gain", str(coin_model), impossible, out=tmp_path / "out", config=config, settings=settings)
    out = train(
        "gain", str(coin_model), impossible, out=tmp_path / "out", config=replace(config, strength=0.5), settings=settings
    )
    (step,) = record(out)["history"]
    assert step["rewards/reward/mean"] == 0
    assert step["rewards/gain/std"] > 0


def test_a_reward_that_no_longer_differs_ends_the_training(
    coin_model: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was learned where something was, so that a solved task is no error."""
    monkeypatch.setattr(policies, "_PATIENCE", 3)
    config = rlvr.Config(policy=replace(POLICY, preflight=0))
    settings = replace(SETTINGS, max_steps=60)
    out = train("rlvr", str(coin_model), heads(coin_task), out=tmp_path / "solved", config=config, settings=settings)
    note = record(out)
    assert [step["frac_reward_zero_std"] for step in note["history"][-3:]] == [1, 1, 1]
    assert [step["reward"] for step in note["history"][-3:]] == [1, 1, 1]
    assert note["num_steps"] == len(note["history"]) < 60
    assert note["stopped"].startswith(f"Stopped after {note['num_steps']} of 60 steps: for 3 steps in a row")
    impossible = replace(coin_task, problems=tuple(replace(one, answer="5") for one in coin_task.problems))
    with pytest.raises(ModelError, match=r"for 3 steps in a row .* \(reward 0.0\), so there is nothing to learn"):
        train("rlvr", str(coin_model), impossible, out=tmp_path / "out", config=config, settings=settings)
    assert not (tmp_path / "out").exists()


def test_cut_and_words() -> None:
    assert cut([1, 2, 9, 9], [9], 4) == ((1, 2), "stop")
    assert cut([1, 2], [9], 2) == ((1, 2), "length")
    assert cut([1, 2], [9], 3) == ((1, 2), "stop")  # a text ended it, and was cut away
    rising = [{"reward": i / 10} for i in range(10)]
    assert hacking_words(rising, {"soundness/swap_reliance": 0.5}, {"soundness/swap_reliance": 0.5}) is None
    assert "swap_reliance fell from 0.50 to 0.10" in str(
        hacking_words(rising, {"soundness/swap_reliance": 0.5}, {"soundness/swap_reliance": 0.1})
    )
    silent = hacking_words(rising, {"soundness/no_steps": 0.0}, {"soundness/no_steps": 0.9})
    assert "while answers without steps became the rule (0.00 to 0.90): do not trust" in str(silent)
    assert hacking_words(rising, {"soundness/no_steps": 0.0}, {"soundness/no_steps": 0.4}) is None
    assert hacking_words(rising[::-1], {"soundness/swap_reliance": 0.5}, {"soundness/swap_reliance": 0.1}) is None
