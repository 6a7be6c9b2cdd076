"""Great Expectations' own pages, built on request, and that it tells nobody about anything."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from scalecast_assets.ingest.rules import KEY_IS_UNIQUE, PRICE_IS_POSITIVE
from tests.factories_files import GOOD, csv_of
from tests.graph.command import Shell

BAD = csv_of(GOOD.replace("9.99", "0"), GOOD.replace("P1", "P2"), GOOD.replace("P1", "P2"))

JUDGE = """
import json, pathlib, sys
told = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        told.append([event, repr(arguments[1] if event == "socket.connect" else arguments[0])])
sys.addaudithook(hook)
import psycopg
from scalecast_assets.checks.judging import judge_files
from scalecast_assets.ingest.trial import on_trial
from scalecast_assets.resources.warehouse import WarehouseResource
warehouse = WarehouseResource(url=sys.argv[1])
with psycopg.connect(sys.argv[1], autocommit=True) as conn:
    with on_trial(conn, pathlib.Path(sys.argv[2]), {}) as trial:
        verdict = judge_files(
            conn, warehouse.sqlalchemy_url, [trial.file], pathlib.Path(sys.argv[3])
        )
broken = [j.rule.name for j in verdict.judgements if not j.passed]
print(json.dumps({"broken": broken, "told": told}))
"""


@pytest.fixture(scope="module")
def docs(shell: Shell) -> Path:
    """The pages about a bad file; made once."""
    file, folder = shell.folder / "bad.csv", shell.folder / "data docs"
    file.write_bytes(BAD)
    page = shell.folder / "page.html"
    answer = shell.scalecast("validate", file, "--data-docs", folder, "--report", page, "--json")
    assert answer.code == 3, answer.err
    assert answer.json["data_docs"] == str(folder / "index.html")
    assert answer.json["report"] == str(page)
    return folder


def test_a_report_named_html_is_the_page(docs: Path) -> None:
    page = (docs.parent / "page.html").read_text()
    assert "This file would not be loaded" in page
    assert '<h2 id="price_is_positive">' in page
    assert "What is used meanwhile" not in page


def test_the_first_page_leads_to_what_was_found(docs: Path) -> None:
    index = (docs / "index.html").read_text()
    pages = [docs / unquote(link) for link in re.findall(r'href="([^"#:]+\.html)"', index)]
    assert {page.relative_to(docs).parts[:2] for page in pages} >= {
        (kind, name) for kind in ("validations",) for name in ("lines", "rows", "warnings")
    }
    (rows,) = [
        page for page in pages if page.relative_to(docs).parts[:2] == ("validations", "rows")
    ]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", rows.read_text()))
    assert "Great Expectations Version" in text
    assert re.search(r"values must be greater than 0.0 and less than or equal to", text)
    assert "1 unexpected values found" in text


def test_no_page_loads_anything_from_elsewhere(docs: Path) -> None:
    files = [path for path in docs.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".html"}
    for page in files:
        html = page.read_text()
        assert "<style>" in html
        assert not re.search(
            r"<(script|link|img|iframe)\b|@import|url\(\s*['\"]?(https?:)?//", html
        )


def test_a_folder_that_holds_something_is_not_written_into(shell: Shell) -> None:
    file, folder = shell.folder / "bad.csv", shell.folder / "taken"
    file.write_bytes(BAD)
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    answer = shell.scalecast("validate", file, "--data-docs", folder)
    assert answer.code == 2
    assert "is not empty; name a new folder" in answer.err
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_great_expectations_speaks_to_the_database_alone(database_url: str, tmp_path: Path) -> None:
    """In a process of its own: Python reports every connection and look-up of a name."""
    file = tmp_path / "bad.csv"
    file.write_bytes(BAD)
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, database_url, str(file), str(tmp_path / "docs")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert set(answer["broken"]) == {PRICE_IS_POSITIVE, KEY_IS_UNIQUE}
    # Both drivers connect in C; whatever Python itself opens would be somebody else's.
    assert answer["told"] == []
