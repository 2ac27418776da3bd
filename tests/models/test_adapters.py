"""Adapters as trainers leave them: loaded wholly, as PEFT loads them, beside each other, or refused with what to do."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from soundness.errors import ModelError
from soundness.models.load import load_model
from soundness.records import Probe

OPTIONS = {"dtype": "float32", "device": "cpu"}
IDS = torch.arange(3, 30)[None]


@pytest.fixture
def base(tiny, tmp_path) -> Path:
    """A base of its own, so that what a test does to it stays there."""
    return Path(shutil.copytree(tiny.folder("llama"), tmp_path / "base"))


@pytest.fixture
def make(base, tmp_path) -> Callable[..., Path]:
    """Return a function that trains nothing and saves an adapter of drawn weights for the base."""

    def save(name: str, config: Any, *, seed: int = 0, grow: int = 0, tokenizer: Any = None, on: Path | None = None) -> Path:
        from peft import get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_pretrained(on or base, dtype=torch.float32)
        if grow:
            module.resize_token_embeddings(module.get_input_embeddings().weight.shape[0] + grow, mean_resizing=False)
        wrapped = get_peft_model(module, config)
        with torch.no_grad():
            for weight in wrapped.parameters():
                if weight.requires_grad:
                    weight.add_(torch.randn_like(weight) * 0.3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PEFT says that it saves resized embeddings
            wrapped.save_pretrained(tmp_path / name)
        if tokenizer is not None:
            tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


def lora(**options: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"task_type": "CAUSAL_LM", "r": 2, "target_modules": ["q_proj", "v_proj"], **options})


def ia3() -> Any:
    from peft import IA3Config

    return IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])


def soft(kind: str) -> Any:
    from peft import PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig

    made = {"prompt": PromptTuningConfig, "prefix": PrefixTuningConfig, "encoder": PromptEncoderConfig}[kind]
    return made(task_type="CAUSAL_LM", num_virtual_tokens=3)


def logits(module: Any) -> torch.Tensor:
    with torch.inference_mode():
        return module(input_ids=IDS).logits[:, -IDS.shape[1] :]


def as_peft(base: Path, adapter: Path, rows: int | None = None) -> torch.Tensor:
    """Return the logits of base and adapter as PEFT loads them, nothing of ours in between."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if rows is not None:
        module.resize_token_embeddings(rows, mean_resizing=False)
    return logits(PeftModel.from_pretrained(module, adapter).eval())


def refusal(spec: Any, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(str(spec), **{**OPTIONS, **options})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(adapter: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


# --- all of it or nothing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k.replace(".layers.1.", ".layers.9."): v for k, v in w.items()}, "4 of its 8 weights have no place"),
        (lambda w: {k.replace("base_model.model.", "base_model.model.module."): v for k, v in w.items()}, "8 of its 8 weights"),
        (lambda w: {k: v for k, v in w.items() if ".layers.1." not in k}, "4 of the 8 weights that it should have are missing"),
        (lambda w: {**w, "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(2, 32)}, "1 of its 9 weights"),
        (lambda w: {}, "is empty: there is no weight"),
        (lambda w: {k: v[:, :-1].contiguous() for k, v in w.items()}, "does not belong to this base: size mismatch"),
    ],
)
def test_an_adapter_of_which_a_part_fits_is_refused_and_its_base_unharmed(base, make, change, words):
    whole, part = make("whole", lora()), make("part", lora(), seed=1)
    rewrite(part, change)
    model = load_model(str(base), **OPTIONS)
    wanted = logits(model.module)
    assert words in refusal(part)  # as the first on the base
    assert torch.equal(logits(model.module), wanted)
    tuned = load_model(str(whole), **OPTIONS)
    changed = logits(tuned.module)
    torch.testing.assert_close(changed, as_peft(base, whole))
    assert words in refusal(part)  # and beside another
    assert torch.equal(logits(tuned.module), changed)
    assert torch.equal(logits(model.module), wanted)


def test_an_adapter_of_another_architecture_does_not_belong(tiny, make):
    adapter = make("adapter", lora(target_modules=["query_key_value"]), on=other_family(tiny))
    assert "does not belong to this base: Target modules" in refusal(f"{tiny.folder('llama')}+{adapter}")


def other_family(tiny: Any) -> Path:
    import transformers as t

    path = tiny.root / "neox"
    if not path.exists():
        config = t.GPTNeoXConfig(
            vocab_size=259, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
        )
        t.GPTNeoXForCausalLM(config).save_pretrained(path)
        tiny.byte_tokenizer().save_pretrained(path)
    return path


def test_an_adapter_whose_tokenizer_has_other_ids_does_not_belong(tiny, make):
    adapter = make("adapter", lora(), tokenizer=tiny.metaspace_tokenizer())
    assert re.search(r"does not belong to this base: \d+ of the \d+ tokens of its tokenizer have other ids", refusal(adapter))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": None}, "names no peft_type"),
        ({"target_modules": "(q+)+x"}, "regular expression that can take for ever"),
        ({"r": 10**9}, "says its rank is 1000000000"),
        ({"peft_type": "NO_SUCH"}, "does not belong to this base"),
        ({"r": "two"}, "does not belong to this base"),
    ],
)
def test_a_damaged_configuration_is_one_line(make, change, words):
    adapter = make("adapter", lora())
    described = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**described, **change}))
    assert words in refusal(adapter)


def test_weights_that_are_no_safetensors_are_one_line(make):
    adapter = make("adapter", lora())
    (adapter / "adapter_model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all")
    assert "is no safetensors file" in refusal(adapter)


# --- each as PEFT loads it, in turn, on one base or apart -------------------------------------------------------------------

KINDS: dict[str, Callable[[], Any]] = {
    "lora": lora,
    "lora of all layers": lambda: lora(target_modules="all-linear", use_dora=True),
    "saved modules": lambda: lora(modules_to_save=["lm_head"]),
    "biases": lambda: lora(bias="lora_only"),
    "rows": lambda: lora(trainable_token_indices={"embed_tokens": [5, 6]}),
    "pissa": lambda: lora(init_lora_weights="pissa"),
    "ia3": ia3,
    "prompt": lambda: soft("prompt"),
    "prefix": lambda: soft("prefix"),
    "encoder": lambda: soft("encoder"),
}


def test_adapters_of_every_kind_load_beside_each_other_and_read_as_alone(base, make):
    """0.1: a LoRA and a soft prompt in one audit, "Cannot combine adapters with different peft types"."""
    adapters = {name: make(name.replace(" ", "-"), config(), seed=n) for n, (name, config) in enumerate(KINDS.items())}
    plain = load_model(str(base), **OPTIONS)
    wanted = logits(plain.module)
    models = {name: load_model(str(path), **OPTIONS) for name, path in adapters.items()}
    alone = {name: as_peft(base, path) for name, path in adapters.items()}
    for _ in range(2):
        for name, model in models.items():
            torch.testing.assert_close(logits(model.module), alone[name], atol=1e-4, rtol=1e-4, msg=name)
            assert torch.equal(logits(plain.module), wanted), f"the base after {name}"
    assert len({model.fingerprint for model in (plain, *models.values())}) == len(KINDS) + 1
    assert models["lora"].shared is plain.shared is models["prompt"].shared, "what can share a base does"
    probe = Probe(tuple(range(3, 20)), (30, 31))
    for name, model in models.items():
        read = model.read([probe])[0].token_nats
        with torch.inference_mode():
            found = model.module(input_ids=torch.tensor([[*probe.prefix, *probe.continuation]])).logits[0].log_softmax(-1)
        place = found.shape[0] - 3
        np.testing.assert_allclose(read, [found[place, 30].item(), found[place + 1, 31].item()], atol=1e-4, err_msg=name)


def test_low_rank_adapters_share_their_base(base, make):
    models = [load_model(str(make(f"lora{n}", lora(r=n + 1), seed=n)), **OPTIONS) for n in range(3)]
    assert len({id(model.shared) for model in models}) == 1
    assert len({logits(model.module).sum().item() for model in models}) == 3


# --- vocabularies and tokenizers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saved", ["with embeddings", "as modules"])
def test_a_grown_vocabulary_loads_and_leaves_the_base_as_it_was(tiny, base, make, saved):
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<a>", "<b>"]})
    options = {"modules_to_save": ["embed_tokens", "lm_head"]} if saved == "as modules" else {}
    adapter = make("grown", lora(**options), grow=2, tokenizer=tokenizer)
    plain = load_model(str(base), **OPTIONS)
    wanted = logits(plain.module)
    model = load_model(str(adapter), **OPTIONS)
    torch.testing.assert_close(logits(model.module), as_peft(base, adapter, rows=261), atol=1e-5, rtol=1e-5)
    assert model.encode("<b>") == [260]
    assert model.vocabulary != plain.vocabulary
    assert model.read([Probe((4, 260), (259, 5))])[0].nats < 0
    assert torch.equal(logits(plain.module), wanted)
    assert plain.module.get_input_embeddings().weight.shape[0] == 259


def test_new_tokens_without_embeddings_are_refused(tiny, make):
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<a>"]})
    said = refusal(make("grown", lora(), tokenizer=tokenizer))
    assert "its tokenizer has 260 tokens and there are embeddings for 259" in said


def test_a_chat_template_saved_with_an_adapter_is_asked_in_and_said(tiny, base, make):
    adapter = make("chatty", lora(), tokenizer=tiny.byte_tokenizer(chat=True))
    model, plain = load_model(str(adapter), **OPTIONS), load_model(str(base), **OPTIONS)
    assert model.render("Hi").text == "[user] Hi\n[assistant] "
    assert plain.render("Hi").text == "Hi\n"
    assert any("chat template saved with its adapter" in note for note in model.notes)
    assert not plain.notes


def test_an_adapter_with_its_bases_tokenizer_says_nothing(tiny, make):
    assert not load_model(str(make("quiet", lora(), tokenizer=tiny.byte_tokenizer())), **OPTIONS).notes


def test_an_adapters_own_end_of_turn_stops_it_and_not_its_base(tiny, base, make):
    tokenizer = tiny.byte_tokenizer()
    tokenizer.eos_token = "!"  # as where ChatML is taught to a base with another end of text
    model, plain = load_model(str(make("turns", lora(), tokenizer=tokenizer)), **OPTIONS), load_model(str(base), **OPTIONS)
    end = tokenizer.convert_tokens_to_ids("!")
    assert end in model.stops
    assert end not in plain.stops


def test_a_tokenizer_that_is_asked_for_stands_over_an_adapters_own(tiny, make, tmp_path):
    adapter = make("chatty", lora(), tokenizer=tiny.byte_tokenizer(chat=True))
    tiny.byte_tokenizer().save_pretrained(tmp_path / "plain")
    assert load_model(str(adapter), tokenizer=str(tmp_path / "plain"), **OPTIONS).render("Hi").text == "Hi\n"


# --- folders as they are found ----------------------------------------------------------------------------------------------


def test_a_merged_model_with_left_over_adapter_files_is_the_merged_model(base, make, tiny):
    adapter = make("adapter", lora())
    merged = Path(shutil.copytree(tiny.folder("llama", seed=1), base.parent / "merged"))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, merged / name)
    model = load_model(str(merged), **OPTIONS)
    assert model.fingerprint == load_model(str(tiny.folder("llama", seed=1)), **OPTIONS).fingerprint
    assert any("holds a whole model and an adapter beside it" in note for note in model.notes)


def test_a_base_that_moved_is_named_with_the_way_out(base, make):
    adapter = make("adapter", lora())
    moved = base.rename(base.parent / "elsewhere")
    said = refusal(adapter)
    assert str(base) in said
    assert f"BASE+{adapter}" in said
    assert load_model(f"{moved}+{adapter}", **OPTIONS).name == f"{moved}+{adapter}"


def test_a_base_that_is_an_adapter_itself_is_refused(base, make):
    first, second = make("first", lora()), make("second", lora(), seed=1)
    described = json.loads((second / "adapter_config.json").read_text())
    (second / "adapter_config.json").write_text(json.dumps({**described, "base_model_name_or_path": str(first)}))
    assert "is an adapter itself" in refusal(second)


def test_pickled_adapters_load_where_pickles_are_allowed(base, make):
    adapter = make("adapter", lora())
    wanted = as_peft(base, adapter)
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    assert "--allow-pickle" in refusal(adapter)
    torch.testing.assert_close(logits(load_model(str(adapter), allow_pickle=True, **OPTIONS).module), wanted)


@pytest.fixture
def hub(monkeypatch) -> dict[str, Path]:
    """Repositories that a hub would have, by name; what was asked of it is under the name `asked`."""
    repositories: dict[str, Any] = {"asked": []}

    def snapshot_download(name: str, *, revision: str | None, **options: Any) -> str:
        repositories["asked"].append((name, revision))
        if name not in repositories:
            raise OSError(f"no repository {name}")
        return str(repositories[name])

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return repositories


def test_adapters_and_revisions_on_the_hub(hub, base, make):
    adapter = make("adapter", lora())
    described = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps({**described, "base_model_name_or_path": "org/base", "revision": "v2"})
    )
    hub |= {"org/base": base, "org/adapter": adapter}
    wanted = as_peft(base, adapter)
    for spec in (
        "org/adapter",
        "org/adapter@step-100",
        "org/base@v1+org/adapter",
        f"org/base+{adapter}",
        f"{base}+org/adapter",
    ):
        hub["asked"].clear()
        model = load_model(spec, **OPTIONS)
        torch.testing.assert_close(logits(model.module), wanted)
        assert model.name == spec
        asked = set(hub["asked"])
        if spec == "org/adapter@step-100":
            assert asked == {("org/adapter", "step-100"), ("org/base", "v2")}
        if spec.startswith("org/base@v1"):
            assert ("org/base", "v1") in asked
    assert load_model("org/base@v3", **OPTIONS).fingerprint == load_model(str(base), **OPTIONS).fingerprint
    assert hub["asked"][-1] == ("org/base", "v3")
    load_model("org/base", revision="v4", **OPTIONS)
    assert hub["asked"][-1] == ("org/base", "v4")


def test_a_hub_base_that_is_not_there_is_named_with_the_way_out(hub, base, make):
    adapter = make("adapter", lora())
    described = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**described, "base_model_name_or_path": "org/gone"}))
    said = refusal(adapter)
    assert "stands on 'org/gone'" in said
    assert f"BASE+{adapter}" in said


def test_a_folder_named_like_an_organisation_hides_no_hub_name(hub, base, tmp_path, monkeypatch):
    (tmp_path / "work" / "org" / "notes").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    hub["org/base"] = base
    assert load_model("org/base", **OPTIONS).name == "org/base"


def test_a_repository_on_the_hub_is_checked_as_a_folder_is(hub, tmp_path, base):
    hub["org/model"] = shutil.copytree(base, tmp_path / "snapshot")
    described = json.loads((base / "config.json").read_text())
    (tmp_path / "snapshot" / "config.json").write_text(json.dumps({**described, "auto_map": {"AutoModelForCausalLM": "m.M"}}))
    assert "auto_map" in refusal("org/model")
