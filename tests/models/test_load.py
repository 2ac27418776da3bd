"""What a specification may say, and what each mistake is answered with: one line, nothing loaded that could run code."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec

import pytest

from soundness.errors import MissingPackage, ModelError
from soundness.models.load import BACKENDS, load_model, resolve_source
from soundness.models.scripted import ScriptedModel


def refusal(spec, **options):
    """Return what a specification is refused with."""
    with pytest.raises(ModelError) as caught:
        load_model(str(spec), **options)
    return str(caught.value)


def one_line(words):
    """Return the pattern of one line that holds `words`."""
    return re.compile(f".*(?:{words}).*")  # a dot stands for no line break


def config(folder, **content):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **content}))
    return folder


def test_scripted_models_need_no_weights():
    model = load_model("scripted:computes?slip=0.1")
    assert isinstance(model, ScriptedModel)
    assert model.context_length is None


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("smolm2", "unknown model 'smolm2'.*did you mean 'smollm2'"),
        ("scripted:computs", "did you mean 'computes'"),
        ("./nowhere", "unknown model './nowhere'"),
        ("a/b/c", "unknown model"),
        ("", "unknown model"),
    ],
)
def test_unknown_names_are_answered_with_near_ones(spec, words):
    assert one_line(words).fullmatch(refusal(spec))


def test_near_folders_are_named(tmp_path, monkeypatch):
    (tmp_path / "runs" / "sft").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert one_line("did you mean 'sft'").fullmatch(refusal("runs/sfft"))


def test_a_hub_name_that_cannot_be_reached_is_a_model_error(monkeypatch):
    from soundness.models.transformers import TransformersModel

    def unreachable(*arguments, **options):
        raise OSError("We couldn't connect to\nthe hub")

    monkeypatch.setattr(TransformersModel, "load", unreachable)
    assert one_line("cannot load the model 'nobody-here/no-such-model'").fullmatch(refusal("nobody-here/no-such-model"))


def test_a_folder_without_config(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    assert one_line(r"has no config\.json.*found notes\.txt").fullmatch(refusal(tmp_path))


def test_a_file_is_no_model(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"x")
    assert one_line("is a file; a model is a folder").fullmatch(refusal(path))


def test_a_config_without_weights(tmp_path):
    assert one_line("no weights").fullmatch(refusal(config(tmp_path)))


def test_damaged_configuration(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert one_line(r"config\.json is no JSON that can be used").fullmatch(refusal(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    assert one_line("JSON object").fullmatch(refusal(tmp_path))


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickled_weights_are_refused_and_not_opened(tmp_path):
    import torch

    folder = config(tmp_path / "model")
    torch.save(Bomb(tmp_path / "exploded"), folder / "pytorch_model.bin")
    assert one_line(r"pickled weights only \(pytorch_model\.bin\).*--allow-pickle").fullmatch(refusal(folder))
    assert not (tmp_path / "exploded").exists()


def test_code_of_a_models_own_is_refused_and_not_run(tmp_path):
    folder = config(tmp_path / "model", auto_map={"AutoModelForCausalLM": "modeling_own.Own"})
    (folder / "modeling_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "model.safetensors").write_bytes(b"")
    assert one_line(r"runs code of its own \(auto_map in config\.json\).*--trust-remote-code").fullmatch(refusal(folder))
    assert not (tmp_path / "ran").exists()


def test_pickles_are_loaded_where_they_are_allowed(tiny, tmp_path):
    import shutil

    import torch

    source = tiny.folder("llama")
    folder = shutil.copytree(source, tmp_path / "pickled")
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert one_line("--allow-pickle").fullmatch(refusal(folder))
    model = load_model(str(folder), dtype="float32", device="cpu", allow_pickle=True)
    assert model.fingerprint == tiny.load("llama").fingerprint


def test_an_adapter_without_safetensors(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "smollm2"}))
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    for spec in (str(tmp_path), f"smollm2+{tmp_path}"):
        assert one_line(r"no adapter_model\.safetensors \(found adapter_config\.json, adapter_model\.bin\)").fullmatch(
            refusal(spec)
        )


def test_what_follows_the_plus_has_to_be_an_adapter(tmp_path):
    assert one_line(r"holds no adapter_config\.json").fullmatch(refusal(f"smollm2+{tmp_path}"))


def test_an_adapter_that_names_no_base(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    assert one_line(re.escape(f"names no base model; write the specification as BASE+{tmp_path}")).fullmatch(refusal(tmp_path))


def test_a_missing_gguf_file_is_answered_with_a_near_one(tmp_path):
    (tmp_path / "model-q4.gguf").write_bytes(b"GGUF")
    assert one_line("there is no GGUF file .*did you mean 'model-q4.gguf'").fullmatch(refusal(tmp_path / "model-q5.gguf"))


def test_damaged_weights_are_a_model_error(tiny, tmp_path):
    import shutil

    folder = shutil.copytree(tiny.folder("llama"), tmp_path / "damaged")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert one_line("cannot load the model").fullmatch(refusal(folder, dtype="float32", device="cpu"))


def test_weights_that_are_missing_are_not_made_up(tiny, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny.folder("llama"), tmp_path / "partial")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert one_line("are incomplete: .*up_proj").fullmatch(refusal(folder, dtype="float32", device="cpu"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float99"}, "unknown dtype 'float99'"),
        ({"device": "cuda:77"}, "device 'cuda:77' cannot be used here"),
        ({"device": "toaster"}, "device 'toaster' cannot be used here"),
        ({"reader": "pakced"}, "unknown reader 'pakced'.*did you mean 'packed'"),
    ],
)
def test_options_that_make_no_sense(tiny, options, words):
    assert one_line(words).fullmatch(refusal(tiny.folder("llama"), **options))


def test_one_base_in_memory_serves_equal_specifications(tiny):
    folder = str(tiny.folder("llama", name="shared"))
    one, two = (load_model(folder, dtype="float32", device="cpu") for _ in range(2))
    assert one.module is two.module
    assert load_model(folder, dtype="bfloat16", device="cpu").module is not one.module


def test_a_source_is_a_folder_or_a_hub_name(tiny):
    folder = tiny.folder("llama")
    assert resolve_source(str(folder)) == str(folder.resolve())
    assert resolve_source("org/name") == "org/name"


def test_a_package_that_is_needed_and_absent_gives_the_pip_line(tiny, monkeypatch):
    from soundness.models.transformers import TransformersModel

    def absent(*arguments, **options):
        raise ImportError("No module named 'tiktoken'", name="tiktoken")

    monkeypatch.setattr(TransformersModel, "load", absent)
    with pytest.raises(MissingPackage, match="pip install tiktoken"):
        load_model(str(tiny.folder("llama")))


def test_a_back_end_is_found_by_its_prefix(monkeypatch, tmp_path):
    (tmp_path / "own_backend.py").write_text("def load(spec, options):\n    return (spec, options.reader)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(BACKENDS, "own:", "own_backend:load")
    assert load_model("own:anything", reader="plain") == ("own:anything", "plain")


def test_another_tokenizer_and_template_can_be_given(tiny, tmp_path):
    folder = str(tiny.folder("llama"))
    tiny.byte_tokenizer(chat=True).save_pretrained(tmp_path)
    plain = load_model(folder, dtype="float32", device="cpu")
    chatty = load_model(folder, dtype="float32", device="cpu", tokenizer=str(tmp_path))
    given = load_model(folder, dtype="float32", device="cpu", chat_template="<<{{ messages[0]['content'] }}>>")
    assert [model.render("Hi").text for model in (plain, chatty, given)] == ["Hi\n", "[user] Hi\n[assistant] ", "<<Hi>>"]


def test_attention_can_be_chosen(tiny):
    model = load_model(str(tiny.folder("llama")), dtype="float32", device="cpu", attn_implementation="eager")
    assert model.module.config._attn_implementation == "eager"


def test_quantising_without_the_package_gives_the_pip_line(tiny):
    if find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    with pytest.raises(MissingPackage, match="pip install bitsandbytes"):
        load_model(str(tiny.folder("llama")), dtype="float32", device="cpu", quantization="bnb-4bit")
