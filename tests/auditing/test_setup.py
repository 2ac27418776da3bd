"""What a user may give to an audit, and what is refused before anything is asked."""

from __future__ import annotations

import pytest

from soundness.auditing import audit
from soundness.auditing.setup import prepare_audit, sort_options
from soundness.errors import ModelError, SettingError
from soundness.models.options import LoadOptions
from soundness.scoring.options import SamplingOptions
from soundness.tasks.prompts import Prompting

ROWS = [{"id": str(n), "question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(6)]


def test_options_by_name_find_their_group_and_go_before_a_whole_one():
    groups = sort_options(
        {"max_tokens": 99, "profile": "quick", "system": "Be brief.", "dtype": "float32"},
        sampling=SamplingOptions(samples=3, max_tokens=7),
    )
    assert groups.sampling == SamplingOptions(samples=3, max_tokens=99)
    assert groups.measuring.profile == "quick" and groups.loading == LoadOptions(dtype="float32")
    assert groups.prompting == Prompting(system="Be brief.")
    assert sort_options({"max_tokens": 9}).prompting is None, "nothing said of how to ask leaves it to the task"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_token": 9}, "did you mean 'max_tokens'"),
        ({"max_tokens": "many"}, "whole number"),
        ({"dtype": "float23"}, "float32"),
        ({"samples": 2, "temperature": 0.0}, "temperature 0"),
        ({"metrics": ["info_gian"]}, "did you mean 'info_gain'"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options, words):
    with pytest.raises(Exception, match=words) as error:
        prepare_audit("scripted:computes", "scripted:ignores-chain", ROWS, sort_options(options))
    assert "\n" not in str(error.value)


def test_rows_and_models_in_memory_are_audited(tmp_path, tiny):
    model = tiny.load("llama")
    held = (model.module, model.tokenizer)
    run = audit(held, [held], ROWS, out=tmp_path / "run", max_tokens=8, profile="quick", noise_floor=False)
    assert {problem.question for problem in run.problems()} == {row["question"] for row in ROWS}


def test_what_is_no_model_is_said(tiny):
    module = tiny.load("llama").module
    for wrong in (module, 7, (module, "no tokenizer")):
        with pytest.raises(ModelError, match=r"\(module, tokenizer\)"):
            prepare_audit(wrong, "scripted:computes", ROWS, sort_options({}))


def test_one_model_may_be_asked_in_two_ways():
    setup = prepare_audit("scripted:computes", "scripted:computes", ROWS, sort_options({}), vary="enable_thinking=true,false")
    asked = [task.prompting.chat_template_kwargs for task in setup.tasks]
    assert asked == [{"enable_thinking": True}, {"enable_thinking": False}]
    assert setup.names == ("scripted:computes (enable_thinking=true)", "scripted:computes (enable_thinking=false)")


@pytest.mark.parametrize("vary", ["enable_thinking", "enable_thinking=true", "enable_thinking=true,true", "=a,b", "x=a,b,c"])
def test_a_variation_needs_a_value_for_each_model(vary):
    with pytest.raises(SettingError, match="one value for each of the 2 models"):
        prepare_audit("scripted:computes", "scripted:computes", ROWS, sort_options({}), vary=vary)
