"""A real Chromium, and pages in it that note whatever must not happen on a page of ours."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

CHECKS: Final = (Path(__file__).parent / "page_checks.js").read_text()
"""``window.checks``: what a page must be for everyone."""

WATCH: Final = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

PATIENCE_MS: Final = 30_000

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium; skip if there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on the PATH: install one (Debian: apt-get install chromium)")
    # Chromium's sandbox refuses to start for root.
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *root])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """Open ``address`` in a fresh profile; at the end, nothing forbidden may have happened.

    That is: a request that leaves the origin, an error of a script, a breach of the content
    policy, a dialog, a layout that shifts by itself.
    """
    options = {
        "locale": "en-US",
        "timezone_id": "UTC",
        "viewport": {"width": 1280, "height": 900},
        "reduced_motion": "reduce",
        **options,
    }
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.add_init_script(WATCH)
    page.add_init_script(CHECKS)
    forbidden: list[str] = []
    origin = urlsplit(address)[:2]

    def note_request(url: str) -> None:
        if urlsplit(url)[:2] != origin and not url.startswith("blob:"):
            forbidden.append(f"a request to {url}")

    def note_console(kind: str, text: str) -> None:
        # Answers of 4xx and 5xx are listed there, too; what the page makes of them is tested.
        if kind == "error" and not text.startswith("Failed to load resource"):
            forbidden.append(text)

    def dismiss(dialog: Dialog) -> None:
        forbidden.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    page.on("request", lambda request: note_request(request.url))
    page.on("console", lambda message: note_console(message.type, message.text))
    page.on("pageerror", lambda error: forbidden.append(str(error)))
    page.on("dialog", dismiss)
    try:
        page.goto(address)
        yield page
        assert forbidden == []
        assert page.evaluate("window.shifted") < 0.1
    finally:
        context.close()
