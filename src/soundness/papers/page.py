"""What a reproduction found, as Markdown and as one HTML page that asks no network for anything.

Both print the same blocks, which are made once. Pictures are SVG files beside the Markdown and lie inside the page.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soundness.files import write_text
from soundness.papers.base import Expectation, Finding, State
from soundness.papers.catalogue import REPRODUCTIONS, Reproduction, Result, findings, load_reproduction, shipped
from soundness.report import document
from soundness.report.document import Block, Table, grid
from soundness.report.terminal import figure

__all__ = [
    "blocks", "bounds", "digest", "duration", "html", "index", "interval", "markdown", "verdict", "write_all", "write_docs",
]  # fmt: skip

_TRUST = {
    "paper": "in the paper's text",
    "abstract": "in the paper's abstract alone",
    "code": "in the authors' code",
    "second-hand": "as others report it",
    "unverified": "could not be checked",
    "computed": "computed here from printed values",
}


def interval(found: Finding) -> str:
    """Return mean and 95 % interval over seeds, or what there is of them."""
    if found.low is None or found.high is None:
        return f"{figure(found.mean)}, no interval"
    return f"{figure(found.mean)} [{figure(found.low)}, {figure(found.high)}]"


def bounds(expectation: Expectation) -> str:
    """Return when the expectation counts as confirmed and as refuted."""
    return f"interval above {expectation.confirmed_above:g}; below {expectation.refuted_below:g}"


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def verdict(found: Sequence[Finding], state: State) -> str:
    """Return what the claim came to at this scale, and why, in one or two sentences."""
    words = f"{state.value.capitalize()} at this scale"
    unmet = [one for one in found if one.expectation.role == "premise" and one.state is not State.CONFIRMED]
    if unmet:
        return f"{words}: the claim could not be tested, because not every premise is confirmed ({_named(unmet)})."
    claims = [one for one in found if one.expectation.role == "claim"]
    refuted = [one for one in claims if one.state is State.REFUTED]
    if refuted:
        return f"{words}: {len(refuted)} of {len(claims)} parts of the claim refuted ({_named(refuted)})."
    open_ = [one for one in claims if one.state is State.NOT_REACHED]
    if open_:
        return f"{words}: {len(open_)} of {len(claims)} parts of the claim undecided ({_named(open_)})."
    return f"{words}: every part of the claim and every premise confirmed over the seeds."


def _named(found: Sequence[Finding]) -> str:
    return ", ".join(one.expectation.figure for one in found)


def blocks(module: Reproduction, result: Result) -> Iterator[Block]:
    """Yield the parts of the page, in order."""
    paper = module.PAPER
    found, state = findings(paper, result)
    yield Block(heading=f"{paper.name}: {paper.title}")
    yield Block(text=f"Paper: {paper.reference}. Made by soundness reproduce; no figure is written by hand.")
    yield Block(text=f"Claim: {paper.claim}")
    yield Block(verdict=f"{verdict(found, state)} Scale {result.scale}, {len(result.seeds)} seeds.")
    skipped = tuple(dict.fromkeys(words for seed in result.seeds for words in seed.get("skipped", ())))
    if skipped:
        yield Block(text="Left out:")
        yield Block(points=skipped)
    yield Block(heading="What should come out, and what did")
    yield Block(
        text="Fixed before the run. Confirmed where the 95 % interval of the mean over seeds (Student's t) lies above the first "
        "bound, refuted where it lies below the second, otherwise not reached. A premise has to be confirmed for the claim to be "
        "testable; an observation decides nothing."
    )
    yield Block(table=_expected(found, result))
    yield Block(text=f"The claim is refuted if: {paper.refuted_if}")
    for name in module.pictures(result.seeds):
        yield Block(picture=name)
    for table in module.tables(result.seeds):
        yield Block(heading=table.title)
        yield Block(table=table)
    yield Block(heading="Arms and controls")
    yield Block(
        table=Table(
            "Arms and controls",
            ("arm", "what", "role"),
            tuple((one.name, one.what, "control" if one.control else "arm") for one in paper.arms),
        )
    )
    yield Block(heading="The paper's own figures")
    yield Block(
        table=Table(
            "The paper's own figures",
            ("what", "value", "to be trusted as"),
            tuple((one.what, one.value, f"{one.trust}: {_TRUST[one.trust]}") for one in paper.quoted),
        )
    )
    yield Block(heading="Settings")
    yield Block(table=_settings(module, result))
    yield Block(heading="Where this differs from the paper, size apart")
    yield Block(points=paper.differs)
    yield Block(heading="How it was made")
    yield Block(command=result.command)
    yield Block(table=_made(result))


def _expected(found: Sequence[Finding], result: Result) -> Table:
    seeds = ", ".join(str(seed["seed"]) for seed in result.seeds)
    head = ("should come out", "role", "unit", f"seeds {seeds}", "mean [95 %]", "confirmed; refuted", "state", "figure")
    rows = tuple(
        (
            one.expectation.says,
            one.expectation.role,
            one.expectation.unit,
            ", ".join(figure(value) for value in one.values),
            interval(one),
            bounds(one.expectation),
            one.state.value,
            one.expectation.figure,
        )
        for one in found
    )
    return Table("Expectations", head, rows)


def _settings(module: Reproduction, result: Result) -> Table:
    original = asdict(module.SCALES["paper"])
    sized = {*result.sizes, *original}
    rows = []
    for one in module.PAPER.settings:
        names = [name for name in one.name.split(", ") if name in sized]  # one source may stand for several sizes
        rows.append(
            (
                one.name,
                *("; ".join(_words(sizes.get(name)) for name in names) for sizes in (result.sizes, original)),
                one.source,
            )
        )
    return Table("Settings", ("setting", f"scale {result.scale}", "scale paper", "where from"), tuple(rows))


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    return ", ".join(_words(part) for part in value) if isinstance(value, list | tuple) else str(value)


def _made(result: Result) -> Table:
    rows = [
        ("date", result.date),
        ("machine", result.machine),
        ("time per seed, by the clock", ", ".join(duration(one) for one in result.seconds)),
        (
            "processor time per seed",
            ", ".join("not kept" if one is None else duration(one) for one in result.processor_seconds) or "not kept",
        ),
        ("versions", ", ".join(f"{name} {version}" for name, version in result.versions.items())),
        ("revision of the code", result.revision),
        *((f"data: {name}", held) for name, held in result.inputs.items()),
    ]
    return Table("How it was made", ("what", "value"), tuple(rows))


def markdown(module: Reproduction, result: Result) -> str:
    """Return the page as Markdown; pictures are NAME-PICTURE.svg beside it."""
    return document.markdown(blocks(module, result), lambda picture: f"{result.name}-{picture}.svg")


def html(module: Reproduction, result: Result, pictures: Mapping[str, str]) -> str:
    """Return the page as one HTML file; `pictures` are SVG texts by name."""
    return document.html(f"{result.name} at scale {result.scale}", blocks(module, result), pictures)


def digest(specification: Mapping[str, Any]) -> str:
    """Return the digest of a picture's specification that stands at the end of its file."""
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()[:16]


def _drawn(specification: Mapping[str, Any]) -> str:
    import vl_convert as vl

    return f"{vl.vegalite_to_svg(dict(specification))}\n<!-- specification {digest(specification)} -->\n"


def write_all(module: Reproduction, result: Result, folder: Path) -> None:
    """Write pictures, NAME.md and page.html of a result to `folder`."""
    pictures = {name: _drawn(specification) for name, specification in module.pictures(result.seeds).items()}
    for name, svg in pictures.items():
        write_text(folder / f"{result.name}-{name}.svg", svg)
    write_text(folder / f"{result.name}.md", markdown(module, result))
    write_text(folder / "page.html", html(module, result, pictures))


def rows() -> list[dict[str, Any]]:
    """Return one row per reproduction, its state computed from the figures of the shipped result; None where there is no result."""
    made = []
    for name in REPRODUCTIONS:
        paper, result = load_reproduction(name).PAPER, shipped(name)
        found, state = (None, None) if result is None else findings(paper, result)
        made.append(
            {
                "name": name,
                "title": paper.title,
                "paper": paper.reference,
                "claim": paper.claim,
                "scale": None if result is None else result.scale,
                "seeds": None if result is None else len(result.seeds),
                "seconds": None if result is None else round(sum(result.seconds), 1),
                "state": None if state is None else state.value,
                "parts": None if found is None else parts(found),
                "date": None if result is None else result.date,
            }
        )
    return made


def parts(found: Sequence[Finding]) -> str:
    """Return how many parts of the claim came to what, and which premises do not hold, in words."""
    states = Counter(one.state for one in found if one.expectation.role == "claim")
    counted = [f"{states[state]} {word}" for state, word in _STATES.items() if states[state]]
    open_premises = sum(one.expectation.role == "premise" and one.state is not State.CONFIRMED for one in found)
    if open_premises:
        counted.append(f"{open_premises} {'premise' if open_premises == 1 else 'premises'} not confirmed")
    return ", ".join(counted)


_STATES = {State.CONFIRMED: "confirmed", State.REFUTED: "refuted", State.NOT_REACHED: "undecided"}


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a row as texts, in the order of `HEAD`."""
    scale = "" if row["scale"] is None else f"{row['scale']}, {row['seeds']} seeds"
    time = "" if row["seconds"] is None else duration(row["seconds"])
    return (
        row["name"],
        row["paper"],
        row["claim"],
        scale,
        time,
        row["state"] or "not run here",
        row["parts"] or "",
        row["date"] or "",
    )


HEAD = ("name", "paper", "claim", "scale", "time", "state at this scale", "parts of the claim", "date")


def index() -> str:
    """Return the table of all reproductions as Markdown."""
    table = Table(
        "",
        HEAD,
        tuple((f"[{name}]({name}.md)" if row["state"] else name, *rest) for row in rows() for name, *rest in [cells(row)]),
    )
    return (
        "# The papers, re-run small\n\n"
        "*Made by `python -m soundness.documentation docs` from the results that come with the package.*\n\n"
        "Each claim with what became of it at the scale named, computed from intervals over seeds. A small result is a result about\n"
        "small models; it neither proves nor disproves the paper at its own size. Three seeds make wide intervals, and `not\n"
        "reached` is then the only honest word. Times are by the clock, other work on the machine included. `soundness\n"
        "reproduce` prints this table, `soundness reproduce NAME --scale cpu-small` runs one again.\n\n" + grid(table) + "\n"
    )


def write_docs(folder: Path) -> None:
    """Write to `folder` a page, the figures and the pictures of every shipped result, and the index README.md."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in REPRODUCTIONS:
        result = shipped(name)
        if result is None:
            continue
        module = load_reproduction(name)
        write_text(folder / f"{name}.json", result.text())
        write_text(folder / f"{name}.md", markdown(module, result))
        for picture, specification in module.pictures(result.seeds).items():
            path = folder / f"{name}-{picture}.svg"
            if not path.is_file() or digest(specification) not in path.read_text(encoding="utf-8"):
                write_text(path, _drawn(specification))
    write_text(folder / "README.md", index())
