"""Files made to cost much, or to be read in two ways: one answer, and a bounded one."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalecast_assets.ingest import landing, vectorised
from scalecast_assets.ingest.exact import read_exactly
from scalecast_assets.ingest.header import Layout, read_header
from scalecast_assets.ingest.lines import MAX_RECORD_BYTES
from tests.factories_files import GOOD, HEADER, Pipeline, csv_of, line, read, read_path

BOM = "\ufeff"


@pytest.fixture
def pipeline(database_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(database_url, tmp_path)
    yield pipeline
    pipeline.conn.close()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_quoted_header_is_read_with_its_own_delimiter(tmp_path: Path, delimiter: str) -> None:
    header = delimiter.join(f'"{name}"' for name in HEADER.split(","))
    data = csv_of(GOOD.replace(",", delimiter), header=header)
    result = read(tmp_path, data)
    assert (len(result.rows), result.faults) == (1, [])


def test_a_header_that_no_delimiter_can_read_is_told_of_its_own(tmp_path: Path) -> None:
    (fault,) = read(tmp_path, csv_of(GOOD, header=HEADER.replace("date", '"da"te'))).faults
    assert fault.reason == "the header line is not CSV: ',' expected after '\"'"


@pytest.mark.parametrize("promotion", ["true", "True ", "?"])
def test_a_long_cell_is_read_alike_whether_or_not_its_block_is_odd(
    tmp_path: Path, promotion: str
) -> None:
    """In a column that is not used, beside a good line and beside an odd one."""
    note = "x" * (MAX_RECORD_BYTES - 100)
    lines = [f"{GOOD},{note}", f"2024-01-02,S1,P1,5,9.99,{promotion},"]
    result = read(tmp_path, csv_of(*lines, header=f"{HEADER},{'n' * 200_000}"))
    assert [row[0] for row in result.rows] == [2, 3]
    assert [fault.line_no for fault in result.faults] == ([] if promotion == "true" else [3])


def read_both_ways(header: str, data: str) -> tuple[object, object]:
    layout = read_header(header, {})
    assert isinstance(layout, Layout)
    fast = vectorised.read_fast(data.encode(), 2, layout)
    exact = read_exactly(data.encode(), 2, layout, at_end=True).block
    return fast and fast.to_pylist(), exact.rows.to_pylist()


def test_a_byte_order_mark_that_begins_a_block_is_part_of_its_id(tmp_path: Path) -> None:
    header = "store_id,date,product_id,quantity_sold,price,promotion"
    odd = f"{BOM}S,2024-01-01,P,1,1,0"
    fast, exact = read_both_ways(header, f"{odd}\n")
    assert fast is None
    assert exact
    assert [row[2] for row in read(tmp_path, csv_of(odd, header=header)).rows] == [f"{BOM}S"]


@pytest.mark.parametrize("cell", ['"9.5\t"', '"\t9.5"'])
def test_a_tab_inside_a_quoted_number_is_refused_where_tabs_are_delimiters(
    tmp_path: Path, cell: str
) -> None:
    header = HEADER.replace(",", "\t")
    odd = "\t".join(["2024-01-01", "S", "P", "1", cell, "0"])
    fast, _ = read_both_ways(header, f"{odd}\n")
    assert fast is None
    assert [f.column for f in read(tmp_path, csv_of(odd, header=header)).faults] == ["price"]


def test_a_corrupt_gzip_gives_every_line_before_the_corruption(tmp_path: Path) -> None:
    lines = [f"2024-01-01,S{n},P{n * 7919 % 10007},5,9.99,true" for n in range(50_000)]
    whole = gzip.compress(csv_of(*lines))
    (tmp_path / "cut.csv.gz").write_bytes(whole[:-40])
    result = read_path(tmp_path / "cut.csv.gz")
    assert len(result.rows) > 49_000
    (fault,) = result.faults
    assert "corrupt" in fault.reason
    assert fault.line_no == result.rows[-1][0] + 1  # type: ignore[operator]


def test_a_gzip_that_breaks_off_in_its_header_is_corrupt_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(csv_of(GOOD))[:20])
    (fault,) = read_path(tmp_path / "cut.csv.gz").faults
    assert "corrupt" in fault.reason


@pytest.mark.parametrize("quoted_lines", [1, 3000, 20_000])
def test_a_quote_over_many_pieces_is_one_record(tmp_path: Path, quoted_lines: int) -> None:
    name = '"' + "a\n" * quoted_lines + '"'
    lines = [*["2024-01-01,S,P,1,1,?"] * 20_000, f"2024-01-01,S,P,1,1,1,{name}", GOOD + ",", "bad"]
    result = read(tmp_path, csv_of(*lines, header=f"{HEADER},note"))
    after = 20_002 + quoted_lines + 1
    assert [row[0] for row in result.rows[-2:]] == [20_002, after]
    assert result.faults[-1].line_no == after + 1
    assert len(result.faults) == 20_001


def test_a_quote_that_is_never_closed_ends_the_reading(tmp_path: Path) -> None:
    lines = [GOOD, '2024-01-02,"S1,P1,1,1,0', *[GOOD] * 200_000]
    result = read(tmp_path, csv_of(*lines))
    assert [(f.line_no, "never closed" in f.reason) for f in result.faults] == [(3, True)]
    assert len(result.rows) == 1


def test_faults_beyond_the_limit_are_counted_and_not_kept(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "MAX_LISTED_FAULTS", 5)
    pipeline.put("raw/bad.csv", *["x"] * 20, "2024-01-01,S,P,1,1,?", line(2), "x")
    (outcome,) = pipeline.land()
    assert (outcome.rejected, outcome.rows) == (22, 2)
    kept = pipeline.conn.execute(
        "select line_no, rule, reason from landing.rejected_lines order by ctid"
    ).fetchall()
    assert [row[0] for row in kept] == [2, 3, 4, 5, 6, 22, 24]
    assert kept[5][1] == "promotion_is_true_or_false", "a rule that is broken has a line"
    assert kept[6][1:] == ("lines_are_well_formed", "and 16 more faults, not listed")


def test_memory_does_not_grow_with_the_faults(tmp_path: Path) -> None:
    """Three million bad lines in 6 kB of gzip, in a process of its own."""
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(csv_of() + b"x\n" * 3_000_000))
    script = (
        "import resource, sys, pathlib\n"
        "from scalecast_assets.ingest.reader import RawFile\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, faults = peak(), 0\n"
        "for block in RawFile(pathlib.Path(sys.argv[1]), 'bad.csv.gz').blocks():\n"
        "    faults += len(block.rejected)\n"
        "print(faults, (peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "bad.csv.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    faults, grown_mib = map(int, done.stdout.split())
    assert faults == 3_000_000
    assert grown_mib < 200
