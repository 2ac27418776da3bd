"""Options as values: frozen dataclasses whose fields are checked wherever they are filled from, with one wording of errors.

    @options
    class Config:
        strength: NonNegative = 0.5
        '''Weight of the gain.'''

    Config(strength=0.3)                                        # Python
    build(Config, {"strength": 0.3}, where="plan.toml")         # a TOML table
    build(Config, parse_pairs(["strength=0.3"]), where="-o")    # the command line

Nothing is guessed: a text is not a number, `true` is not 1. A list stands for a tuple and a whole number for a number, because TOML
and JSON have neither. The text under each field is its documentation.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from soundness.errors import FileError, SettingError, near
from soundness.files import read_toml as read_toml_file

__all__ = [
    "AtLeastOne",
    "Fraction",
    "NonNegative",
    "Option",
    "Positive",
    "build",
    "describe",
    "is_options",
    "options",
    "parse_pairs",
    "read_toml",
]

AtLeastOne = Annotated[int, Field(ge=1)]
"""A count that may not be 0."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above 0."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A number that is not negative."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A share, 0 to 1."""

T = TypeVar("T")

_CONFIG = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True)

_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "nothing",
}

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
"""pydantic's type of error -> where its context holds the bound, and how it is said."""


@dataclass(frozen=True, slots=True)
class Option:
    """One field of an options class, for help and documentation."""

    name: str
    """As it is given: `NAME=VALUE`, a field of a table behind a dot."""
    kind: str
    """What it holds, in words."""
    default: Any
    """Its value where none is given."""
    description: str
    """What it does."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def options(cls: type[T]) -> type[T]:
    """Return `cls` as a frozen dataclass with keywords only, which raises SettingError for a value that a field cannot hold."""
    made = checked_dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)
    inner, hints = made.__init__, get_type_hints(made)
    own = {one.name: one for one in fields(made)}

    def __init__(self: Any, **values: Any) -> None:
        filled = dict(values)
        for name, value in values.items():
            if name not in own:
                raise SettingError(f"there is no option {name!r}{near(name, own)}; there are {', '.join(own)}")
            if isinstance(value, list) and get_origin(hints[name]) is tuple:
                filled[name] = tuple(value)
            elif isinstance(value, Mapping) and is_options(hints[name]):
                # What a table leaves out is as in the field's own default, which need not be that of the table's class.
                factory = own[name].default_factory
                default = factory() if callable(factory) else own[name].default
                filled[name] = build(hints[name], {**_by_name(default), **value}, where=f"[{name}]")
            elif isinstance(value, float) and math.isnan(value):  # infinity may mean "no limit"; this means nothing
                raise SettingError(f"{name} wants {_kind(hints[name])}, and it is nan")
        try:
            inner(self, **filled)
        except ValidationError as error:
            raise SettingError(_words(error, made, values)) from None

    made.__init__ = __init__  # type: ignore[method-assign]
    return cast(type[T], made)


def _by_name(config: Any) -> dict[str, Any]:
    return {one.name: getattr(config, one.name) for one in fields(config)}


def is_options(cls: Any) -> bool:
    """Return whether `cls` is a class made by `options`."""
    return isinstance(cls, type) and is_dataclass(cls) and hasattr(cls, "__pydantic_fields__")


def _words(error: ValidationError, cls: type[Any], values: Mapping[str, Any]) -> str:
    """Return the first complaint: what the field wants, what it was given, and what was perhaps meant."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    hint = get_type_hints(cls)[name]
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{name} is missing: it wants {_kind(hint)}"
    given = values[name]
    if first["type"] in _BOUNDS:
        key, said = _BOUNDS[first["type"]]
        each = "each of " if len(first["loc"]) > 1 else ""
        return f"{each}{name} must be {said} {first['ctx'][key]:g}, and it is {given}"
    choices = _choices(hint)
    close = near(given, choices) if isinstance(given, str) else ""
    return f"{name} wants {_kind(hint)}, and it is {given!r}{close}"


def _choices(hint: Any) -> list[str]:
    """Return the texts that a field of this type may hold where they are listed, or nothing."""
    if get_origin(hint) is Literal:
        return [one for one in get_args(hint) if isinstance(one, str)]
    return [one for part in get_args(hint) for one in _choices(part)] if get_origin(hint) in (Union, UnionType) else []


def _kind(hint: Any) -> str:
    """Return in words what a field of this type holds.

    >>> _kind(int | None), _kind(tuple[int, ...]), _kind(Literal["a", "b"])
    ('a whole number', 'a list (each a whole number)', 'one of a, b')
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Union, UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"a list (each {_kind(arguments[0])})"
    return _KINDS.get(hint, "a table")


def build(cls: type[T], values: Any, *, where: str) -> T:
    """Return the options class `cls` filled with `values`; a table in them fills options of its own.

    Raises SettingError, led by `where`, for an unknown name and for a value that its field cannot hold.
    """
    if not isinstance(values, Mapping):
        raise SettingError(f"{where}: a table was wanted, and it is {values!r}")
    try:
        return cls(**values)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from None


def read_toml(path: Path | str, *, error: Callable[[str], Exception] = SettingError) -> dict[str, Any]:
    """Return what a TOML file holds; `error` makes the exception for a file that cannot be read or is no TOML."""
    try:
        return read_toml_file(Path(path).expanduser())
    except FileError as reason:
        raise error(str(reason)) from reason


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Return options given as NAME=VALUE, values read as TOML where they are, as text otherwise; a dot enters a table.

    >>> parse_pairs(["scheme=format", "policy.num_generations=4", "anchored=false"])
    {'scheme': 'format', 'policy': {'num_generations': 4}, 'anchored': False}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        *tables, last = name.split(".")
        if not equals or not all((*tables, last)):
            raise SettingError(f"an option is NAME=VALUE, such as scheme=format, and this is {pair!r}")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):  # no TOML, a number of too many digits, too deep
            value = text
        table = found
        for one in tables:
            table = table.setdefault(one, {})
            if not isinstance(table, dict):
                raise SettingError(f"{pair!r} enters the table {one!r}, and {one!r} was given a value of its own before")
        table[last] = value
    return found


def describe(config: Any, table: str = "") -> Sequence[Option]:
    """Return the options of a configuration in their source's order, its values as defaults; those of a table stand behind a dot."""
    hints, checked = get_type_hints(type(config)), type(config).__pydantic_fields__
    found: list[Option] = []
    for name, value in _by_name(config).items():
        if is_options(type(value)):
            found += describe(value, f"{table}{name}.")
        else:
            text = " ".join((checked[name].description or "").split())
            found.append(Option(f"{table}{name}", _kind(hints[name]), value, text))
    return found
