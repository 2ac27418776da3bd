"""A document of headings, sentences, tables and pictures, as Markdown and as one HTML file that asks no network for anything.

Both are made of the same blocks. Whatever the blocks hold is text from elsewhere: it is escaped in either.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from soundness.terminal import visible

__all__ = ["Block", "Table", "grid", "html", "markdown"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is shown."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One part of a document: exactly one of its fields is filled, and `link` goes with `text`."""

    heading: str = ""
    verdict: str = ""
    text: str = ""
    points: tuple[str, ...] = ()
    table: Table | None = None
    picture: str = ""
    """Name of the picture."""
    command: str = ""
    link: str = ""
    """File beside the document that `text` leads to."""


def markdown(blocks: Iterable[Block], picture_file: Callable[[str], str]) -> str:
    """Return the blocks as Markdown; `picture_file` gives the file of a picture beside it."""
    parts = []
    for place, block in enumerate(blocks):
        if block.heading:
            parts.append(f"{'#' if place == 0 else '##'} {_plain(block.heading)}")
        elif block.verdict:
            parts.append(f"**{_plain(block.verdict)}**")
        elif block.text:
            parts.append(f"[{_plain(block.text)}]({block.link})" if block.link else _plain(block.text))
        elif block.points:
            parts.append("\n".join(f"- {_plain(point)}" for point in block.points))
        elif block.table is not None:
            parts.append(grid(block.table))
        elif block.picture:
            parts.append(f"![{_plain(block.picture)}]({picture_file(block.picture)})")
        elif block.command:
            parts.append(f"```\n{block.command}\n```")
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    return " ".join(visible(text).replace("<", "&lt;").split())


def grid(table: Table) -> str:
    """Return a table as Markdown."""
    lines = [table.head, ("---",) * len(table.head), *table.rows]
    return "\n".join("| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def html(title: str, blocks: Iterable[Block], pictures: Mapping[str, str]) -> str:
    """Return the blocks as one HTML file; `pictures` are SVG texts by name."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["visible"] = visible
    assets = resources.files("soundness.report")
    style = assets.joinpath("page.css").read_text(encoding="utf-8")
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.from_string(assets.joinpath("document.html.j2").read_text(encoding="utf-8")).render(
        title=title,
        blocks=list(blocks),
        style=style,
        policy=f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'",
        pictures={name: base64.b64encode(svg.encode()).decode() for name, svg in pictures.items()},
    )
