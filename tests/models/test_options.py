from __future__ import annotations

import pytest

from soundness.errors import ModelError
from soundness.models.load import load_model
from soundness.models.options import LoadOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float99"}, "unknown dtype 'float99'.*did you mean"),
        ({"reader": "pakced"}, "unknown reader 'pakced'.*did you mean 'packed'"),
        ({"attn_implementation": "someone/kernel"}, "unknown attention 'someone/kernel': use eager"),
        ({"attn_implementation": "flash_attention"}, "did you mean .*'flash_attention_2'"),
        ({"quantization": "4bit"}, "unknown quantization '4bit': use bnb-4bit"),
        ({"device_map": "cuda:1"}, "unknown device_map"),
        ({"device_map": "auto", "device": "cpu"}, "device=cpu says nothing"),
    ],
)
def test_values_that_make_no_sense(options, words):
    with pytest.raises(ModelError, match=words):
        LoadOptions(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtyp": "float32"}, "no load option 'dtyp'.*did you mean 'dtype'"),
        ({"dtype": 32}, "load option dtype: .*string.* and it is 32"),
        ({"trust_remote_code": "yes"}, "load option trust_remote_code"),
    ],
)
def test_a_call_with_what_is_no_option(options, words):
    with pytest.raises(ModelError, match=words):
        load_model("scripted:computes", **options)


def test_changes_stand_over_the_options_given():
    assert load_model("scripted:computes", LoadOptions(reader="plain"), reader="packed").name == "scripted:computes"
    with pytest.raises(ModelError, match="unknown reader 'no'"):
        load_model("scripted:computes", LoadOptions(reader="plain"), reader="no")


def test_a_chat_template_is_a_text_or_a_file(tmp_path):
    path = tmp_path / "template.jinja"
    path.write_text("{{ messages[0].content }}", encoding="utf-8")
    assert LoadOptions(chat_template=str(path)).template_text() == "{{ messages[0].content }}"
    assert LoadOptions(chat_template="{{ x }}").template_text() == "{{ x }}"
    assert LoadOptions().template_text() is None
    with pytest.raises(ModelError, match="cannot read the chat template"):
        LoadOptions(chat_template=str(tmp_path / "none.jinja")).template_text()
