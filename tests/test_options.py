from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from soundness.errors import SettingError, TaskError
from soundness.options import AtLeastOne, Fraction, Positive, build, describe, is_options, options, parse_pairs, read_toml


@options
class Draws:
    """How samples are drawn."""

    count: AtLeastOne = 8
    """Samples per problem."""
    temperature: Positive = 1.0
    """Of the draws,
    above 0."""


@options
class Config:
    """Options of a method."""

    scheme: Literal["binary", "format"] = "binary"
    """Which reward."""
    share: Fraction = 0.5
    """A share."""
    hops: tuple[AtLeastOne, ...] = (1, 2)
    """Stages."""
    rate: Positive | None = None
    """Peak rate."""
    floor: float = -5.0
    """No lower than this."""
    strict: bool = True
    """Whether it is strict."""
    draws: Draws = field(default_factory=lambda: Draws(temperature=0.7))
    """The draws."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Handed through."""


@options
class Needy:
    """Lacks a default."""

    model: str
    """Where to start."""


def from_python(values: dict[str, Any]) -> Any:
    return Config(**values)


def from_table(values: dict[str, Any]) -> Any:
    return build(Config, values, where="plan.toml")


BAD = [
    ({"schem": "binary"}, "there is no option 'schem' .did you mean 'scheme'.*; there are scheme, share, hops"),
    ({"scheme": "formats"}, "scheme wants one of binary, format, and it is 'formats' .did you mean 'format'"),
    ({"scheme": 1}, "scheme wants one of binary, format, and it is 1$"),
    ({"share": 1.5}, r"share must be at most 1, and it is 1\.5$"),
    ({"share": -1}, "share must be at least 0, and it is -1$"),
    ({"share": "half"}, "share wants a number, and it is 'half'$"),
    ({"share": float("nan")}, "share wants a number, and it is nan$"),
    ({"share": float("inf")}, "share must be at most 1, and it is inf$"),
    ({"rate": float("inf")}, "rate wants a number, and it is inf$"),
    ({"floor": float("nan")}, "floor wants a number, and it is nan$"),
    ({"rate": 0}, "rate must be above 0, and it is 0$"),
    ({"rate": "fast"}, "rate wants a number, and it is 'fast'$"),
    ({"strict": 1}, "strict wants true or false, and it is 1$"),
    ({"hops": [1, "two"]}, r"hops wants a list \(each a whole number\), and it is \[1, 'two'\]$"),
    ({"hops": [1, 0]}, r"each of hops must be at least 1, and it is \[1, 0\]$"),
    ({"hops": 3}, r"hops wants a list \(each a whole number\), and it is 3$"),
    ({"draws": 3}, "draws wants a table, and it is 3$"),
    ({"draws": {"cuont": 3}}, r"\[draws\]: there is no option 'cuont' .did you mean 'count'"),
    ({"draws": {"count": True}}, r"\[draws\]: count wants a whole number, and it is True$"),
    ({"extra": "x"}, "extra wants a table, and it is 'x'$"),
]


@pytest.mark.parametrize("fill", [from_python, from_table])
@pytest.mark.parametrize(("values", "words"), BAD, ids=[str(values) for values, _ in BAD])
def test_one_wording_wherever_a_value_comes_from(fill: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=("plan.toml: " if fill is from_table else "^") + words):
        fill(values)


@pytest.mark.parametrize("fill", [from_python, from_table])
def test_what_toml_cannot_write_is_taken_as_meant(fill: Any) -> None:
    assert fill({"floor": float("-inf")}).floor == float("-inf")
    config = fill({"share": 1, "hops": [3], "draws": {"count": 2}, "extra": {"a": [1]}})
    assert (config.share, config.hops, config.extra) == (1.0, (3,), {"a": [1]})
    assert isinstance(config.share, float)
    assert config.draws == Draws(count=2, temperature=0.7)  # what the table leaves out is as in the field's default


def test_options_are_values() -> None:
    assert Config() == Config() and replace(Config(), share=0.1) == Config(share=0.1)
    assert build(Config, asdict(Config()), where="x") == Config()
    with pytest.raises(FrozenInstanceError):
        Config().share = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        Config("format")  # type: ignore[misc]
    with pytest.raises(SettingError, match=r"share must be at most 1"):
        replace(Config(), share=2.0)
    with pytest.raises(SettingError, match="plan: model is missing: it wants text"):
        build(Needy, {}, where="plan")
    with pytest.raises(SettingError, match="plan: a table was wanted, and it is 3"):
        build(Needy, 3, where="plan")
    assert is_options(Config) and not is_options(Config()) and not is_options(dict)


def test_the_text_under_a_field_is_its_documentation() -> None:
    shown = {option.name: option for option in describe(Config())}
    assert list(shown) == ["scheme", "share", "hops", "rate", "floor", "strict", "draws.count", "draws.temperature", "extra"]
    assert (shown["scheme"].kind, shown["rate"].kind, shown["rate"].default) == ("one of binary, format", "a number", None)
    assert shown["draws.temperature"].description == "Of the draws, above 0."
    assert shown["draws.temperature"].default == 0.7
    assert all(option.description for option in shown.values())


def test_pairs_are_read_as_toml_or_text() -> None:
    assert parse_pairs(["a=1", "b=x=y", "c.d=[1, 2]", "c.e=true", "f="]) == {
        "a": 1,
        "b": "x=y",
        "c": {"d": [1, 2], "e": True},
        "f": "",
    }
    for pair in ("scheme", "=3", "a..b=3", ".a=3"):
        with pytest.raises(SettingError, match="an option is NAME=VALUE"):
            parse_pairs([pair])
    with pytest.raises(SettingError, match="'policy' was given a value of its own before"):
        parse_pairs(["policy=3", "policy.count=4"])
    assert parse_pairs(["a=" + "[" * 5000]) == {"a": "[" * 5000}  # too deep to be TOML


def test_a_toml_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text("a = 1\n[b]\nc = 'x'\n")
    assert read_toml(file) == {"a": 1, "b": {"c": "x"}}
    for content, words in (
        (b"a =", "plan.toml is not TOML: Invalid value"),
        ("a = 1".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"a = " + b"[" * 5000, "is not TOML: "),
    ):
        file.write_bytes(content)
        with pytest.raises(SettingError, match=words) as caught:
            read_toml(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(SettingError, match="there is no file .*none.toml"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(TaskError, match="is a folder, and a file was wanted"):
        read_toml(tmp_path, error=TaskError)
