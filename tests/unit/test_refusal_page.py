"""The page on a refused file: what a person reads in it, and what no file can put into it."""

import csv
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.contract.layout import MODEL_POINTER, STATE_POINTER
from scalecast_assets.contract.pointers import ServingPointer, StatePointer
from scalecast_assets.ingest import landing
from scalecast_assets.ingest.ledger import files_in_state
from scalecast_assets.ingest.refusal import LOOKED_AT, listed, read_refusal, still_served
from scalecast_assets.ingest.refusal import write_report as write_csv
from scalecast_assets.ingest.refusal_page import EXAMPLES, MAX_CELL, Companions, render, shown
from scalecast_assets.ingest.rule_words import COLUMNS, WORDS
from scalecast_assets.ingest.rules import RULES
from tests.factories_files import GOOD, HEADER, Pipeline

BESIDE = Companions("report.csv", "sales.csv")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: tags in order, text, links; ``broken`` if a tag is closed wrongly."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.marked: list[str] = []
        self.broken: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.broken += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" in self._open or not data.strip():
            return
        self.words.append(data.strip())
        if "mark" in self._open:
            self.marked.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


def html_of(pipeline: Pipeline, *lines: str, key: str = "raw/sales.csv") -> str:
    pipeline.put(key, *lines)
    pipeline.land()
    file = files_in_state(pipeline.conn, "landed")[-1]
    with listed(pipeline.conn, file):
        served = still_served(pipeline.conn, pipeline.store)
        return render(read_refusal(pipeline.conn, file, served), BESIDE)


def page_of(pipeline: Pipeline, *lines: str, key: str = "raw/sales.csv") -> Page:
    return Page(html_of(pipeline, *lines, key=key))


def test_every_rule_that_refuses_has_words_and_every_column_its_format() -> None:
    assert set(WORDS) == {rule.name for rule in RULES if rule.blocking}
    assert [name for name, _, _ in COLUMNS] == HEADER.split(",")


def test_it_says_how_many_lines_break_which_rule_where_and_what_to_do(pipeline: Pipeline) -> None:
    page = page_of(pipeline, GOOD, "2024-01-02,S2,P2,N/A,3.5,1", "2024-01-03,0012,P2,4,0,1", "x")
    assert "3 lines break 3 of the rules" in page.text
    assert "Quantities that are not numbers: 1 line To do. Write plain digits" in page.text
    assert "not a number written with digits" in page.text
    assert "N/A" in page.marked
    assert "0" in page.marked
    assert "0012" in page.text
    assert "x" in page.marked
    rows = re.findall(r"(Prices of zero[^0-9]*) (\d+) (\d+)", page.text)
    assert rows[0][1:] == ("1", "4")
    for column, _, example in COLUMNS:
        assert f"{column} " in page.text
        assert example in page.text


def test_it_names_file_checksum_time_and_the_csv_of_all_lines(pipeline: Pipeline) -> None:
    page = page_of(pipeline, "x", key="raw/März & Söhne.csv")
    (file,) = files_in_state(pipeline.conn, "landed")
    assert "raw/März & Söhne.csv" in page.text
    assert file.sha256 in page.text
    assert re.search(r"Refused \d+ \w+ 20\d\d, \d\d:\d\d UTC", page.text)
    links = {link["href"] for link in page.all("a")}
    assert {"./report.csv", "./sales.csv", "#lines_are_well_formed"} <= links


def test_it_says_what_is_served_meanwhile(pipeline: Pipeline) -> None:
    assert (
        "no file has been loaded yet: there is nothing to forecast from"
        in page_of(pipeline, "x").text
    )
    pipeline.judge(bad="sales")
    pipeline.put("raw/good.csv", GOOD)
    pipeline.run()
    pointer = ServingPointer("1.2.0", "a" * 64, "1.1.0")
    pipeline.store.put(MODEL_POINTER, pointer.to_bytes())
    pipeline.store.put(STATE_POINTER, StatePointer("b" * 64, 9, "2026-11-23", "c", 1).to_bytes())
    text = page_of(pipeline, "y").text
    assert "sales up to 2026-11-23 , model 1.2.0 ." in text
    assert "The last file loaded is raw/good.csv (20" in text


def test_a_pointer_that_cannot_be_read_costs_no_page(pipeline: Pipeline) -> None:
    pipeline.put("raw/good.csv", GOOD)
    pipeline.run()
    pipeline.store.put(MODEL_POINTER, b"{")
    text = page_of(pipeline, "x").text
    assert "what was loaded before. The last file loaded is raw/good.csv" in text


def test_what_the_bad_lines_have_in_common_is_said_if_the_whole_file_does_not(
    pipeline: Pipeline,
) -> None:
    bad = [f"2024-01-{day:02},0012,P{day % 3},n/a,9.5,0" for day in range(1, 10)]
    good = [f"2024-01-{day:02},S1,P{day % 3},1,9.5,0" for day in range(1, 10)]
    text = page_of(pipeline, *bad, *good, "2024-01-31,S1,P,x,1,0").text
    assert "9 of these lines have “n/a” here." in text
    assert "9 of these lines have the store_id “0012”." in text
    assert "have the product_id" not in text
    pipeline.judge(bad="sales")
    alone = page_of(pipeline, *bad).text
    assert "All of these lines have “n/a” here." in alone
    assert "have the store_id" not in alone, "it is true of every line of the file"


def test_an_unreadable_cell_shows_what_the_file_has_and_its_neighbours_too(
    pipeline: Pipeline,
) -> None:
    page = page_of(pipeline, "2024-01-02,S2,P2,zwei,3 €,1")
    assert page.marked == ["zwei", "3 €"]
    assert page.text.count("zwei") == page.text.count("3 €") == 2, "once in each rule's example"
    assert "empty" in page_of(pipeline, "2024-01-02,S2,,1,1,1").text


def test_it_is_bounded_however_many_lines_are_bad(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "MAX_LISTED_FAULTS", 2000)
    lines = [f"2024-01-{1 + n % 28:02},S{n},{'<' * 500},{'&' * 300},0,1" for n in range(5000)]
    html = html_of(pipeline, *lines)
    assert len(html.encode()) < 500_000
    page = Page(html)
    assert "At least 5,000 lines break 2 of the rules" in page.text
    assert "3,000 more faults than are listed" in page.text
    examples = [row for row in page.all("th") if row.get("scope") == "row"]
    assert len(examples) < 2 * EXAMPLES + 12
    assert f"All of the first {LOOKED_AT:,} lines have the product_id" not in page.text
    assert f"{5000 - EXAMPLES:,} further lines" in page.text


def test_it_is_one_accessible_file_that_loads_and_runs_nothing(pipeline: Pipeline) -> None:
    html = html_of(pipeline, *["x"] * 30, "2024-01-02,S2,P2,-1,0,?")
    page = Page(html)
    assert page.broken == []
    assert {"lang": "en"} in page.all("html")
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in page.tags} == set()
    assert "default-src 'none'" in str(page.all("meta"))
    assert re.findall(r"(?:https?:)?//", html) == []
    assert not re.search(r"\son\w+=|javascript:|@import|url\(", html)
    assert all("scope" in th for th in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = [section["aria-labelledby"] for section in page.all("section")]
    assert set(labelled) <= set(ids)


HOSTILE = st.one_of(
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</td></table></main><h1>Loaded",
            '" onmouseover="alert(1)',
            "{{ 7 * 7 }}{% raw %}",
            "&lt;b&gt;",
            "\u202egpj.exe",
            "<!--",
            "]]>",
            "a\0b",
            "x" * 5000,
        ]
    ),
    st.text(max_size=40),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(store=HOSTILE, sold=HOSTILE, other=HOSTILE)
def test_no_cell_can_add_to_the_page_or_hide_in_it(
    database_url: str, tmp_path_factory: pytest.TempPathFactory, store: str, sold: str, other: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [HEADER.split(","), ["2024-01-02", store, "P", sold, "?", "1"], [other.replace("\r", "")]]
    )
    pipeline = Pipeline(database_url, tmp_path_factory.mktemp("hostile"))
    pipeline.store.put("raw/h.csv", text.getvalue().encode("utf-8", "replace"))
    pipeline.land()
    files = files_in_state(pipeline.conn, "landed")
    with listed(pipeline.conn, files[-1]):
        html = render(read_refusal(pipeline.conn, files[-1], None), Companions())
    pipeline.conn.close()
    page = Page(html)
    assert page.broken == []
    assert len(page.all("h1")) == 1
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer"),
        *("h1", "h2", "p", "a", "b", "strong", "ol", "ul", "li", "dl", "dt", "dd", "table", "time"),
        *("caption", "thead", "tbody", "tr", "th", "td", "mark", "bdi", "small", "span", "code"),
    }
    assert not [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert all(character.isprintable() or character == "\n" for character in html)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", "12"),
        ("", ""),
        (" a b ", " a b "),
        ("\0\t\n", "␀␉␊"),
        ("\u202ecod", "⟨U+202E⟩cod"),
        ("5\u00a0", "5⟨U+00A0⟩"),
        ("\ufeff", "⟨U+FEFF⟩"),
        ("日本 Ω é", "日本 Ω é"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_a_cell_is_shown_short_and_with_nothing_invisible(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert len(shown(text)) <= MAX_CELL


@pytest.mark.parametrize("value", ["=1+1", "@x", "+a", "-a", "\t1", '=HYPERLINK("http://x")'])
def test_a_formula_in_a_cell_is_none_in_the_csv(pipeline: Pipeline, value: str) -> None:
    quoted = '"' + value.replace('"', '""') + '"'
    pipeline.put("raw/x.csv", f"2024-01-02,S,P,{quoted},-3,1", "2024-01-03,S,P,-5,+1e,1")
    pipeline.land()
    (file,) = files_in_state(pipeline.conn, "landed")
    report = io.BytesIO()
    with listed(pipeline.conn, file):
        write_csv(pipeline.conn, report)
    rows = list(csv.DictReader(io.StringIO(report.getvalue().decode(), newline="")))
    assert {(row["line"], row["column"]): row["value"] for row in rows} == {
        ("2", "price"): "-3",
        ("2", "quantity_sold"): f"'{value}",
        ("3", "price"): "'+1e",
        ("3", "quantity_sold"): "-5",
    }
