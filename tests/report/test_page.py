from __future__ import annotations

import base64
import copy
import gzip
import json
import os
import re
from pathlib import Path

import pytest

from soundness.report.page import render_page, write_page, write_view
from soundness.report.view import build_view
from soundness.runs.folder import open_run
from soundness.terminal import visible

GOLD = Path(__file__).parent / "gold" / "page.html"


@pytest.fixture(scope="module")
def view(run):
    return build_view(open_run(run.path))


@pytest.fixture(scope="module")
def page(view):
    return render_page(view)


def index_of(page):
    return json.loads(re.search(r'<script type="application/json" id="index">(.*?)</script>', page, re.S)[1])


def blocks_of(page):
    packed = re.findall(r'<script type="text/plain" id="block-\d+">(.*?)</script>', page, re.S)
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in packed]


def test_every_problem_lies_in_its_block(view, page):
    rows, blocks = index_of(page)["rows"], blocks_of(page)
    assert len(rows) == len(view["problems"]) == 24
    for row, problem in zip(rows, view["problems"], strict=True):
        block, place = row["place"]
        assert blocks[block][place] == json.loads(json.dumps(problem))


def test_the_page_names_no_address_and_runs_one_script(page):
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert page.count("<script>") == 1
    assert "default-src &#39;none&#39;" in page


def test_hostile_texts_cannot_leave_their_place(view):
    hostile = "</script><script>alert(1)</script>{{ 7*7 }}\u2028\x00\u202e"
    evil = copy.deepcopy(view)
    evil["problems"][0]["question"] = hostile
    evil["problems"][0]["chains"][0]["text"] = hostile
    evil["verdicts"][0]["tuned"] = hostile
    page = render_page(evil)
    assert page.count("<script>") == 1
    assert "<script>alert" not in page
    assert not set("<>&\u2028") & set(page.split('id="index">')[1].split("</script>")[0])
    assert index_of(page)["rows"][0]["question"] == visible(hostile)
    assert "49" not in index_of(page)["rows"][0]["question"]


def test_chains_beyond_the_size_are_left_out_aloud_and_flips_stay(view):
    big = copy.deepcopy(view)
    for at, problem in enumerate(big["problems"]):  # incompressible, so that size counts
        problem["chains"][0]["text"] = os.urandom(400_000).hex()
        problem["tags"] = {name: ["right_to_wrong" if at == 20 else "same"] for name in problem["tags"]}
    page = render_page(big, most_bytes=2_500_000)
    rows = index_of(page)["rows"]
    left_out = sum(row["place"] is None for row in rows)
    assert 0 < left_out < 24
    assert rows[20]["place"] is not None
    assert f"The chains of {left_out} of 24 problems are not in this page" in page
    assert len(page) < 2_500_000


def test_two_renderings_are_equal_to_the_byte(run, page):
    assert render_page(build_view(open_run(run.path))) == page


def test_report_and_data_are_written_where_asked(run, tmp_path):
    path = write_page(open_run(run.path), tmp_path / "deep" / "page.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(write_view(open_run(run.path), tmp_path / "view.json").read_text())["num_problems"] == 24


def scrubbed(page):
    """Return the page without what differs from machine to machine: versions, dates, times, digests, pictures' coordinates."""
    page = re.sub(r"<style>.*?</style>", "<style></style>", page, flags=re.S)
    page = re.sub(r"<script>.*?</script>", "<script></script>", page, flags=re.S)
    page = re.sub(r"<svg .*?</svg>", "<svg></svg>", page, flags=re.S)
    page = re.sub(r"sha256-[A-Za-z0-9+/=]+", "sha256-DIGEST", page)
    page = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "DATE", page)
    page = re.sub(r"<h3>(Versions|Time)</h3>.*?</dl>", r"<h3>\1</h3>", page, flags=re.S)
    page = re.sub(r'(id="block-\d+">)[^<]*', r"\1", page)
    # The thresholds and the metrics' meaning are the verdict's and the metrics' own.
    page = re.sub(r"<h3>Thresholds of the verdict</h3>.*?</dl>", "<h3>Thresholds of the verdict</h3>", page, flags=re.S)
    return re.sub(r'<div class="meaning">.*?</dl>', '<div class="meaning">', page, flags=re.S)


def test_gold_page(fixed_run):
    page = render_page(build_view(open_run(fixed_run.path)))
    actual = scrubbed(page) + json.dumps(blocks_of(page), indent=1) + "\n"
    if os.environ.get("UPDATE_GOLD"):
        GOLD.write_text(actual, encoding="utf-8")
    beside = GOLD.with_suffix(".actual.html")
    if not GOLD.is_file() or GOLD.read_text(encoding="utf-8") != actual:
        beside.write_text(actual, encoding="utf-8")
        pytest.fail(f"the page differs from {GOLD.name}; see {beside}, and set UPDATE_GOLD=1 if the change is meant")
    beside.unlink(missing_ok=True)
