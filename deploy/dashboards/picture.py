"""A page as a PNG, by the system's Chromium."""

import io
import os
import shutil
from pathlib import Path
from typing import Final

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_COLORS: Final = 256
"""In a picture: there are not many more, and it has a third of the bytes."""


def photograph(page: Path, picture: Path) -> None:
    """Draw the whole page of a file into a PNG.

    Raises:
        FileNotFoundError: there is no browser.
    """
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError("no Chromium on the PATH: install one, or leave out --png")
    # Chromium's sandbox refuses to start for root.
    flags = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=flags)
        tab = opened.new_page(viewport={"width": 1420, "height": 600})
        tab.goto(page.resolve().as_uri())
        taken = tab.screenshot(full_page=True)
        opened.close()
    whole = Image.open(io.BytesIO(taken)).convert("RGB")
    # By coverage: the median cut would make an orange number red where red is more frequent.
    whole.quantize(_COLORS, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)
