"""UCI Online Retail: ``Online Retail.xlsx``, or one of the CSVs made of it.

A store is a country, a product a stock code of five digits and letters (postage, fees and manual
entries are left out). Invoices are added up by day; cancellations and lines without a price are
left out. The price is the day's mean per unit, and nothing is known of promotions.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any, BinaryIO, Final

from scalecast_assets.recipes.files import Download, RecipeError, Row, at_least

NAMES: Final = ("Online Retail.xlsx", "Online_Retail.xlsx", "OnlineRetail.csv", "data.csv")
COLUMNS: Final = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "Country")

_CODE: Final = re.compile(r"\d{5}[A-Z]*")


def read(download: Download, since: date | None) -> Iterator[Row]:
    """Yield one row per day, country and stock code, in that order."""
    sums: dict[tuple[str, str, str], tuple[int, float]] = {}
    with download.open(*NAMES) as file, _records(file, download) as records:
        for invoice, code, quantity, when, price, country in records:
            product = str(code).strip().upper()
            cancelled = str(invoice).upper().startswith("C")
            units, each = int(quantity), float(price)
            if cancelled or units <= 0 or each <= 0 or not _CODE.fullmatch(product):
                continue
            key = (_day(when), str(country).strip(), product)
            sold, paid = sums.get(key, (0, 0.0))
            sums[key] = (sold + units, paid + units * each)
    for (day, store, product), (sold, paid) in sorted(sums.items()):
        if at_least(day, since):
            yield Row(day, store, product, sold, round(paid / sold, 4), "false")


@contextmanager
def _records(file: BinaryIO, download: Download) -> Iterator[Iterator[tuple[Any, ...]]]:
    # All of it, 23 MB packed: a workbook is read from its end.
    content = io.BytesIO(file.read())
    if content.getvalue()[:2] != b"PK":
        text = io.TextIOWrapper(content, encoding="iso-8859-1", newline="")
        yield _wanted(csv.reader(text), download)
        return
    from openpyxl import load_workbook

    workbook = load_workbook(content, read_only=True, data_only=True)
    try:
        sheet = workbook.worksheets[0]
        yield _wanted(sheet.iter_rows(values_only=True), download)
    finally:
        workbook.close()


def _wanted(lines: Iterable[Any], download: Download) -> Iterator[tuple[Any, ...]]:
    """Yield the cells of ``COLUMNS``, in that order; lines without an amount are left out."""
    reader = iter(lines)
    header = [str(name or "").lstrip("ï»¿\ufeff").strip() for name in next(reader, ())]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise RecipeError(
            f"{download.path}: no column {missing[0]}; expected {', '.join(COLUMNS)} as published"
        )
    places = [header.index(name) for name in COLUMNS]
    for line in reader:
        cells = tuple(line[at] for at in places)
        if all(cell not in (None, "") for cell in cells):
            yield cells


def _day(when: Any) -> str:
    if isinstance(when, datetime):
        return when.date().isoformat()
    text = str(when).split(" ")[0]
    if "/" in text:  # 12/1/2010 8:26
        return datetime.strptime(text, "%m/%d/%Y").date().isoformat()
    return date.fromisoformat(text[:10]).isoformat()
