from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.errors import RunError, SettingError
from soundness.models.load import load_model
from soundness.options import build, describe, parse_pairs
from soundness.records import Probe
from soundness.tasks.base import Task
from soundness.training.methods import (
    METHODS,
    about,
    dry_run,
    load_method,
    read_config,
    train,
    train_once,
)
from soundness.training.results import checkpoints
from soundness.training.settings import Settings

SETTINGS = Settings(batch_size=8, max_steps=4, learning_rate=1e-2, device="cpu", lora_rank=4)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def test_every_method_says_what_it_is() -> None:
    for name in METHODS:
        found = about(name)
        assert found.name == name
        assert all((found.title, found.papers, found.needs, found.cost, found.when))
        module = load_method(name)
        assert module.Config() == module.Config()
        assert callable(module.learn)
    with pytest.raises(SettingError, match="did you mean 'rlvr'"):
        load_method("rlrv")


def test_a_file_fills_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "method.toml"
    file.write_text(
        'scheme = "format"\n[policy]\nnum_generations = 4\nbeta = 1\n[settings]\nbatch_size = 16\n[trainer]\nuse_vllm = false\n'
    )
    config, common = read_config("rlvr", file, {"anchored": False})
    assert (config.scheme, config.anchored, config.policy.num_generations, config.policy.beta) == ("format", False, 4, 1.0)
    assert common == {"batch_size": 16, "trainer": {"use_vllm": False}}
    for text, words in (
        ("schem = 1", "method.toml: there is no option 'schem' .did you mean 'scheme'"),
        (
            "[policy]\nnum_generation = 4",
            r"method.toml: \[policy\]: there is no option 'num_generation' .did you mean 'num_generations'",
        ),
        ("[settings]\nbatchsize = 4", "no option 'batchsize' .did you mean 'batch_size'"),
        ("[policy]\nnum_generations = 'four'", "num_generations wants a whole number"),
        ("anchored = 1", "anchored wants true or false"),
        ("scheme = 'formats'", "scheme wants one of binary, format, huatuo, and it is 'formats' .did you mean 'format'"),
        ("[policy]\nscale = 1", "scale wants one of auto, group, batch, none, and it is 1$"),
        ("[policy]\nnum_generations = 1", "num_generations must be at least 2, and it is 1"),
        ("policy = 1", "policy wants a table, and it is 1"),
        ("[settings]\nmax_steps = 'ten'", r"\[settings\]: max_steps wants a whole number, and it is 'ten'"),
        ("[settings]\nadaptation = 'LoRA'", "adaptation wants one of lora, full, bias, prompt"),
        ("settings = 1", "settings and trainer are tables"),
        ("scheme =", "is not TOML"),
    ):
        file.write_text(text)
        with pytest.raises(SettingError, match=words):
            read_config("rlvr", file)
    file.write_text("[policy]\nnum_generations = 4")
    config, _ = read_config("rlsf", file)
    assert (config.policy.num_generations, config.policy.beta, config.policy.temperature) == (4, 0.05, 0.7)  # rlsf's own
    shown = {one.name: one.default for one in describe(config)}
    assert (shown["policy.num_generations"], shown["policy.beta"], shown["num_traces"]) == (4, 0.05, config.num_traces)
    file.write_text("hops = [1, 'two']")
    with pytest.raises(SettingError, match=r"hops wants a list \(each a whole number\), and it is \[1, 'two'\]"):
        read_config("curriculum", file)
    with pytest.raises(SettingError, match="learning wants a table"):
        read_config("curriculum", None, {"learning": "fast"})
    assert read_config("curriculum", None, {"hops": [1, 2]})[0].hops == (1, 2)
    with pytest.raises(SettingError, match="there is no file"):
        read_config("rlvr", tmp_path / "none.toml")
    with pytest.raises(SettingError, match="an option is NAME=VALUE"):
        parse_pairs(["scheme"])


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_its_own_defaults_as_options(name: str) -> None:
    kind = load_method(name).Config
    assert build(kind, asdict(kind()), where=name) == kind()
    assert build(Settings, asdict(Settings()), where="settings") == Settings()


@pytest.mark.parametrize("adaptation", ["lora", "full", "bias", "prompt"])
def test_every_adaptation_learns_and_can_be_audited(coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    rate = {"lora": 1e-2, "full": 1e-3, "bias": 3e-2, "prompt": 3e-2}[adaptation]
    settings = replace(SETTINGS, adaptation=adaptation, learning_rate=rate, max_steps=8)
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=settings)
    losses = record(out)["losses"]
    assert losses[-1] < losses[0]
    tuned, base = load_model(str(out), device="cpu"), load_model(str(coin_model), device="cpu")
    probe = Probe(tuple(base.render("Toss 1.").ids), tuple(base.encode("0 + 1")))
    assert tuned.read([probe])[0].nats != base.read([probe])[0].nats
    assert tuned.generate([probe.prefix], max_tokens=3)[0].ids


@pytest.mark.filterwarnings("ignore:Detected that the base layer has no bias")
def test_bias_only_is_one_vector_per_layer_and_nothing_else(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=replace(SETTINGS, adaptation="bias"))
    weights = load_file(out / "adapter_model.safetensors")
    assert len(weights) == 2
    assert all(one.numel() == 48 for one in weights.values())
    assert all(one.abs().max() > 0 for one in weights.values())
    plain = AutoModelForCausalLM.from_pretrained(coin_model).eval()
    wrapped = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(coin_model), out).eval()
    ids = torch.tensor([[5, 60, 7, 8]])
    with torch.no_grad():
        before = plain(ids, output_hidden_states=True).hidden_states
        after = wrapped(ids, output_hidden_states=True).hidden_states
        with wrapped.disable_adapter():
            off = wrapped(ids).logits
    vector = next(one for name, one in weights.items() if "layers.0." in name).flatten()
    assert torch.equal(after[0], before[0])
    assert torch.allclose(after[1], before[1] + vector, atol=1e-6)  # h <- h + s after the first layer, at every position
    assert torch.equal(off, plain(ids).logits)


def test_parts_of_a_batch_add_up(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    whole, parts = (
        record(train("sft", str(coin_model), coin_task, out=tmp_path / str(n), settings=replace(SETTINGS, accumulate=n)))[
            "losses"
        ]
        for n in (1, 8)
    )
    assert parts == pytest.approx(whole, rel=1e-4)


EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "method.py"


def test_a_method_of_a_users_own_runs_by_its_file(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    code = EXAMPLE.read_text().splitlines()
    start = code.index("class RejectionSampling:")
    assert len([line for line in code[start:] if line.strip()]) <= 42
    spec = f"{EXAMPLE}:RejectionSampling"
    assert about(spec).name == "rejection-sampling"
    assert {option.name for option in describe(load_method(spec).Config())} == {"samples", "max_tokens", "temperature"}
    config, _ = read_config(spec, None, {"samples": 4, "max_tokens": 24})
    out = train(spec, str(coin_model), coin_task, out=tmp_path / "out", config=config, settings=SETTINGS)
    note = record(out)
    assert (note["method"], note["num_drawn"]) == (spec, 32)
    assert 0 < note["num_right"] < 32  # the model tosses a coin
    assert note["num_examples"] == note["num_right"]
    assert note["losses"][-1] < note["losses"][0]
    again = train_once(spec, str(coin_model), coin_task, out=tmp_path / "out", config=config, settings=SETTINGS)
    assert again == out
    cost = dry_run(spec, str(coin_model), coin_task, config=config, settings=replace(SETTINGS, max_steps=None))
    assert cost.num_examples == note["num_right"]


def test_a_file_that_holds_no_method_says_what_it_lacks(tmp_path: Path) -> None:
    head = "from soundness.training.settings import About\nfrom soundness.options import options\n"
    words = "ABOUT = About('mine', 'title', (), 'needs', 'cost', 'when')"
    for number, (body, lacks) in enumerate(
        (
            ("class Mine: pass", "has no ABOUT that is an About: a method has ABOUT, Config and learn .examples/method.py"),
            (f"class Mine:\n    {words}", "has no Config made by soundness.options.options"),
            (f"class Mine:\n    {words}\n    @options\n    class Config: pass", "has no function learn"),
            ("class Mien: pass", "has no 'Mine' .did you mean 'Mien'"),
            ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        )
    ):
        file = tmp_path / f"method_{number}.py"
        file.write_text(head + body + "\n")
        with pytest.raises(SettingError, match=lacks) as caught:
            load_method(f"{file}:Mine")
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match="no file .*none.py"):
        load_method(f"{tmp_path}/none.py:Mine")


def test_checkpoints_are_kept_on_the_way(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=replace(SETTINGS, keep_every=2))
    prints = [load_model(str(one), device="cpu").fingerprint for one in (out / "steps" / "2", out / "steps" / "4", out)]
    assert prints[0] != prints[1] == prints[2]
    assert checkpoints(out) == {2: out / "steps" / "2", 4: out}


def test_checkpoints_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    for i in range(1, 31):
        (tmp_path / "steps" / str(7 * i % 31)).mkdir(parents=True)
    with pytest.raises(RunError, match=r"holds no training result .training.json is missing.: train into it first"):
        checkpoints(tmp_path)
    (tmp_path / "training.json").write_text('{"num_steps": 30}')
    kept = [(step, tmp_path / "steps" / str(step)) for step in range(1, 30)]
    assert list(checkpoints(tmp_path).items()) == [*kept, (30, tmp_path)]


def test_what_is_trained_is_not_trained_again(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    steps: list[int] = []

    def again(method: str = "sft", task: Task = coin_task, target: str = "label", **changed: Any) -> Path:
        return train_once(
            method,
            str(coin_model),
            task,
            out=tmp_path / "out",
            config={"target": target} if method == "sft" else None,
            settings=replace(SETTINGS, **changed),
            on_step=lambda step: steps.append(step.step),
        )

    first = again()
    assert again(report_to="tensorboard") == first == tmp_path / "out"
    assert steps == [1, 2, 3, 4]
    fewer = replace(coin_task, problems=coin_task.problems[:4])
    for changed, words in (
        ({"max_steps": 6}, "max_steps"),
        ({"learning_rate": 1e-3, "seed": 1}, "learning_rate, seed"),
        ({"target": "rationale"}, "target"),
        ({"task": fewer}, "task"),
        ({"method": "cpt"}, "method"),
    ):
        with pytest.raises(RunError, match=f"holds a training with another .*{words}.*: choose another folder"):
            again(**changed)
    assert steps == [1, 2, 3, 4]
    with pytest.raises(RunError, match="already holds a training result"):
        train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS)


def test_a_dry_run_keeps_nothing(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    cost = dry_run("sft", str(coin_model), coin_task, settings=replace(SETTINGS, max_steps=None, epochs=5))
    assert (cost.num_examples, cost.num_steps) == (8, 5)
    assert cost.seconds > 0
    assert cost.memory > 1e8


def test_a_full_disk_is_seen_before_training(
    coin_model: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(RunError, match="are free there"):
        train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adaptation": "loar"}, "did you mean 'lora'"),
        ({"batch_size": 8, "accumulate": 3}, "cannot be computed in 3 equal parts"),
        ({"save_every": 0}, "save_every must be at least 1, and it is 0"),
        ({"max_steps": -1}, "max_steps must be at least 1, and it is -1"),
        ({"max_steps": 1.5}, "max_steps wants a whole number, and it is 1.5"),
        ({"seed": True}, "seed wants a whole number, and it is True"),
        ({"batchsize": 4}, "no option 'batchsize' .did you mean 'batch_size'"),
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Settings(**settings)
