"""The page: one HTML file that holds everything, opens from disk and asks no network for anything.

The template prints what the view holds. Chains lie in the page as compressed blocks, each unpacked when one of its chains is
opened, so that thousands of them open at once. A content security policy with the digests of the page's own script and style
keeps whatever a model wrote from running or loading anything.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from soundness.files import check_can_write_file, make_folder, write_text
from soundness.report.charts import curve_svg, series_colour, split_svg
from soundness.report.view import build_view
from soundness.runs.folder import Run
from soundness.terminal import visible

__all__ = ["MOST_BYTES", "render_page", "write_page", "write_view"]

MOST_BYTES = 24_000_000
"""Largest page; chains beyond it are left out and said to be."""

_BLOCK_BYTES = 400_000  # of JSON, before compression: decoded in a few milliseconds
_QUESTION = 240  # characters of a question that the list shows; all of it is in the block

_URGENT = ("right_to_wrong", "wrong_to_right", "gain_lost", "cut_off", "unreadable")


def write_page(run: Run, out: str | Path | None = None, *, most_bytes: int = MOST_BYTES) -> Path:
    """Write the report of `run` to `out`, by default `report.html` in its folder, and return where it is.

    Raises `RunError` where the run is not finished or its tables are missing, `FileError` where the file cannot be written.
    """
    path = Path(out) if out is not None else run.path / "report.html"
    check_can_write_file(path)
    content = render_page(build_view(run), most_bytes=most_bytes)
    make_folder(path.parent)
    write_text(path, content)
    return path


def write_view(run: Run, out: str | Path) -> Path:
    """Write the data of the report of `run` as JSON to `out` and return its path; raises like `write_page`."""
    path = Path(out)
    check_can_write_file(path)
    content = json.dumps(build_view(run), ensure_ascii=True, indent=1, allow_nan=False)
    make_folder(path.parent)
    write_text(path, content)
    return path


def render_page(view: Mapping[str, Any], *, most_bytes: int = MOST_BYTES) -> str:
    """Return the page of a view as HTML.

    Chains that would make it longer than `most_bytes` are left out, flips last, and the page says how many.
    """
    from jinja2 import Environment, StrictUndefined

    shown = _shown(view)
    style, script = _asset("page.css"), _asset("page.js")
    blocks, places = _blocks(shown["problems"], most_bytes)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["anchor"] = lambda text: re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")
    models = list(shown["models"])
    return environment.from_string(_asset("page.html.j2")).render(
        view=shown,
        style=style,
        script=script,
        policy=_policy(script, style),
        colours={model: series_colour(index)[4:-1].lstrip("-") for index, model in enumerate(models)},
        split_svg=split_svg(view["split"]["points"], view["models"]) if _placed(view) else "",
        curve_svgs={curve["id"]: curve_svg(curve, view["models"]) for curve in view["curves"]},
        index=_embedded(_index(shown, places)),
        blocks=blocks,
        num_left_out=sum(place is None for place in places),
    )


def _placed(view: Mapping[str, Any]) -> bool:
    return any(not point["missing"] for point in view["split"]["points"])


def _asset(name: str) -> str:
    return resources.files("soundness.report").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """Return a content security policy under which this script and this style work and nothing else does."""
    allowed = f"script-src '{_digest(script)}'; style-src '{_digest(style)}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shown(value: Any) -> Any:
    """Return a JSON value with every text made visible."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {visible(name): _shown(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(part) for part in value]
    return value


def _embedded(value: Any) -> str:
    """Return JSON that may stand inside a script element: nothing in it can close the element or break a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _index(view: Mapping[str, Any], places: Sequence[tuple[int, int] | None]) -> dict[str, Any]:
    """Return what the list needs: one short row per problem, and where its chains lie."""
    models = list(view["models"])
    rows = []
    for problem, place in zip(view["problems"], places, strict=True):
        cells = [problem["cells"].get(model) for model in models]
        rows.append(
            {
                "id": problem["id"],
                "question": problem["question"][:_QUESTION],
                "reference": problem["reference"],
                "cells": [
                    None if cell is None else [cell["outcome"], cell["outcome_text"], cell["answer"], cell["gain_text"]]
                    for cell in cells
                ],
                "tags": {str(models.index(model)): tags for model, tags in problem["tags"].items()},
                "place": place,
            }
        )
    return {"kind": view["kind"], "models": models, "base": view["base"], "tags": view["tags"], "rows": rows}


def _blocks(problems: Sequence[Mapping[str, Any]], most_bytes: int) -> tuple[list[str], list[tuple[int, int] | None]]:
    """Return the compressed blocks and, for each problem, (block, place in it), or None where it was left out."""
    room = most_bytes - 600 * len(problems) - 400_000  # the list, the tables and the pictures come first
    order = sorted(range(len(problems)), key=lambda i: (not _is_urgent(problems[i]), i))
    places: list[tuple[int, int] | None] = [None] * len(problems)
    blocks: list[str] = []
    group: list[int] = []
    texts: list[str] = []

    def close() -> bool:
        nonlocal room, group, texts
        if group:
            packed = base64.b64encode(gzip.compress(f"[{','.join(texts)}]".encode("utf-8", "replace"), 6, mtime=0)).decode()
            if len(packed) > room:
                return False
            room -= len(packed)
            for place, index in enumerate(group):
                places[index] = (len(blocks), place)
            blocks.append(packed)
        group, texts = [], []
        return True

    for index in order:
        text = json.dumps(problems[index], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if group and sum(map(len, texts)) + len(text) > _BLOCK_BYTES and not close():
            break
        group.append(index)
        texts.append(text)
    else:
        close()
    return blocks, places


def _is_urgent(problem: Mapping[str, Any]) -> bool:
    return any(tag in _URGENT for tags in problem["tags"].values() for tag in tags)
