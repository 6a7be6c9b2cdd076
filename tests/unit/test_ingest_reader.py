"""The parser: every fault at its line, with its rule and reason; everything valid kept as it is."""

import datetime as dt
import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalecast_assets.ingest import vectorised
from scalecast_assets.ingest.exact import read_exactly
from scalecast_assets.ingest.header import Layout, read_header
from scalecast_assets.ingest.reader import RawFile, RawFileError
from tests.factories_files import GOOD, HEADER, csv_of, read, read_path

FIRST = (2, dt.date(2024, 1, 1), "S1", "P1", 5.0, 9.99, True)

BAD_LINES = [
    ("2024-01-02,S1,P1,,9.99,true", "quantity_is_a_number", "quantity_sold", "missing"),
    (",S1,P1,5,9.99,true", "date_is_a_day", "date", "missing"),
    ("2024-01-02,,P1,5,9.99,true", "store_id_is_present", "store_id", "missing"),
    ("2024-01-02,S1,,5,9.99,true", "product_id_is_present", "product_id", "missing"),
    ("2024-01-02,S1,   ,5,9.99,true", "product_id_is_present", "product_id", "missing"),
    ("2024-01-02,S1,P1,5,,true", "price_is_a_number", "price", "missing"),
    ("2024-01-02,S1,P1,5,9.99,", "promotion_is_true_or_false", "promotion", "missing"),
    ("2024-01-02,S1,P1,five,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2024-01-02,S1,P1,NaN,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2024-01-02,S1,P1,5,inf,true", "price_is_a_number", "price", "not a number"),
    ("2024-01-02,S1,P1,5,1e999,true", "price_is_a_number", "price", "too large"),
    ("2024-01-02,S1,P1,1_000,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2024-01-02,S1,P1,0x10,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ('2024-01-02,S1,P1,"1,5",9.99,true', "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2024-01-02,S1,P1, 5 ,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2024-01-02,S1,P1,+-5,9.99,true", "quantity_is_a_number", "quantity_sold", "not a number"),
    ("2023-02-30,S1,P1,5,9.99,true", "date_is_a_day", "date", "does not exist"),
    ("30.12.2023,S1,P1,5,9.99,true", "date_is_a_day", "date", "yyyy-mm-dd"),
    ("20231230,S1,P1,5,9.99,true", "date_is_a_day", "date", "yyyy-mm-dd"),
    ("0000-01-01,S1,P1,5,9.99,true", "date_is_a_day", "date", "does not exist"),
    ("2024-01-02,S1,P1,5,9.99,maybe", "promotion_is_true_or_false", "promotion", "not one of"),
    ("2024-01-02,S1,P1,5,9.99", "lines_are_well_formed", "", "expected 6 fields, found 5"),
    ("2024-01-02,S1,P1,5,9.99,true,x", "lines_are_well_formed", "", "expected 6 fields, found 7"),
    ('2024-01-02,S1,"P"1,5,9.99,true', "lines_are_well_formed", "", "not CSV"),
    ('2024-01-02,S1,"P1,5,9.99,true', "lines_are_well_formed", "", "never closed"),
    ("2024-01-02,S1,P\0,5,9.99,true", "product_id_is_present", "product_id", "NUL"),
    (f"2024-01-02,S1,{'x' * 501},5,9.99,true", "product_id_is_present", "product_id", "longer"),
]


@pytest.mark.parametrize(("line", "rule", "column", "reason"), BAD_LINES)
def test_a_bad_line_is_named_with_its_rule_column_and_reason(
    tmp_path: Path, line: str, rule: str, column: str, reason: str
) -> None:
    result = read(tmp_path, csv_of(GOOD, line))
    assert [(f.line_no, f.rule, f.column) for f in result.faults] == [(3, rule, column)]
    assert reason in result.faults[0].reason
    assert result.rows[0] == FIRST


@pytest.mark.parametrize("position", range(6))
def test_a_missing_column_is_named(tmp_path: Path, position: int) -> None:
    names = HEADER.split(",")
    missing = names.pop(position)
    result = read(tmp_path, csv_of("1,2,3,4,5", header=",".join(names)))
    assert [(f.line_no, f.rule, f.column) for f in result.faults] == [
        (1, "columns_are_complete", missing)
    ]
    assert result.rows == []


WHOLE_FILES = [
    (b"", "file_has_rows", "the file is empty"),
    (csv_of(), "file_has_rows", "header but no rows"),
    (csv_of(header=HEADER + ",price"), "columns_are_complete", "2 times"),
    (b"PK\x03\x04 rest of an archive", "lines_are_well_formed", "ZIP"),
    (gzip.compress(csv_of(GOOD), mtime=0), "lines_are_well_formed", "gzip"),
    (csv_of(GOOD).decode().encode("utf-16"), "lines_are_well_formed", "UTF-16"),
    (b"a" * 10_000_000, "lines_are_well_formed", "longer than"),
]


@pytest.mark.parametrize(
    ("data", "rule", "reason"), WHOLE_FILES, ids=[reason for _, _, reason in WHOLE_FILES]
)
def test_a_fault_of_the_whole_file_is_one_rejected_line(
    tmp_path: Path, data: bytes, rule: str, reason: str
) -> None:
    result = read(tmp_path, data)
    assert [f.rule for f in result.faults] == [rule]
    assert reason in result.faults[0].reason
    assert result.rows == []


def test_a_long_line_among_others_is_refused_and_the_next_line_read(tmp_path: Path) -> None:
    data = csv_of(GOOD) + b"x" * 10_000_000 + b"\n" + GOOD.encode() + b"\n"
    result = read(tmp_path, data)
    assert [(f.line_no, f.rule) for f in result.faults] == [(3, "lines_are_well_formed")]
    assert [row[0] for row in result.rows] == [2, 4]
    assert len(result.faults[0].value) == 200


def test_a_latin_1_line_is_named_by_its_byte(tmp_path: Path) -> None:
    data = csv_of(GOOD) + "2024-01-02,Café,P1,1,1,0\n".encode("latin-1") + GOOD.encode()
    result = read(tmp_path, data)
    assert [(f.line_no, f.reason) for f in result.faults] == [(3, "not UTF-8: byte 0xe9")]
    assert [row[0] for row in result.rows] == [2, 4]


def test_a_corrupt_gzip_is_a_fault_of_its_line(tmp_path: Path) -> None:
    whole = gzip.compress(csv_of(*[GOOD] * 1000))
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    faults = read_path(tmp_path / "cut.csv.gz").faults
    assert "corrupt" in faults[-1].reason


@pytest.mark.parametrize("name", ["plain.csv.gz", "PLAIN.CSV.GZ"])
def test_plain_text_named_gz_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(csv_of(GOOD))
    assert "not gzip" in read_path(tmp_path / name).faults[0].reason


def test_a_directory_and_a_missing_path_are_errors_that_say_so(tmp_path: Path) -> None:
    with pytest.raises(RawFileError, match="found a directory"):
        RawFile(tmp_path, "folder.csv")
    with pytest.raises(RawFileError, match="found nothing"):
        RawFile(tmp_path / "none.csv", "none.csv")


@pytest.mark.parametrize(
    "data",
    [
        csv_of(GOOD),
        b"\xef\xbb\xbf" + csv_of(GOOD),
        csv_of(GOOD).replace(b"\n", b"\r\n"),
        csv_of(GOOD).replace(b",", b";"),
        csv_of(GOOD).replace(b",", b"\t"),
        csv_of(GOOD).rstrip(b"\n"),
        csv_of(GOOD) + b"\n\n",
        csv_of("true,9.99,5,P1,S1,2024-01-01", header=",".join(HEADER.split(",")[::-1])),
        csv_of('"2024-01-01","S1","P1","5","9.99","TRUE"'),
        csv_of("2024-01-01,S1,P1,5e0,+9.99,yEs"),
    ],
)
def test_every_way_of_writing_a_row_reads_the_same(tmp_path: Path, data: bytes) -> None:
    for name in ("sales.csv", "sales.csv.gz", "SALES.CSV", "Sales.CSV.GZ"):
        result = read(tmp_path, data, name)
        assert (result.rows, result.faults) == ([FIRST], [])


@pytest.mark.parametrize("word", ["true", "T", "YES", "1", "tRuE"])
def test_promotion_is_true_in_any_case(tmp_path: Path, word: str) -> None:
    assert read(tmp_path, csv_of(f"2024-01-01,S,P,1,1,{word}")).rows[0][-1] is True


@pytest.mark.parametrize(
    "name", ["0012", "O'Brien", "x'; drop table demand_data; --", "日本 Ω 🛒", "NULL", "nan", "\\."]
)
def test_ids_are_kept_as_they_are(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, csv_of(f"2024-01-01,{name},P,1,1,0")).rows[0][2] == name


def test_ids_keep_spaces_quotes_and_newlines_and_later_lines_their_numbers(tmp_path: Path) -> None:
    result = read(tmp_path, csv_of('2024-01-01, x ,"a ""b""\nc",1,1,0', "bad", GOOD))
    assert result.rows[0][:4] == (2, dt.date(2024, 1, 1), " x ", 'a "b"\nc')
    assert [f.line_no for f in result.faults] == [4]
    assert result.rows[1][0] == 5


def test_extra_columns_are_ignored_with_a_warning_and_headers_renamed(tmp_path: Path) -> None:
    header = "note," + HEADER.replace("quantity_sold", "Qty")
    result = read(tmp_path, csv_of(f"n,{GOOD}", header=header), renames={"Qty": "quantity_sold"})
    assert result.rows == [FIRST]
    assert result.warnings == ["columns that are not used were ignored: 'note'"]


CELLS = st.one_of(
    st.sampled_from(
        ["2024-02-29", "2023-02-29", "S", "1", "-0", "1.5", ".5", "5.", "1e3", "1E-3", "+1", "nan"]  # noqa: RUF005
        + ["true", "F", "yes", "No", "tRue", "", " ", " 1", "1 ", '"', '"a"', '"a""b"', '"a,b"']
        + ['"\n"', "\r", "é", "\u2003", "inf", "-", "1_0", "\t", "\0", '""', "0x1", "\x1f", "1d"]
    ),
    st.text(max_size=3),
)
LINES = st.one_of(
    st.lists(CELLS, min_size=6, max_size=6),
    st.lists(CELLS, min_size=1, max_size=7),
    st.tuples(
        st.dates().map(str),
        CELLS,
        CELLS,
        st.floats().map(repr),
        st.floats(min_value=0).map(repr),
        st.sampled_from(["true", "FALSE", "0", "t"]),
    ).map(list),
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINES, min_size=1, max_size=4), end=st.sampled_from(["\n", "\r\n"]))
def test_the_fast_way_gives_what_the_exact_way_gives_or_nothing(
    lines: list[list[str]], end: str
) -> None:
    layout = read_header(HEADER, {})
    assert isinstance(layout, Layout)
    data = "".join(",".join(cells) + end for cells in lines).encode("utf-8", "replace")
    exact = read_exactly(data, 2, layout, at_end=True).block
    fast = vectorised.read_fast(data, 2, layout)
    if fast is not None:
        assert exact.rejected == []
        assert fast.to_pylist() == exact.rows.to_pylist()


def test_clean_lines_do_take_the_fast_way() -> None:
    layout = read_header(HEADER, {})
    assert isinstance(layout, Layout)
    for line in (GOOD, '2024-01-01,"S 1","P1",5,9.99,"1"', "2024-01-01,Élan Vital,P,0,1e3,no\r"):
        assert vectorised.read_fast(f"{line}\n".encode(), 2, layout) is not None


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000])
def test_where_blocks_are_cut_does_not_matter(tmp_path: Path, block_bytes: int) -> None:
    lines = [GOOD, '2024-01-02,"a\nb",P,1,1,0', "bad", "", GOOD, '2024-01-03,S,"x,y",1,x,0', GOOD]
    whole = read(tmp_path, csv_of(*lines))
    cut = read(tmp_path, csv_of(*lines), block_bytes=block_bytes)
    assert (cut.rows, cut.faults) == (whole.rows, whole.faults)
    assert [fault.line_no for fault in whole.faults] == [5, 8]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file of 100 MB, in a process of its own."""
    good = (GOOD + "\n").encode() * 150_000
    with (tmp_path / "large.csv").open("wb") as file:
        file.write(csv_of())
        for _ in range(23):
            file.write(good)
    script = (
        "import resource, sys, pathlib\n"
        "from scalecast_assets.ingest.reader import RawFile\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, rows = peak(), 0\n"
        "for block in RawFile(pathlib.Path(sys.argv[1]), 'large.csv').blocks():\n"
        "    rows += block.rows.num_rows\n"
        "print(rows, (peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "large.csv")],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, grown_mib = map(int, done.stdout.split())
    assert rows == 23 * 150_000
    assert grown_mib < 80
