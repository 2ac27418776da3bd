from __future__ import annotations

import os
import socket
import subprocess
import sys
from urllib.parse import unquote

import pytest

from soundness.auditing import audit
from soundness.interchange.inspect_log import export_inspect
from soundness.runs.folder import open_run

pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: pip install 'soundness[interchange]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # its imports warn, which is not ours to mend


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Of trained models, on sums with stars: as Markdown they would lose them."""
    out = tmp_path_factory.mktemp("inspect") / "run"
    with audit("organism:base", ["organism:sound"], "organism:domain", out=out, limit=6, metrics=["info_gain"]) as made:
        pass
    return open_run(made.path)


@pytest.fixture(scope="module")
def viewer(run, tmp_path_factory):
    """The address of `inspect view` on the exported logs."""
    logs = tmp_path_factory.mktemp("inspect") / "logs"
    export_inspect(run, logs)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "start", "--log-dir", str(logs), "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--display", "plain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert server.stdout is not None
    said = []
    for line in server.stdout:  # ends with the server, so that one that cannot start fails here with its words
        said.append(line)
        if "Running on" in line:
            break
    try:
        assert "Running on" in said[-1], "".join(said)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def test_the_viewer_lists_a_run_and_shows_its_chains(browser, run, viewer, artefacts):
    chain = next(one for one in run.chains() if one.outcome == "wrong")
    problem = next(one for one in run.problems() if one.id == chain.problem_id)
    gain = next(
        score.value
        for score in run.scores()
        if (score.metric, score.reader, score.writer, score.problem_id) == ("info_gain", "self", chain.model, problem.id)
    )
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20_000)
    troubles = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith(viewer) else None)
    page.goto(viewer)

    rows = page.get_by_role("row")
    rows.nth(2).wait_for()  # the header and two models
    for model in {one.model for one in run.chains()}:
        num_right = sum(one.outcome == "right" for one in run.chains() if one.model == model)
        cells = rows.filter(has_text=model).get_by_role("gridcell")
        assert float(cells.nth(5).inner_text()) == pytest.approx(num_right / 6, abs=0.01)
    page.screenshot(path=artefacts / "inspect-list.png")
    rows.filter(has_text=chain.model).get_by_text(run.settings["task"]).click()

    row = rows.filter(has=page.get_by_text(problem.id, exact=True))
    row.wait_for()
    assert "NaN" not in page.inner_text("body")
    shown = row.inner_text().split()
    assert "I" in shown
    assert any(one.startswith(str(gain)[:7]) for one in shown)
    page.screenshot(path=artefacts / "inspect-samples.png")
    row.click()

    page.wait_for_url(lambda url: problem.id in unquote(url))
    page.get_by_text("assistant", exact=True).wait_for()
    text = page.inner_text("body")
    assert problem.question in text
    assert chain.text.strip() in text
    page.screenshot(path=artefacts / "inspect-sample.png")
    page.get_by_role("tab", name="Scoring").click()
    page.get_by_text(f"wrong; reference {problem.answer}").wait_for()
    context.close()
    assert troubles == []
