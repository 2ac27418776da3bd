from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")  # no longer: while it runs, its event loop is in the way of other asynchronous libraries
def browser():
    """Debian's Chromium, headless; skips where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'soundness[dev]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium, or make browser")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core; skips where npm has not fetched it."""
    path = ROOT / "build" / "browser" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip("axe-core is not installed: make browser")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def artefacts():
    folder = ROOT / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def opened(browser):
    """Open a file in a page of its own; the test fails on any console error, page error or request beyond the file."""
    contexts, troubles = [], []

    def open_file(path, width=1440, height=900, fragment="", colour_scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=colour_scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if not request.url.startswith("file:") else None)
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.goto(f"{Path(path).resolve().as_uri()}{fragment}")
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_file
    for context in contexts:
        context.close()
    assert troubles == []
