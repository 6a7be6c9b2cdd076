"""The site builds without a warning, loads nothing from elsewhere, and says what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from deploy.reference import pages as written_pages
from scalecast_assets.alerting.cause import KINDS
from tests.docs.blocks import DOCS, ROOT, all_pages, blocks_of, site_pages
from tests.docs.test_commands import PAGES


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_built_and_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(https?:)?//[^\s\">]+")
    for page in site_pages():
        html = (site / page.name).with_suffix(".html").read_text(encoding="utf-8")
        foreign = [found[0] for found in loaded.finditer(html) if 'rel="canonical"' not in found[0]]
        assert foreign == [], page.name


def test_every_page_is_in_the_menu() -> None:
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    entries = [entry for group in menu for part in group.values() for entry in part]
    assert {page for entry in entries for page in entry.values()} == {
        page.name for page in site_pages()
    }


@pytest.mark.parametrize("name", ["settings.md", "commands.md", "api.md", "openapi.json"])
def test_what_is_made_from_the_code_is_current(name: str) -> None:
    current = written_pages()[name]
    assert (DOCS / name).read_text(encoding="utf-8") == current, (
        "run python -m deploy.reference and commit what it writes"
    )


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)
def test_every_command_is_run_or_says_why_not(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language, f"{block}: name the language, or `text`"
        if block.is_shell and (not block.is_run or block.notes.get("stays up")):
            assert len(block.notes.get("not run", "")) > 10, f"{block}: say why it is not run"
        if block.is_run:
            assert page.name in PAGES, (
                f"{block}: add the page to PAGES in test_commands.py, or mark the block "
                "<!-- not run: why -->"
            )


def test_operations_says_what_to_do_for_each_alert_and_for_no_other() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\*\*[^*]+\*\* \(`(\w+)`\)\.", page, re.MULTILINE)) == {*KINDS, *alerts}
