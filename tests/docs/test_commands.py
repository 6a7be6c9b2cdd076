"""Every command of the documentation is run, page after page, as somebody would who follows it.

The pages share one checkout and one home.
"""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.docs.blocks import ROOT, all_pages
from tests.docs.reader import Reader, reading
from tests.graph.command import SCALECAST

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None, reason="the pages ask with curl (apt-get install curl)"
)

PAGES = (
    "quickstart.md",
    "README.md",
    "your-data.md",
    "datasets.md",
    "backup.md",
    "upgrading.md",
    "CONTRIBUTING.md",
)
"""In the order of the story."""

SALES = """\
date,store_id,product_id,quantity_sold,price,promotion
2024-03-17,STORE_001,PROD_A,131,29.99,true
2024-03-17,STORE_002,PROD_B,12,9.99,no
"""
"""What the README takes for granted: sales of one's own."""


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    with reading() as reader:
        (reader.folder / ".venv").symlink_to(SCALECAST.parent.parent)
        (reader.folder / "sales.csv").write_text(SALES)
        made = shutil.ignore_patterns("target", "logs")
        shutil.copytree(ROOT / "dbt_project", reader.folder / "dbt_project", ignore=made)
        shutil.copy(ROOT / ".pre-commit-config.yaml", reader.folder)
        subprocess.run(["git", "init", "--quiet", reader.folder], check=True)
        yield reader


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_says_works(name: str, reader: Reader) -> None:
    reader.check_page(next(page for page in all_pages() if page.name == name))
