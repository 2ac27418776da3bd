"""A command's options come from dataclasses: names, help, checks and files of them."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from soundness.cli import COMMANDS, app
from soundness.cli.options import takes
from soundness.errors import SettingError
from soundness.models.options import LoadOptions
from soundness.scoring.options import Measuring, SamplingOptions
from soundness.tasks.prompts import Prompting

SEEN: dict[str, object] = {}
small = typer.Typer(rich_markup_mode=None)


@small.command()
@takes(sampling=SamplingOptions, prompting=Prompting, measuring=Measuring, loading=LoadOptions)
def small_command(
    name: Annotated[str, typer.Argument()],
    sampling: SamplingOptions,
    prompting: Prompting,
    measuring: Measuring,
    loading: LoadOptions,
) -> None:
    SEEN.update(name=name, sampling=sampling, prompting=prompting, measuring=measuring, loading=loading)


def call(*arguments: str) -> dict[str, object]:
    SEEN.clear()
    result = CliRunner().invoke(small, ["x", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return dict(SEEN)


def test_what_is_not_given_keeps_its_default():
    seen = call()
    assert seen == {
        "name": "x",
        "sampling": SamplingOptions(),
        "prompting": Prompting(),
        "measuring": Measuring(),
        "loading": LoadOptions(),
    }


def test_each_kind_of_field_arrives():
    seen = call(
        "--samples", "3", "--temperature", "0.5", "--no-noise-floor", "--metrics", "a,b", "--metrics", "c.py:D", "--dtype", "float32",
        "--chat-template-kwargs", "enable_thinking=false", "--stop", r"\n\n", "--few-shot", "2", "--trust-remote-code",
    )  # fmt: skip
    assert seen["sampling"] == SamplingOptions(samples=3, temperature=0.5)
    assert seen["measuring"] == Measuring(noise_floor=False, metrics=("a,b", "c.py:D"))
    assert seen["loading"] == LoadOptions(dtype="float32", trust_remote_code=True)
    assert seen["prompting"] == Prompting(chat_template_kwargs={"enable_thinking": False}, stop=("\n\n",), few_shot=2)


def test_a_file_gives_the_same_and_the_command_line_goes_before_it(tmp_path):
    file = tmp_path / "audit.toml"
    file.write_text('[sampling]\nsamples = 4\ntemperature = 0.7\n[prompting]\nsystem = "Be brief."\n')
    seen = call("--config", str(file), "--samples", "2")
    assert seen["sampling"] == SamplingOptions(samples=2, temperature=0.7) and seen["prompting"] == Prompting(
        system="Be brief."
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sampling]\nsampels = 4\n", "did you mean 'samples'"),
        ("[samplings]\nsamples = 4\n", "did you mean 'sampling'"),
        ("samples = 4\n", "there is no table"),
        ('[sampling]\nsamples = "4"\n', "samples wants a whole number"),
        ("[sampling]\nsamples = 0\n", "at least 1"),
        ("nothing at all", "is not TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_line(tmp_path, text, words):
    file = tmp_path / "audit.toml"
    file.write_text(text)
    with pytest.raises(Exception, match=words) as error:
        call("--config", str(file))
    assert isinstance(error.value, SettingError) or "SoundnessError" in str(type(error.value).__mro__)
    assert "\n" not in str(error.value)


def test_every_option_says_what_it_does():
    text = CliRunner().invoke(small, ["--help"]).output
    for cls in (SamplingOptions, Prompting, Measuring, LoadOptions):
        for name, field in cls.__pydantic_fields__.items():
            assert f"--{name.replace('_', '-')}" in text
            assert field.description, f"{cls.__name__}.{name} has no words"


def test_every_command_of_the_table_is_there_and_says_what_it_does():
    shown = CliRunner().invoke(app, ["--help"]).output
    for name in COMMANDS:
        assert name in shown
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0 and "Usage" in result.output, name
