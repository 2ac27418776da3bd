from __future__ import annotations

import time

import pytest

from soundness.auditing import audit
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.records import Problem
from soundness.report.page import MOST_BYTES, render_page, write_page
from soundness.report.view import build_view
from soundness.runs.folder import open_run
from soundness.tasks.base import Task, load_task

MARKUP = "<script>window.pwned=1</script>\n</script><img src=x onerror='window.pwned=1'>\n{{ 7 * 7 }} {% raw %}\n<!-- \n"
HOSTILE = MARKUP + "\u202eturned \u200bunseen \u05e9\u05dc\u05d5\u05dd\n\x00NUL\nAnswer: 4\n"
LONG = "start\n" + "x" * 100_000 + "\nAnswer: 4\n"


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    models = [
        load_scripted(name) for name in ("computes?slip=0.2", "computes?slip=0.05&seed=1", "ignores-chain?slip=0.1&seed=1")
    ]
    task = load_task("chain-sum", limit=60, seed=0)
    with audit(models[0], models[1:], task, out=tmp_path_factory.mktemp("browser") / "run") as made:
        pass
    return made


@pytest.fixture(scope="session")
def report(run):
    return write_page(open_run(run.path))


def rows(page):
    return page.locator("#list button.row")


def test_filter_search_open_and_close(opened, report, run):
    page = opened(report)
    assert rows(page).count() == 50
    assert page.locator("#count").inner_text().startswith("60 of 60 problems")
    page.select_option("#which", index=1)
    lost = page.locator("#tags button", has_text="same answer, gain lost")
    wanted = int(lost.inner_text().split()[-1])
    lost.click()
    assert page.locator("#count").inner_text().startswith(f"{wanted} of 60")
    page.locator("#tags button", has_text="all 60").click()
    page.fill("#search", "chain-sum/0/17")
    assert rows(page).count() == 1
    rows(page).first.click()
    page.wait_for_selector("#opened .side")
    sides = page.locator("#opened .side")
    assert sides.count() == 2
    base = run.comparisons[0].base
    chain = next(c for c in run.chains() if c.problem_id == "chain-sum/0/17" and c.model == base)
    steps = sides.first.locator(".steps > li > .text")
    assert [steps.nth(i).inner_text().strip() for i in range(steps.count())] == [t.strip() for t in chain.step_texts[:-1]]
    assert sides.first.locator(".gain").all_inner_texts()[-1].endswith("nats")
    assert "problem=chain-sum" in page.url
    rows(page).first.click()
    assert page.locator("#opened").count() == 0


def test_a_link_to_a_problem_opens_it(opened, report):
    page = opened(report, fragment="#problem=chain-sum%2F0%2F55")
    page.wait_for_selector("#opened .side")
    assert "chain-sum/0/55" in page.locator("button.row[aria-expanded=true]").inner_text()
    assert "page 2 of 2" in page.locator("#page").inner_text()


def test_the_list_is_walked_by_keyboard_alone(opened, report):
    page = opened(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    rows(page).first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#opened .side")
    assert page.locator("button.row[aria-expanded=true]").get_attribute("data-at") == "2"
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.locator("#opened").count() == 0
    assert page.evaluate("document.activeElement.dataset.at") == "2"
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.at") == "49"


def test_dark_and_light(opened, report):
    page = opened(report, colour_scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.locator("#theme").click()
    light = page.evaluate(colour)
    assert page.locator("#theme").get_attribute("aria-pressed") == "false"
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overflows_at_either_width(opened, report, artefacts, width):
    page = opened(report, width=width)
    rows(page).nth(1).click()
    page.wait_for_selector("#opened .side")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=artefacts / f"report-{width}.png", full_page=True)
    page.locator("#theme").click()
    page.screenshot(path=artefacts / f"report-{width}-dark.png")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_violation(opened, report, axe, dark):
    page = opened(report, colour_scheme="dark" if dark else "light")
    page.fill("#search", "chain-sum/0/1")  # a few rows stand for all
    rows(page).nth(1).click()
    page.wait_for_selector("#opened .side")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], one["nodes"][0]["failureSummary"])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_prints_without_the_controls(opened, report):
    page = opened(report)
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert page.locator("#verdict").is_visible()
    assert len(page.pdf()) > 20_000


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """A run whose question, model names and chains are hostile, and one chain with a line of 100 kB."""

    def behaviour(question, written):
        text = LONG if "long" in question else HOSTILE
        return text[len(written) :] if text.startswith(written) else " 4\n" if written.endswith("Answer:") else ""

    models = [ScriptedModel(behaviour, name=name) for name in ("base</script><b>", "<img src=x onerror='window.pwned=1'>")]
    problems = [Problem("<b>1</b>", f"{MARKUP}2 + 2?", "4"), Problem("long", "long: 2 + 2?", "4")]
    folder = tmp_path_factory.mktemp("hostile") / "run"
    with audit(models[0], models[1:], Task("hostile", tuple(problems)), out=folder, metrics=["info_gain"], max_tokens=110_000):
        pass
    return write_page(open_run(folder))


def test_hostile_chains_are_shown_as_text_and_nothing_runs(opened, hostile):
    page = opened(hostile)
    rows(page).first.click()
    page.wait_for_selector("#opened .side")
    text = page.locator("#opened .side").first.inner_text()
    for part in (
        "<script>window.pwned=1</script>",
        "</script><img src=x",
        "{{ 7 * 7 }} {% raw %}",
        "[U+202E]",
        "[U+200B]",
        "\u2400NUL",
    ):
        assert part in text
    rows(page).nth(1).click()
    page.wait_for_selector("#opened .side")
    assert "x" * 100_000 in page.locator("#opened .side").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    assert page.evaluate("window.pwned") is None
    assert page.locator("img").count() == 0


def test_a_score_run_is_shown_without_verdict(opened, tmp_path):
    import json

    from soundness.auditing import score

    traces = tmp_path / "traces.jsonl"
    question = "Work modulo 10: every result is one digit from 0 to 9. Start with 3. Add 4. Add 2. What is the last digit?"
    row = {"question": question, "answer": "9", "trace": "3 + 4 = 7\n7 + 2 = 9\nAnswer: 9", "model": "them"}
    traces.write_text("".join(json.dumps({**row, "id": str(i)}) + "\n" for i in range(4)))
    with score(traces, scorer=load_scripted("computes"), out=tmp_path / "run", metrics=["info_gain"]):
        pass
    page = opened(write_page(open_run(tmp_path / "run")))
    assert page.locator("#verdict").count() == 0
    rows(page).first.click()
    page.wait_for_selector("#opened .side")
    assert page.locator("#opened .side").count() == 1


def test_two_thousand_problems_open_in_two_seconds(opened, run, tmp_path):
    view = build_view(open_run(run.path))
    many = [{**view["problems"][i % 60], "id": f"problem {i}"} for i in range(2000)]
    for at, problem in enumerate(many):  # texts of their own, so that the file does not shrink to one chain
        problem["chains"] = [{**chain, "text": f"{at} {chain['text']}"} for chain in problem["chains"]]
    path = tmp_path / "many.html"
    path.write_text(render_page({**view, "problems": many, "num_problems": 2000}), encoding="utf-8")
    assert path.stat().st_size < MOST_BYTES
    start = time.perf_counter()
    page = opened(path)
    ready = page.evaluate("performance.now()") / 1000
    took = time.perf_counter() - start
    assert ready < 2, f"ready after {ready:.2f} s ({took:.2f} s with a new tab)"
    page.fill("#search", "problem 1999")
    assert rows(page).count() == 1
    rows(page).first.click()
    page.wait_for_selector("#opened .side")
