"""Training that starts from an adapter: the start is the adapter's model, and the result can be loaded by anybody, anywhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.errors import ModelError, RunError
from soundness.models.load import find_base, load_model
from soundness.models.transformers import quiet
from soundness.tasks.base import Task
from soundness.training import gain, rlvr
from soundness.training import session as sessions
from soundness.training.methods import train
from soundness.training.policy import Policy
from soundness.training.session import Session, TrainingStep
from soundness.training.settings import Settings

SETTINGS = Settings(batch_size=8, max_steps=4, learning_rate=1e-2, device="cpu", lora_rank=4)
POLICY = Policy(num_generations=8, max_tokens=24, preflight=0)
IDS = torch.tensor([[5, 60, 7, 8, 100, 11, 42, 13]])


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def logits(module: Any) -> torch.Tensor:
    module.eval()
    with torch.no_grad():
        return module(input_ids=IDS).logits


def audited(spec: Path | str) -> torch.Tensor:
    return logits(load_model(str(spec), dtype="float32", device="cpu").module)


def plain(folder: Path) -> torch.Tensor:
    """What PEFT and transformers alone make of a folder."""
    from peft import AutoPeftModelForCausalLM

    with quiet():
        return logits(AutoPeftModelForCausalLM.from_pretrained(folder))


def climb(model: Path | str, task: Task, out: Path, *, policy: Policy = POLICY, **settings: Any) -> Path:
    return train("rlvr", str(model), task, out=out, config=rlvr.Config(policy=policy), settings=replace(SETTINGS, **settings))


@pytest.fixture(scope="module")
def stage_one(coin_model: Path, coin_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter on the coin, turned towards tails, so that it differs from its base."""
    tails = replace(coin_task, problems=tuple(replace(one, answer="0", steps=("0 + 0 = 0",)) for one in coin_task.problems))
    out = tmp_path_factory.mktemp("adapter") / "sft"
    return train("sft", str(coin_model), tails, out=out, settings=replace(SETTINGS, learning_rate=3e-3, max_steps=3))


@pytest.fixture(scope="module")
def stage_two(
    stage_one: Path, coin_task: Task, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, torch.Tensor]]:
    """Reinforcement learning on that adapter, with what the module said in memory at the end."""
    said: list[torch.Tensor] = []
    inner = Session.save

    def spy(self: Session, trainer: Any, folder: Path | None = None) -> None:
        said.append(logits(trainer.model))
        inner(self, trainer, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "save", spy)
        out = climb(stage_one, coin_task, tmp_path_factory.mktemp("adapter") / "rlvr", keep_every=2)
    yield out, said[-1]


def test_the_result_says_what_was_trained_to_everybody(stage_one: Path, stage_two: tuple[Path, torch.Tensor]) -> None:
    out, said = stage_two
    assert not torch.allclose(said, audited(stage_one), atol=1e-2), "nothing was learned"
    assert torch.allclose(plain(out), said, atol=1e-4)
    assert torch.allclose(audited(out), said, atol=1e-4)
    assert torch.allclose(plain(out / "steps" / "4"), said, atol=1e-4)
    assert not torch.allclose(plain(out / "steps" / "2"), said, atol=1e-4)
    assert {path.suffix for path in out.rglob("*") if path.is_file()} <= {".json", ".jinja", ".md", ".safetensors"}
    assert not [path for path in out.rglob("*") if path.suffix in (".json", ".md") and ".partial" in path.read_text()]


def test_training_starts_from_the_adapters_model(
    stage_one: Path, stage_two: tuple[Path, torch.Tensor], coin_model: Path
) -> None:
    out, _ = stage_two
    start = audited(stage_one)
    assert not torch.allclose(start, audited(coin_model), atol=1e-2)
    assert torch.allclose(audited(out / "base"), start, atol=1e-3)
    note = record(out)
    assert note["soundness_base"] == str(stage_one)
    assert note["base_source"] == str(coin_model)
    assert note["kept_base"] == "base"
    assert note["merging"].pop("share_kept") == pytest.approx(1, abs=1e-3)
    assert note["merging"] == {"base": str(coin_model), "adapter": str(stage_one), "dtype": "float32"}
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(out / "base")


def test_a_folder_that_was_moved_still_loads(stage_two: tuple[Path, torch.Tensor], tmp_path: Path) -> None:
    out, said = stage_two
    moved = shutil.copytree(out, tmp_path / "elsewhere")
    assert find_base(str(moved)) == (str(moved / "base"), str(moved))  # not the base of the folder it was copied from
    hidden = out.rename(out.with_name("away"))
    try:
        assert torch.allclose(audited(moved), said, atol=1e-4)
        assert torch.allclose(audited(moved / "steps" / "4"), said, atol=1e-4)
    finally:
        hidden.rename(out)
    shutil.rmtree(moved / "base")
    with pytest.raises(ModelError, match="copy the whole of elsewhere"):
        load_model(str(moved))


def test_a_third_stage_stands_on_the_second(stage_two: tuple[Path, torch.Tensor], coin_task: Task, tmp_path: Path) -> None:
    out, said = stage_two
    third = climb(out, coin_task, tmp_path / "third", max_steps=1)
    assert torch.allclose(audited(third / "base"), said, atol=1e-3)
    assert record(third)["base_source"] == str(out / "base")


@pytest.mark.parametrize("adaptation", ["full", "bias", "prompt"])
def test_every_adaptation_can_follow(stage_one: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    settings = replace(SETTINGS, adaptation=adaptation, max_steps=1, learning_rate=1e-9)
    out = train("sft", str(stage_one), coin_task, out=tmp_path / "out", settings=settings)
    assert (out / "base").exists() == ("kept_base" in record(out)) == (adaptation != "full")
    if adaptation == "full":
        assert torch.allclose(audited(out), audited(stage_one), atol=1e-3)
        return
    shared = load_model(str(out), dtype="float32", device="cpu").shared
    with torch.no_grad(), shared.using(None) as module:
        off = module(input_ids=IDS).logits
    assert torch.allclose(off, audited(stage_one), atol=1e-3)
    assert torch.allclose(plain(out), audited(out), atol=1e-4)


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_the_reference_of_the_divergence_is_the_start(
    stage_one: Path, coin_task: Task, tmp_path: Path, adaptation: Any
) -> None:
    policy = replace(POLICY, beta=0.1)
    out = climb(stage_one, coin_task, tmp_path / "out", policy=policy, adaptation=adaptation, learning_rate=1e-3, max_steps=2)
    assert record(out)["history"][0]["kl"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_gain_is_read_by_the_start(stage_one: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    means = []
    for name, reader in (("own", ""), ("same", str(stage_one))):
        config = gain.Config(policy=POLICY, reader=reader)
        settings = replace(SETTINGS, adaptation=adaptation, learning_rate=1e-3, max_steps=1, batch_size=16)
        out = train("gain", str(stage_one), coin_task, out=tmp_path / name, config=config, settings=settings)
        means.append(record(out)["history"][0]["gain/mean"])
    assert means[0] == pytest.approx(means[1], abs=1e-4)
    assert means[0] != 0


def test_a_base_may_be_named_beside_the_adapter(
    coin_model: Path, coin_task: Task, tmp_path: Path, make_adapter: Any, tiny: Any
) -> None:
    adapter = make_adapter(coin_model, "adapter")
    lost = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**lost, "base_model_name_or_path": "nobody/nothing"}))
    spec = f"{coin_model}+{adapter}"
    out = train("sft", spec, coin_task, out=tmp_path / "out", settings=replace(SETTINGS, max_steps=1))
    assert torch.allclose(audited(out / "base"), audited(spec), atol=1e-3)
    assert record(out)["soundness_base"] == spec
    assert torch.allclose(plain(out), audited(out), atol=1e-4)


def test_a_killed_run_goes_on_from_its_own_base(
    stage_one: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, save_every=2)
    model = shutil.copytree(stage_one, tmp_path / "adapter")
    whole = train("sft", str(model), coin_task, out=tmp_path / "whole", settings=settings)

    def kill(step: TrainingStep) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("sft", str(model), coin_task, out=tmp_path / "out", settings=settings, on_step=kill)
    weights = (model / "adapter_model.safetensors").read_bytes()
    (model / "adapter_model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(RunError, match="unfinished run with another adapter"):
        train("sft", str(model), coin_task, out=tmp_path / "out", settings=settings)
    (model / "adapter_model.safetensors").write_bytes(weights)
    monkeypatch.setattr(sessions, "merge_adapter", lambda *_, **__: pytest.fail("merged a second time"))
    out = train("sft", str(model), coin_task, out=tmp_path / "out", settings=settings)
    assert record(out)["resumed_from_step"] == 2
    assert record(out)["losses"] == record(whole)["losses"]
    assert torch.equal(plain(out), plain(whole))
    assert not list(tmp_path.glob(".*"))


def test_only_a_diverged_run_loses_its_checkpoints(
    coin_model: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, adaptation="full", save_every=1, learning_rate=1e-3)

    def kill(step: TrainingStep) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    def unreachable(*_: Any) -> None:
        raise ModelError("the hub is away")

    with pytest.raises(KeyboardInterrupt):
        train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=settings, on_step=kill)
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="the hub is away"):
        patch.setattr(sessions, "load_network", unreachable)
        train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=settings)
    assert (tmp_path / ".out.partial" / "checkpoint-2").is_dir()
    train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=settings)
    with pytest.raises(ModelError, match="diverged"):
        lost = replace(settings, learning_rate=1e30, max_steps=8)
        train("sft", str(coin_model), coin_task, out=tmp_path / "lost", settings=lost)
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


# What cannot be merged


def refused(spec: Path | str, task: Task, out: Path, words: str, error: type = ModelError, **settings: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        train("sft", str(spec), task, out=out / "again", settings=replace(SETTINGS, **settings))
    assert "\n" not in str(caught.value)
    assert not [one for one in out.iterdir() if "again" in one.name]


@pytest.mark.parametrize(("adaptation", "words"), [("prompt", "is a soft prompt"), ("bias", "cannot be merged into its base")])
def test_what_has_no_place_in_the_weights_is_refused(
    coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any, words: str
) -> None:
    settings = replace(SETTINGS, adaptation=adaptation, max_steps=2)
    first = train("sft", str(coin_model), coin_task, out=tmp_path / "first", settings=settings)
    refused(first, coin_task, tmp_path, f"{words}.* train the first stage with LoRA or full")


def test_an_adapter_without_effect_is_refused(coin_model: Path, coin_task: Task, tmp_path: Path, make_adapter: Any) -> None:
    refused(make_adapter(coin_model, "none", zero=True), coin_task, tmp_path, "changes no logit of")


def test_an_adapter_of_another_base_is_refused(tiny: Any, coin_model: Path, coin_task: Task, tmp_path: Path, make_adapter: Any):
    adapter = make_adapter(tiny.folder("llama"), "foreign")
    refused(f"{coin_model}+{adapter}", coin_task, tmp_path, "cannot load .*foreign")


def test_a_change_that_rounding_would_lose_is_refused(coin_model: Path, coin_task: Task, tmp_path: Path, make_adapter: Any):
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    base = shutil.copytree(coin_model, tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    strong = make_adapter(base, "strong")
    weights = load_file(strong / "adapter_model.safetensors")
    faint = shutil.copytree(strong, tmp_path / "faint")
    save_file({k: one * 1e-4 if "lora_B" in k else one for k, one in weights.items()}, faint / "adapter_model.safetensors")
    words = r"merged into bfloat16 weights, only \d+% of what .* would outlive the rounding: train with dtype float32"
    refused(faint, coin_task, tmp_path, words, dtype="bfloat16")
    settings = replace(SETTINGS, max_steps=1)
    train("sft", str(faint), coin_task, out=tmp_path / "exact", settings=replace(settings, dtype="float32"))
    out = train("sft", str(strong), coin_task, out=tmp_path / "out", settings=replace(settings, dtype="bfloat16"))
    assert json.loads((out / "base" / "config.json").read_text())["dtype"] == "bfloat16"


def test_one_layer_at_a_time_is_held_in_float32(
    coin_model: Path, tmp_path: Path, make_adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base in half precision is merged in half of the memory that it would take in float32."""
    from peft.tuners.lora.layer import Linear
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from soundness.training import merging

    base = shutil.copytree(coin_model, tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    adapter = make_adapter(base, "adapter")
    inner, check = Linear.merge, merging._check_tied
    whole: list[Any] = []
    held: list[int] = []

    def spy(self: Any, **options: Any) -> None:
        weights = [weight for name, weight in whole[0].named_parameters() if "lora_" not in name]
        held.append(sum(weight.dtype == torch.float32 for weight in weights))
        inner(self, **options)

    monkeypatch.setattr(Linear, "merge", spy)
    monkeypatch.setattr(merging, "_check_tied", lambda spec, source, tuned: (whole.append(tuned), check(spec, source, tuned)))
    tokenizer = AutoTokenizer.from_pretrained(base)
    options = {"tokenizer": tokenizer, "computed": "bfloat16", "stored": "bfloat16"}
    merging.merge_adapter("both", str(base), str(adapter), tmp_path / "merged", **options)
    assert len(held) == 4  # queries and values of two layers
    assert set(held) == {1}
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert {weight.dtype for weight in merged.parameters()} == {torch.bfloat16}
    wanted = load_model(f"{base}+{adapter}", dtype="float32", device="cpu").module
    assert (logits(merged.float()) - logits(wanted)).abs().max() < 0.05 * logits(wanted).abs().max()


def test_weights_that_two_layers_share_are_not_merged(tiny: Any, coin_task: Task, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny.byte_tokenizer(chat=True)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    module = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, initializer_range=0.3, **sizes))
    module.save_pretrained(tmp_path / "tied")
    tokenizer.save_pretrained(tmp_path / "tied")
    module = LlamaForCausalLM.from_pretrained(tmp_path / "tied")
    with quiet():
        tuned = get_peft_model(module, LoraConfig(target_modules=["lm_head"], init_lora_weights=False, task_type="CAUSAL_LM"))
    tuned.save_pretrained(tmp_path / "head", save_embedding_layers=False)
    refused(tmp_path / "head", coin_task, tmp_path, "changes weights that two layers share")


def test_a_full_disk_is_seen_before_the_base_is_written(
    stage_one: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    refused(stage_one, coin_task, tmp_path, "with the adapter merged in takes 0.0 GB", RunError)
