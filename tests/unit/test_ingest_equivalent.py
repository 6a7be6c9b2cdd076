"""Properties of the parser: how sales are written does not matter, and one bad cell always does.

The same through Great Expectations and the verdict, on fewer examples: ``test_bad_files_judged.py``
of the graph's tests.
"""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings

from scalecast_assets.ingest.lines import MAX_VALUE_CHARACTERS
from tests.bad_files import NEGATIVE, PLAUSIBLE, POSITIVE
from tests.factories_files import Read, read_path
from tests.sales_files import FALSE_WORDS, TRUE_WORDS, WRITINGS, Corrupted, Sale, Writing, corrupted
from tests.sales_files import SALES as SALES_STRATEGY

OF_VALUES = {PLAUSIBLE, NEGATIVE, POSITIVE}
"""Rules that SQL finds broken, not the parser."""

MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def read(data: bytes, name: str, block_bytes: int = 4 * 1024 * 1024) -> Read:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_path(path, block_bytes=block_bytes)


def said(sales: list[Sale]) -> list[tuple[object, ...]]:
    """What the lines say, by Python's own reading."""
    assert all(sale[5] in TRUE_WORDS + FALSE_WORDS for sale in sales)
    return [
        (day, store, product, float(sold), float(price), promotion in TRUE_WORDS)
        for day, store, product, sold, price, promotion in sales
    ]


@MANY
@given(sales=SALES_STRATEGY, writing=WRITINGS)
def test_valid_sales_are_read_alike_however_they_are_written(
    sales: list[Sale], writing: Writing
) -> None:
    found = read(writing.write(sales), writing.name)
    assert found.faults == []
    assert [(str(row[1]), *row[2:]) for row in found.rows] == said(sales)
    assert bool(found.warnings) == writing.extra


@MANY
@given(spoilt=corrupted(), writing=WRITINGS)
def test_one_bad_cell_is_found_on_its_line_however_the_file_is_written(
    spoilt: Corrupted, writing: Writing
) -> None:
    assume(spoilt.fault.rule not in OF_VALUES)
    for block_bytes in (7, 4 * 1024 * 1024):
        found = read(writing.write(spoilt.sales), writing.name, block_bytes)
        assert [(f.line_no, f.column, f.rule) for f in found.faults] == [
            (spoilt.line, spoilt.fault.column, spoilt.fault.rule)
        ]
        shown = spoilt.fault.text.replace("\0", "␀").rstrip("\n")
        assert found.faults[0].value == shown[:MAX_VALUE_CHARACTERS]
        assert len(found.rows) == len(spoilt.sales)
