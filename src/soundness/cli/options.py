"""Options of a command taken from the dataclasses that Python and TOML share: one name, one check and one sentence of help each."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from soundness.errors import SettingError, near
from soundness.files import read_toml
from soundness.scoring.options import fill

__all__ = ["takes"]


def takes(**groups: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for every field of each group, and `--config FILE`; the command is handed the filled groups by name.

    In the file each group is a table, as in `[sampling]`; what the command line gives goes before it. An option that is not given
    keeps the field's own default.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name not in groups]
        added, owners = [], {}
        for group, cls in groups.items():
            hints = get_type_hints(cls, include_extras=True)
            for field in fields(cls):
                if field.name in owners:  # a chat template is an option of asking and of loading; asking has it here
                    continue
                owners[field.name] = group
                added.append(_parameter(field.name, hints[field.name], _help(cls, field)))
        config = inspect.Parameter(
            "config",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                Path | None,
                typer.Option(help=f"TOML file with the same options in tables: {', '.join(f'[{g}]' for g in groups)}."),
            ],
        )

        @wraps(command)
        def run(**values: Any) -> None:
            file = values.pop("config")
            tables = _tables(file, groups) if file is not None else {name: {} for name in groups}
            for name, group in owners.items():
                value = values.pop(name)
                if value is not None and value != []:
                    tables[group][name] = value
            where = "options" if file is None else str(file)
            filled = {group: fill(cls, tables[group], where=where, texts=file is None) for group, cls in groups.items()}
            command(**values, **filled)

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
        run.__signature__ = inspect.Signature([*parameters, *added, config])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *added, config)}
        return run

    return decorate


def _tables(file: Path, groups: Mapping[str, type[Any]]) -> dict[str, dict[str, Any]]:
    found = read_toml(file)
    for name, table in found.items():
        if name not in groups:
            raise SettingError(f"{file}: there is no table [{name}]{near(name, groups)}; there are {', '.join(groups)}")
        if not isinstance(table, dict):
            raise SettingError(f"{file}: {name} is {table!r}, and a table [{name}] was wanted")
    return {name: dict(found.get(name, {})) for name in groups}


def _parameter(name: str, hint: Any, text: str) -> inspect.Parameter:
    """Return the command line's parameter for one field; None there means that it was not given."""
    kind = _plain(hint)
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        annotation: Any = Annotated[bool | None, typer.Option(f"{flag}/--no-{name.replace('_', '-')}", help=text)]
    elif _is_list(kind) or _is_table(kind):
        annotation = Annotated[list[str] | None, typer.Option(flag, help=f"{text} Repeatable.")]
    else:
        annotation = Annotated[(kind if kind in (int, float) else str) | None, typer.Option(flag, help=text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plain(hint: Any) -> Any:
    """Return the type that a field holds besides None: `int` for `Annotated[int, ...] | None`."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        kinds = [_plain(one) for one in get_args(hint) if one is not NoneType]
        return kinds[0] if len(kinds) == 1 else str
    return str if get_origin(hint) is Literal else hint


def _is_list(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list) or kind in (tuple, list)


def _is_table(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, typing.cast(type, Mapping))


def _help(cls: type[Any], field: Any) -> str:
    """Return the field's documentation and, where one says something, its default."""
    text = " ".join((cls.__pydantic_fields__[field.name].description or "").split())
    default = field.default if field.default is not MISSING else None
    if default in (None, "", (), False) or isinstance(default, bool):
        return text
    return f"{text} [default: {default}]"
