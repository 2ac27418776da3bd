from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from soundness.papers import page
from soundness.papers.catalogue import REPRODUCTIONS, load_reproduction, shipped
from soundness.papers.running import reproduce


@pytest.fixture
def made(toy, tmp_path):
    def make(seeds=3, **planted):
        toy.PLANTED.update(planted)
        result = reproduce("toy", out=tmp_path, seeds=seeds)
        folder = tmp_path / "toy" / "tiny"
        return result, (folder / "toy.md").read_text(), (folder / "page.html").read_text()

    return make


def test_the_page_says_what_was_claimed_expected_and_found(made):
    _, text, html = made()
    for words in (
        "More toys",
        "Confirmed at this scale: every part",
        "joy rises with toys",
        "0.500, 0.600, 0.550",
        "0.550 [0.426, 0.674]",
        "interval above 0.1; below 0",
        "an observation decides nothing",
        "joy falls with toys.",
        "second-hand: as others report it",
        "paper, sec. 1",
        "No child was asked.",
        "soundness reproduce toy --scale tiny --seeds 3",
        "toys.jsonl is absent: name its folder with --data",
    ):
        assert words in text, words
        assert words in html, words
    assert "| num_toys | 2 | 2000 | paper, sec. 1 |" in text
    assert "![joy](toy-joy.svg)" in text and "data:image/svg+xml;base64," in html


@pytest.mark.parametrize(
    ("planted", "seeds", "words"),
    [
        ({"joy": (-0.5, -0.6, -0.55)}, 3, "Refuted at this scale: 1 of 1 parts of the claim refuted (joy)."),
        ({"joy": (0.5, -0.6, 0.2)}, 3, "Not reached at this scale: 1 of 1 parts of the claim undecided (joy)."),
        ({"noise": (-1.0, -1.1, -1.2)}, 3, "not every premise is confirmed (noise)."),
        ({"joy": (0.5, None, 0.6)}, 3, "0.500, -, 0.600 | 0.550, no interval"),
        ({}, 1, "0.500, no interval"),
    ],
)
def test_the_verdict_follows_the_figures(made, planted, seeds, words):
    assert words in made(seeds, **planted)[1]


def test_what_modules_say_is_no_markup(made):
    _, text, html = made()
    assert "<b>" not in text and "<b>" not in html
    assert "&lt;b&gt;matter" in html

    class Watch(HTMLParser):
        def handle_starttag(self, tag, attributes):
            assert tag not in ("script", "link", "iframe")
            for name, value in attributes:
                if name in ("src", "href"):
                    assert value.startswith("data:")

    Watch().feed(html)
    assert "default-src 'none'" in unescape(html)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) > 2 for row in rows)


def test_a_picture_tells_what_it_was_drawn_from(made, toy, tmp_path):
    result, *_ = made()
    svg = (tmp_path / "toy" / "tiny" / "toy-joy.svg").read_text()
    ET.fromstring(svg)
    assert page.digest(toy.pictures(result.seeds)["joy"]) in svg


def test_documents_and_rows_come_from_what_is_shipped(made, toy, tmp_path, monkeypatch):
    result, text, _ = made()
    monkeypatch.setattr(page, "shipped", lambda name: None)
    assert page.rows()[0]["state"] is None and "not run here" in page.cells(page.rows()[0])
    monkeypatch.setattr(page, "shipped", lambda name: result)
    (row,) = page.rows()
    assert (row["state"], row["scale"], row["seeds"], row["date"]) == ("confirmed", "tiny", 3, result.date)
    page.write_docs(tmp_path / "docs")
    assert (tmp_path / "docs" / "toy.md").read_text() == text
    assert (tmp_path / "docs" / "toy.json").read_text() == result.text()
    assert "[toy](toy.md)" in (tmp_path / "docs" / "README.md").read_text()
    written = (tmp_path / "docs" / "toy-joy.svg").stat().st_mtime_ns
    page.write_docs(tmp_path / "docs")
    assert (tmp_path / "docs" / "toy-joy.svg").stat().st_mtime_ns == written  # drawn anew only when it changed


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_the_documents_of_shipped_results_are_fresh(name):
    docs = Path(__file__).parents[2] / "docs" / "papers"
    result = shipped(name)
    if result is None:
        assert not (docs / f"{name}.md").exists()
        return
    module = load_reproduction(name)
    stale = "is stale: run python -m soundness.documentation docs"
    assert (docs / f"{name}.md").read_text(encoding="utf-8") == page.markdown(module, result), f"{name}.md {stale}"
    assert (docs / f"{name}.json").read_text(encoding="utf-8") == result.text(), f"{name}.json {stale}"
    for picture, specification in module.pictures(result.seeds).items():
        svg = (docs / f"{name}-{picture}.svg").read_text(encoding="utf-8")
        assert page.digest(specification) in svg, f"{name}-{picture}.svg {stale}"


def test_the_index_is_fresh():
    index = (Path(__file__).parents[2] / "docs" / "papers" / "README.md").read_text(encoding="utf-8")
    assert index == page.index(), "docs/papers/README.md is stale: run python -m soundness.documentation docs"


def test_the_readme_tells_what_became_of_every_claim() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for row in page.rows():
        line = next(
            line for line in readme.splitlines() if line.startswith(f"| [`{row['name']}`](docs/papers/{row['name']}.md)")
        )
        assert line.endswith(f"| {row['state']}: {row['parts']} |"), "the state in the README is that of the shipped result"
